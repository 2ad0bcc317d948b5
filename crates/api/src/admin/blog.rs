//! Articles of the blog.

use axum::extract::Path;
use http::StatusCode;
use lockstep_domain::admin::{ArticleForm, PostCreated, PostList, PostUpdated};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::content::Article;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::routes::{StaffRoute, at};
use super::{Paged, RequireStaff, found};
use crate::answer::{self, Answered, Message};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;

#[derive(OpenApi)]
#[openapi(paths(list, detail, create, update, delete))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/blog")
            .get(Permission::ContentRead, list)
            .post(Permission::ContentWrite, create),
        at("/api/admin/blog/{id}")
            .get(Permission::ContentRead, detail)
            .put(Permission::ContentWrite, update)
            .delete(Permission::ContentWrite, delete),
    ]
}

request_body! {
    /// An article. A new one needs `title`, `content` and `category`; of a known one, what is not sent stays.
    struct ArticleFields {
        /// Title.
        #[schema(min_length = 1, max_length = 300)]
        title: Option<String> = "title",
        /// URL slug, by default made from the title.
        #[schema(max_length = 300)]
        slug: Option<String> = "slug",
        /// HTML, which is cleaned, or plain text.
        #[schema(max_length = 90000)]
        content: Option<String> = "content",
        /// Summary, plain text.
        #[schema(max_length = 1000)]
        excerpt: Option<String> = "excerpt" => changed_text(),
        /// Address of the cover; empty for none.
        #[schema(max_length = 2000)]
        image_url: Option<String> = "imageUrl" => changed_text(),
        /// Category.
        #[schema(min_length = 1, max_length = 100)]
        category: Option<String> = "category",
        /// All tags.
        #[schema(max_items = 30)]
        tags: Option<Vec<String>> = "tags",
        /// Whether everybody can read it; by default only staff.
        published: Option<bool> = "published",
    }
}

fn form(body: &Body, is_new: bool) -> Result<ArticleForm, ApiError> {
    let (fields, form) = body.read::<ArticleFields>();
    let entered = ArticleForm {
        title: fields.title,
        slug: fields.slug,
        content: fields.content,
        excerpt: fields.excerpt,
        image: fields.image_url,
        category: fields.category,
        tags: fields.tags,
        published: fields.published,
    };
    form.finish(entered.checked(is_new))
}

/// Returns all articles, published or not, newest first.
#[utoipa::path(get, path = "/api/admin/blog", tag = "admin", operation_id = "adminArticles", security(("bearer" = [])), params(Paged<20>),
    responses((status = 200, description = "A page of articles", body = Answer<PostList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn list(staff: RequireStaff, Paged(page): Paged<20>) -> Answered {
    answer::data(StatusCode::OK, &staff.office.articles(&staff.admin, page).await?)
}

/// Returns an article, published or not.
#[utoipa::path(get, path = "/api/admin/blog/{id}", tag = "admin", operation_id = "adminArticle", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the article")),
    responses((status = 200, description = "The article", body = Answer<Article>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such article")))]
pub(crate) async fn detail(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let article = staff.office.article(&staff.admin, uuid_in("id", &id)?).await?;
    answer::data(StatusCode::OK, &found(article, "Article")?)
}

/// Writes an article.
#[utoipa::path(post, path = "/api/admin/blog", tag = "admin", operation_id = "createArticle", security(("bearer" = [])), request_body = ArticleFields,
    responses((status = 201, description = "The article", body = Answer<PostCreated>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator"), (status = 409, description = "The slug is taken")))]
pub(crate) async fn create(staff: RequireStaff, body: Body) -> Answered {
    let form = form(&body, true)?;
    let article = staff.office.create_article(&staff.admin, &form).await?;
    answer::data(StatusCode::CREATED, &article)
}

/// Changes an article.
#[utoipa::path(put, path = "/api/admin/blog/{id}", tag = "admin", operation_id = "updateArticle", security(("bearer" = [])), request_body = ArticleFields,
    params(("id" = Uuid, Path, description = "ID of the article")),
    responses((status = 200, description = "The article", body = Answer<PostUpdated>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such article"),
    (status = 409, description = "The slug is taken")))]
pub(crate) async fn update(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (id, form) = (uuid_in("id", &id)?, form(&body, false)?);
    let article = staff.office.update_article(&staff.admin, id, &form, None).await?;
    answer::data(StatusCode::OK, &article)
}

/// Deletes an article.
#[utoipa::path(delete, path = "/api/admin/blog/{id}", tag = "admin", operation_id = "deleteArticle", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the article")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such article")))]
pub(crate) async fn delete(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let id = uuid_in("id", &id)?;
    staff.office.delete_article(&staff.admin, id).await?;
    answer::message(StatusCode::OK, "The article is deleted")
}
