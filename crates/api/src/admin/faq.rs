//! Questions with their answers.

use axum::extract::Path;
use http::StatusCode;
use lockstep_admin::FaqFilter;
use lockstep_domain::admin::{FaqForm, FaqList};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::content::{CategoryCount, Faq};
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::routes::{StaffRoute, at};
use super::{Paged, RequireStaff};
use crate::answer::{self, Answered, Message};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;

#[derive(OpenApi)]
#[openapi(paths(list, categories, create, update, delete))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/faqs")
            .get(Permission::ContentRead, list)
            .post(Permission::ContentWrite, create),
        at("/api/admin/faqs/categories").get(Permission::ContentRead, categories),
        at("/api/admin/faqs/{id}")
            .put(Permission::ContentWrite, update)
            .delete(Permission::ContentWrite, delete),
    ]
}

request_body! {
    /// A question. A new one needs `category`, `question` and `answer`; of a known one, what is not sent stays.
    struct FaqFields {
        /// Category.
        #[schema(min_length = 1, max_length = 100)]
        category: Option<String> = "category",
        /// Question, plain text.
        #[schema(min_length = 1, max_length = 300)]
        question: Option<String> = "question",
        /// Answer: HTML, which is cleaned, or plain text.
        #[schema(max_length = 90000)]
        answer: Option<String> = "answer",
        /// Position within the category; lower ones come first. By default 0.
        #[schema(minimum = 0, maximum = 1_000_000)]
        order: Option<i64> = "order",
        /// Whether the shop shows it; by default it does.
        active: Option<bool> = "active",
    }
}

fn form(body: &Body, is_new: bool) -> Result<FaqForm, ApiError> {
    let (fields, form) = body.read::<FaqFields>();
    let entered = FaqForm {
        category: fields.category,
        question: fields.question,
        answer: fields.answer,
        order: fields.order,
        active: fields.active,
    };
    form.finish(entered.checked(is_new))
}

/// Returns questions by category and position, active or not.
#[utoipa::path(get, path = "/api/admin/faqs", tag = "admin", operation_id = "adminFaqs", security(("bearer" = [])), params(
    ("category" = Option<String>, Query, max_length = 100, description = "Text contained in the category"),
    ("search" = Option<String>, Query, max_length = 100, description = "Text contained in question or answer"),
    ("active" = Option<bool>, Query, description = "Only those that the shop shows, or only the others"), Paged<20>),
    responses((status = 200, description = "A page of questions", body = Answer<FaqList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn list(staff: RequireStaff, ask: Ask, Paged(page): Paged<20>) -> Answered {
    let filter = FaqFilter {
        category: ask.text("category")?,
        search: ask.text("search")?,
        active: ask.flag("active")?,
    };
    answer::data(StatusCode::OK, &staff.office.faqs(&staff.admin, &filter, page).await?)
}

/// Returns the categories of all questions.
#[utoipa::path(get, path = "/api/admin/faqs/categories", tag = "admin", operation_id = "adminFaqCategories", security(("bearer" = [])),
    responses((status = 200, description = "The categories by name, which is also their slug here", body = Answer<Vec<CategoryCount>>),
    (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn categories(staff: RequireStaff) -> Answered {
    let mut categories = staff.office.faq_categories(&staff.admin).await?;
    for category in &mut categories {
        // The existing console's form chooses a question's category by this text.
        category.slug.clone_from(&category.name);
    }
    answer::data(StatusCode::OK, &categories)
}

/// Writes a question.
#[utoipa::path(post, path = "/api/admin/faqs", tag = "admin", operation_id = "createFaq", security(("bearer" = [])), request_body = FaqFields,
    responses((status = 201, description = "The question", body = Answer<Faq>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn create(staff: RequireStaff, body: Body) -> Answered {
    let form = form(&body, true)?;
    answer::data(
        StatusCode::CREATED,
        &staff.office.create_faq(&staff.admin, &form).await?,
    )
}

/// Changes a question.
#[utoipa::path(put, path = "/api/admin/faqs/{id}", tag = "admin", operation_id = "updateFaq", security(("bearer" = [])), request_body = FaqFields,
    params(("id" = Uuid, Path, description = "ID of the question")),
    responses((status = 200, description = "The question", body = Answer<Faq>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such question")))]
pub(crate) async fn update(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (id, form) = (uuid_in("id", &id)?, form(&body, false)?);
    answer::data(
        StatusCode::OK,
        &staff.office.update_faq(&staff.admin, id, &form, None).await?,
    )
}

/// Deletes a question.
#[utoipa::path(delete, path = "/api/admin/faqs/{id}", tag = "admin", operation_id = "deleteFaq", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the question")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such question")))]
pub(crate) async fn delete(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let id = uuid_in("id", &id)?;
    staff.office.delete_faq(&staff.admin, id).await?;
    answer::message(StatusCode::OK, "The question is deleted")
}
