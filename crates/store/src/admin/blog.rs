//! Articles of the blog: listed, written, changed and deleted by staff.

use chrono::{DateTime, Utc};
use lockstep_domain::admin::{ArticleForm, Page, PostCreated, PostList, PostRow, PostUpdated};
use lockstep_domain::content::Article;
use lockstep_domain::ids::UserId;
use serde_json::json;
use uuid::Uuid;

use super::bounds;
use super::changes::ChangeError;
use crate::audit::{self, By};
use crate::content::{article, category_meant, query_articles};
use crate::row::how_many_of;
use crate::{Result, Store, Tx};

/// All articles, the latest one first.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, page: Page) -> Result<PostList> {
    let (limit, offset) = bounds(page);
    let rows = sqlx::query!(
        r#"-- store.admin.blog.list
        select a.id, a.title, a.slug, a.excerpt, a.category, a.published, a.created_at,
               coalesce((select u.nickname from users u where u.id = a.author_id), '') as "author!"
          from blog_articles a order by a.created_at desc, a.id desc limit $1 offset $2"#,
        limit,
        offset
    )
    .fetch_all(tx.conn())
    .await?;
    let total = sqlx::query_scalar!(
        r#"-- store.admin.blog.count
        select count(*) as "count!" from blog_articles"#
    )
    .fetch_one(tx.conn())
    .await?;
    let posts = rows
        .into_iter()
        .map(|row| PostRow {
            id: row.id,
            title: row.title,
            slug: row.slug,
            excerpt: row.excerpt,
            category: row.category,
            published: row.published,
            author: row.author,
            created_at: row.created_at,
        })
        .collect();
    Ok(PostList {
        posts,
        paging: page.of(how_many_of(total)),
    })
}

/// An article, published or not.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn detail(tx: &mut Tx, id: Uuid) -> Result<Option<Article>> {
    let row = query_articles!("-- store.admin.blog.detail", "where a.id = $1", id)
        .fetch_optional(tx.conn())
        .await?;
    row.map(|row| Ok(article!(row))).transpose()
}

/// Writes an article, on behalf of `admin`, who is its author.
///
/// # Errors
/// [`ChangeError::SlugTaken`], [`ChangeError::Store`].
pub async fn create(store: &Store, admin: UserId, form: &ArticleForm) -> Result<PostCreated, ChangeError> {
    let form = form.clone();
    let made = store.tx("admin.blog.create", move |tx| {
        let mut form = form.clone();
        Box::pin(async move {
            form.category = category_meant(tx, true, form.category).await?;
            let (id, minutes) = (Uuid::now_v7(), form.read_minutes().unwrap_or(1));
            let (title, slug) = (form.title.unwrap_or_default(), form.slug.unwrap_or_default());
            let published = form.published.unwrap_or_default();
            let created_at = sqlx::query_scalar!(
                "-- store.admin.blog.create
                insert into blog_articles (id, slug, title, excerpt, content, cover_image, category, tags, author_id,
                                           published, published_at, read_minutes)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, case when $10 then now() end, $11)
                returning created_at",
                id,
                slug,
                title,
                form.excerpt.unwrap_or_default(),
                form.content.unwrap_or_default(),
                form.image.filter(|image| !image.is_empty()),
                form.category.unwrap_or_default(),
                &form.tags.unwrap_or_default(),
                admin.0,
                published,
                minutes
            )
            .fetch_one(tx.conn())
            .await?;
            let details = json!({ "title": title, "slug": slug, "published": published });
            audit::record(tx, &By::Staff(admin), "blog.create", ("article", id), details).await?;
            Ok(PostCreated {
                id,
                title,
                slug,
                created_at,
            })
        })
    });
    made.await.map_err(|error: ChangeError| error.of("article"))
}

/// Changes an article, on behalf of `admin`. The time of its first publication stays.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::SlugTaken`], [`ChangeError::Store`].
pub async fn update(
    store: &Store,
    admin: UserId,
    id: Uuid,
    form: &ArticleForm,
    seen: Option<DateTime<Utc>>,
) -> Result<PostUpdated, ChangeError> {
    let form = form.clone();
    let changed = store.tx("admin.blog.update", move |tx| {
        let mut form = form.clone();
        Box::pin(async move {
            form.category = category_meant(tx, true, form.category).await?;
            let (before, updated_at) = lock(tx, id).await?.ok_or(ChangeError::NotFound("Article"))?;
            if seen.is_some_and(|seen| seen != updated_at) {
                return Err(ChangeError::Outdated("article"));
            }
            let minutes = form.read_minutes();
            // What is sent as it already is changes nothing, also not the time of the last change.
            let row = sqlx::query!(
                r#"-- store.admin.blog.update
                with wanted as (
                    select id, coalesce($2, slug) as slug, coalesce($3, title) as title, coalesce($4, excerpt) as excerpt,
                           coalesce($5, content) as content,
                           case when $6::text is null then cover_image else nullif($6, '') end as cover_image,
                           coalesce($7, category) as category, coalesce($8, tags) as tags,
                           coalesce($9, published) as published,
                           case when $9 then coalesce(published_at, now()) else published_at end as published_at,
                           coalesce($10, read_minutes) as read_minutes
                      from blog_articles where id = $1),
                changed as (
                    update blog_articles a
                       set slug = w.slug, title = w.title, excerpt = w.excerpt, content = w.content, cover_image = w.cover_image,
                           category = w.category, tags = w.tags, published = w.published, published_at = w.published_at,
                           read_minutes = w.read_minutes
                      from wanted w
                     where a.id = w.id
                       and (a.slug, a.title, a.excerpt, a.content, a.cover_image, a.category, a.tags, a.published, a.published_at,
                            a.read_minutes)
                           is distinct from
                           (w.slug, w.title, w.excerpt, w.content, w.cover_image, w.category, w.tags, w.published, w.published_at,
                            w.read_minutes)
                    returning a.title, a.slug, a.published, a.updated_at)
                select title as "title!", slug as "slug!", published as "published!", updated_at as "updated_at!",
                       true as "is_changed!" from changed
                union all
                select title, slug, published, updated_at, false from blog_articles
                 where id = $1 and not exists (select from changed)"#,
                id,
                form.slug,
                form.title,
                form.excerpt,
                form.content,
                form.image,
                form.category,
                form.tags.as_deref(),
                form.published,
                minutes
            )
            .fetch_one(tx.conn())
            .await?;
            if row.is_changed {
                let details = json!({
                    "before": before,
                    "after": Brief { title: &row.title, slug: &row.slug, published: row.published },
                    "content": form.content.is_some(),
                });
                audit::record(tx, &By::Staff(admin), "blog.update", ("article", id), details).await?;
            }
            Ok(PostUpdated {
                id,
                title: row.title,
                slug: row.slug,
                updated_at: row.updated_at,
            })
        })
    });
    changed.await.map_err(|error: ChangeError| error.of("article"))
}

/// Deletes an article, on behalf of `admin`.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::Store`].
pub async fn delete(store: &Store, admin: UserId, id: Uuid) -> Result<(), ChangeError> {
    store
        .tx("admin.blog.delete", move |tx| {
            Box::pin(async move {
                let before = lock(tx, id).await?.ok_or(ChangeError::NotFound("Article"))?;
                sqlx::query!(
                    "-- store.admin.blog.delete\ndelete from blog_articles where id = $1",
                    id
                )
                .execute(tx.conn())
                .await?;
                Ok(audit::record(
                    tx,
                    &By::Staff(admin),
                    "blog.delete",
                    ("article", id),
                    json!({ "before": before }),
                )
                .await?)
            })
        })
        .await
}

/// What the audit log says of an article.
#[derive(serde::Serialize)]
struct Brief<'a> {
    title: &'a str,
    slug: &'a str,
    published: bool,
}

/// What the audit log says of an article, and when it was last changed.
async fn lock(tx: &mut Tx, id: Uuid) -> Result<Option<(serde_json::Value, DateTime<Utc>)>, ChangeError> {
    let row = sqlx::query!(
        "-- store.admin.blog.lock\nselect title, slug, published, updated_at from blog_articles where id = $1 for update",
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| {
        let told = json!({ "title": row.title, "slug": row.slug, "published": row.published });
        (told, row.updated_at)
    }))
}
