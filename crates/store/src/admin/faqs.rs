//! Questions with their answers: listed, written, changed and deleted by staff.

use lockstep_domain::admin::{FaqForm, FaqList, Page};
use lockstep_domain::content::Faq;
use lockstep_domain::ids::UserId;
use serde_json::json;
use uuid::Uuid;

use super::changes::ChangeError;
use super::{bounds, contains};
use crate::audit::{self, By};
use crate::content::category_meant;
use crate::row::how_many_of;
use crate::{Result, Store, Tx};

/// Which questions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Text contained in the category.
    pub category: Option<String>,
    /// Text contained in the question or answer.
    pub search: Option<String>,
    /// Active ones, or the others.
    pub active: Option<bool>,
}

/// Questions by category and position.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, filter: &Filter, page: Page) -> Result<FaqList> {
    let (limit, offset) = bounds(page);
    let (category, search) = (
        filter.category.as_deref().map(contains),
        filter.search.as_deref().map(contains),
    );
    let faqs = sqlx::query_as!(
        Faq,
        r#"-- store.admin.faqs.list
        select id, category, question, answer, position as "order", active, created_at from faqs
         where ($1::text is null or category ilike $1) and ($2::text is null or question ilike $2 or answer ilike $2)
           and ($3::boolean is null or active = $3)
         order by lower(category), category, position, created_at, id limit $4 offset $5"#,
        category,
        search,
        filter.active,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let total = sqlx::query_scalar!(
        r#"-- store.admin.faqs.count
        select count(*) as "count!" from faqs
         where ($1::text is null or category ilike $1) and ($2::text is null or question ilike $2 or answer ilike $2)
           and ($3::boolean is null or active = $3)"#,
        category,
        search,
        filter.active
    )
    .fetch_one(tx.uncached())
    .await?;
    Ok(FaqList {
        faqs,
        paging: page.of(how_many_of(total)),
    })
}

/// Writes a question, on behalf of `admin`.
///
/// # Errors
/// [`ChangeError::Store`].
pub async fn create(store: &Store, admin: UserId, form: &FaqForm) -> Result<Faq, ChangeError> {
    let form = form.clone();
    store
        .tx("admin.faqs.create", move |tx| {
            let mut form = form.clone();
            Box::pin(async move {
                form.category = category_meant(tx, false, form.category).await?;
                let position = position(&form).unwrap_or_default();
                let faq = sqlx::query_as!(
                    Faq,
                    r#"-- store.admin.faqs.create
                    insert into faqs (id, category, question, answer, position, active) values ($1, $2, $3, $4, $5, $6)
                    returning id, category, question, answer, position as "order", active, created_at"#,
                    Uuid::now_v7(),
                    form.category.unwrap_or_default(),
                    form.question.unwrap_or_default(),
                    form.answer.unwrap_or_default(),
                    position,
                    form.active.unwrap_or(true)
                )
                .fetch_one(tx.conn())
                .await?;
                audit::record(tx, &By::Staff(admin), "faq.create", ("faq", faq.id), told(&faq)).await?;
                Ok(faq)
            })
        })
        .await
}

/// Changes a question, on behalf of `admin`; `seen` is what the form showed, if it is to be compared.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::Outdated`], [`ChangeError::Store`].
pub async fn update(
    store: &Store,
    admin: UserId,
    id: Uuid,
    form: &FaqForm,
    seen: Option<&Faq>,
) -> Result<Faq, ChangeError> {
    let (form, seen) = (form.clone(), seen.cloned());
    store
        .tx("admin.faqs.update", move |tx| {
            let (mut form, seen) = (form.clone(), seen.clone());
            Box::pin(async move {
                form.category = category_meant(tx, false, form.category).await?;
                let seen = seen.as_ref();
                let faq = sqlx::query_as!(
                    Faq,
                    r#"-- store.admin.faqs.update
                    update faqs
                       set category = coalesce($2, category), question = coalesce($3, question),
                           answer = coalesce($4, answer), position = coalesce($5, position), active = coalesce($6, active)
                     where id = $1
                       and ($7::text is null
                            or (category, question, answer, position, active) is not distinct from ($7, $8, $9, $10::int, $11::bool))
                    returning id, category, question, answer, position as "order", active, created_at"#,
                    id,
                    form.category,
                    form.question,
                    form.answer,
                    position(&form),
                    form.active,
                    seen.map(|seen| seen.category.as_str()),
                    seen.map(|seen| seen.question.as_str()),
                    seen.map(|seen| seen.answer.as_str()),
                    seen.map(|seen| seen.order),
                    seen.map(|seen| seen.active)
                )
                .fetch_optional(tx.conn())
                .await?;
                let Some(faq) = faq else {
                    let is_there = sqlx::query_scalar!(
                        r#"-- store.admin.faqs.exists
                        select exists (select from faqs where id = $1) as "is_there!""#,
                        id
                    )
                    .fetch_one(tx.conn())
                    .await?;
                    return Err(if is_there {
                        ChangeError::Outdated("question")
                    } else {
                        ChangeError::NotFound("Question")
                    });
                };
                audit::record(tx, &By::Staff(admin), "faq.update", ("faq", faq.id), told(&faq)).await?;
                Ok(faq)
            })
        })
        .await
}

/// Deletes a question, on behalf of `admin`.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::Store`].
pub async fn delete(store: &Store, admin: UserId, id: Uuid) -> Result<(), ChangeError> {
    store
        .tx("admin.faqs.delete", move |tx| {
            Box::pin(async move {
                let faq = sqlx::query_as!(
                    Faq,
                    r#"-- store.admin.faqs.delete
                    delete from faqs where id = $1
                    returning id, category, question, answer, position as "order", active, created_at"#,
                    id
                )
                .fetch_optional(tx.conn())
                .await?
                .ok_or(ChangeError::NotFound("Question"))?;
                Ok(audit::record(tx, &By::Staff(admin), "faq.delete", ("faq", faq.id), told(&faq)).await?)
            })
        })
        .await
}

/// The position; the form is checked, so it fits.
fn position(form: &FaqForm) -> Option<i32> {
    form.order.and_then(|order| i32::try_from(order).ok())
}

/// What the audit log says of a question.
fn told(faq: &Faq) -> serde_json::Value {
    json!({ "category": faq.category, "question": faq.question, "order": faq.order, "active": faq.active })
}
