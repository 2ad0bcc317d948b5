//! The shop's own pages and its banners: as every page of the shop shows them, and as staff change them.

use lockstep_domain::ids::UserId;
use lockstep_domain::language::Language;
use lockstep_domain::site::{Banner, BannerForm, OwnPage, PageDetail, PageForm, PageLink, Site};
use serde_json::json;
use uuid::Uuid;

use crate::admin::changes::ChangeError;
use crate::audit::{self, By};
use crate::{Result, Store, Tx, branding};

/// Pages that are read, in all languages.
const MOST: i64 = 200;

/// What stands on every page of the shop.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn site(tx: &mut Tx) -> Result<Site> {
    let pages = sqlx::query_as!(
        PageLink,
        "-- store.site.links
        select slug, language, title from pages where published order by slug, language limit $1",
        MOST
    )
    .fetch_all(tx.conn())
    .await?;
    let banners = sqlx::query_as!(
        Banner,
        "-- store.site.banners
        select language, text, link, begins_at, ends_at from banners order by language"
    )
    .fetch_all(tx.conn())
    .await?;
    let has_vat = sqlx::query_scalar!(
        r#"-- store.site.vat
        select coalesce((select status = 'STANDARD' from tax_settings order by version desc limit 1), false) as "has_vat!""#
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Site {
        pages,
        banners,
        look: branding::look(tx).await?,
        has_vat,
    })
}

/// A published page in `language`, else in the default language, else in another one.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn page(tx: &mut Tx, slug: &str, language: &str) -> Result<Option<OwnPage>> {
    Ok(sqlx::query_as!(
        OwnPage,
        "-- store.site.page
        select language, title, html from pages where slug = $1 and published
         order by language <> $2, language <> $3, language limit 1",
        slug,
        language,
        Language::default().code()
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// All pages, in all languages.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn pages(tx: &mut Tx) -> Result<Vec<PageDetail>> {
    Ok(sqlx::query_as!(
        PageDetail,
        "-- store.site.pages
        select slug, language, title, source, published, version, updated_at from pages
         order by slug, language limit $1",
        MOST
    )
    .fetch_all(tx.conn())
    .await?)
}

/// All banners with their versions.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn banners(tx: &mut Tx) -> Result<Vec<(Banner, i64)>> {
    let rows = sqlx::query!(
        "-- store.site.all_banners
        select language, text, link, begins_at, ends_at, version from banners order by language"
    )
    .fetch_all(tx.conn())
    .await?;
    let banners = rows.into_iter().map(|row| {
        let banner = Banner {
            language: row.language,
            text: row.text,
            link: row.link,
            begins_at: row.begins_at,
            ends_at: row.ends_at,
        };
        (banner, row.version)
    });
    Ok(banners.collect())
}

/// Writes a page, or changes it; `seen` is the version that the form showed, 0 for a new one. Recorded in the audit log.
///
/// # Errors
/// [`ChangeError::Outdated`], [`ChangeError::Store`].
pub async fn put_page(store: &Store, admin: UserId, form: &PageForm, seen: i64) -> Result<(), ChangeError> {
    let form = form.clone();
    store
        .tx("site.put_page", move |tx| {
            let form = form.clone();
            Box::pin(async move {
                let language = form.language.code();
                let now = sqlx::query!(
                    "-- store.site.lock_page
                    select title, source, published, version from pages where slug = $1 and language = $2 for update",
                    form.slug,
                    language
                )
                .fetch_optional(tx.conn())
                .await?;
                if now.as_ref().map_or(0, |now| now.version) != seen {
                    return Err(ChangeError::Outdated("page"));
                }
                let done = sqlx::query!(
                    "-- store.site.put_page
                    insert into pages (slug, language, title, source, html, published) values ($1, $2, $3, $4, $5, $6)
                    on conflict (slug, language) do update
                       set title = excluded.title, source = excluded.source, html = excluded.html,
                           published = excluded.published, version = nextval('page_versions')
                     where $7::bigint > 0",
                    form.slug,
                    language,
                    form.title,
                    form.source,
                    form.html,
                    form.published,
                    seen
                )
                .execute(tx.conn())
                .await?;
                // Somebody else has written it in the same moment.
                if done.rows_affected() == 0 {
                    return Err(ChangeError::Outdated("page"));
                }
                let told = |title: &str, source: &str, published: bool| {
                    json!({ "title": title, "source": source, "published": published })
                };
                let details = json!({
                    "slug": form.slug, "language": language,
                    "before": now.map(|now| told(&now.title, &now.source, now.published)),
                    "after": told(&form.title, &form.source, form.published),
                });
                let what = if seen == 0 { "page.create" } else { "page.update" };
                Ok(audit::record(tx, &By::Staff(admin), what, ("page", Uuid::nil()), details).await?)
            })
        })
        .await
}

/// Deletes a page. Recorded in the audit log.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::Store`].
pub async fn delete_page(store: &Store, admin: UserId, slug: &str, language: &str) -> Result<(), ChangeError> {
    let (slug, language) = (slug.to_owned(), language.to_owned());
    store
        .tx("site.delete_page", move |tx| {
            let (slug, language) = (slug.clone(), language.clone());
            Box::pin(async move {
                let gone = sqlx::query!(
                    "-- store.site.delete_page
                    delete from pages where slug = $1 and language = $2 returning title, source, published",
                    slug,
                    language
                )
                .fetch_optional(tx.conn())
                .await?;
                let gone = gone.ok_or(ChangeError::NotFound("Page"))?;
                let details = json!({
                    "slug": slug, "language": language,
                    "before": { "title": gone.title, "source": gone.source, "published": gone.published },
                });
                Ok(audit::record(tx, &By::Staff(admin), "page.delete", ("page", Uuid::nil()), details).await?)
            })
        })
        .await
}

/// Sets the banner of a language; `seen` is the version that the form showed, 0 for a new one. Recorded in the audit log.
///
/// # Errors
/// [`ChangeError::Outdated`], [`ChangeError::Store`].
pub async fn put_banner(store: &Store, admin: UserId, form: &BannerForm, seen: i64) -> Result<(), ChangeError> {
    let form = form.clone();
    store
        .tx("site.put_banner", move |tx| {
            let form = form.clone();
            Box::pin(async move {
                let language = form.language.code();
                let before = sqlx::query_as!(
                    Banner,
                    "-- store.site.lock_banner
                    select language, text, link, begins_at, ends_at from banners where language = $1 for update",
                    language
                )
                .fetch_optional(tx.conn())
                .await?;
                let done = sqlx::query!(
                    "-- store.site.put_banner
                    insert into banners as b (language, text, link, begins_at, ends_at) select $1, $2, $3, $4, $5
                     where $6::bigint = 0 or exists (select from banners where language = $1)
                    on conflict (language) do update
                       set text = excluded.text, link = excluded.link, begins_at = excluded.begins_at,
                           ends_at = excluded.ends_at, version = nextval('page_versions')
                     where b.version = $6",
                    language,
                    form.text,
                    form.link,
                    form.begins_at,
                    form.ends_at,
                    seen
                )
                .execute(tx.conn())
                .await?;
                if done.rows_affected() == 0 {
                    return Err(ChangeError::Outdated("banner"));
                }
                let after = Banner {
                    language: language.to_owned(),
                    text: form.text,
                    link: form.link,
                    begins_at: form.begins_at,
                    ends_at: form.ends_at,
                };
                let details = json!({ "language": language, "before": before, "after": after });
                Ok(audit::record(tx, &By::Staff(admin), "banner.set", ("banner", Uuid::nil()), details).await?)
            })
        })
        .await
}

/// Removes the banner of a language. Recorded in the audit log.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::Store`].
pub async fn delete_banner(store: &Store, admin: UserId, language: &str) -> Result<(), ChangeError> {
    let language = language.to_owned();
    store
        .tx("site.delete_banner", move |tx| {
            let language = language.clone();
            Box::pin(async move {
                let before = sqlx::query_as!(
                    Banner,
                    "-- store.site.delete_banner
                    delete from banners where language = $1 returning language, text, link, begins_at, ends_at",
                    language
                )
                .fetch_optional(tx.conn())
                .await?;
                let before = before.ok_or(ChangeError::NotFound("Banner"))?;
                let details = json!({ "language": language, "before": before });
                Ok(audit::record(tx, &By::Staff(admin), "banner.delete", ("banner", Uuid::nil()), details).await?)
            })
        })
        .await
}
