//! Everything beside games and customers: guests, keys in stock, carts, codes, texts and settings.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lockstep_domain::Secret;
use rust_decimal::Decimal;
use serde::Serialize;
use uuid::Uuid;

use super::runs::{Run, note};
use crate::admin::g2a_settings;
use crate::mail::servers;
use crate::{Result, Store, StoreError};

/// A key in stock, sealed for its row.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of `game_keys` (docs/data-model.md)")]
pub struct StockKey {
    pub foreign_id: String,
    pub id: Uuid,
    pub game_id: Uuid,
    /// The sealed key in hexadecimal digits.
    pub sealed: String,
    /// The keyed hashes in hexadecimal digits, newest first.
    pub hashes: Vec<String>,
    /// It counts as used and is not sold.
    pub activated: bool,
    pub activation_date: Option<DateTime<Utc>>,
    /// Now, if it is not known.
    pub created_at: Option<DateTime<Utc>>,
}

/// Stores keys as stock. Returns the source's ids of those that are new; the others are here already.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn put_keys(store: &Store, run: Run, keys: &[StockKey]) -> Result<HashSet<String>> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = super::rows(keys)?;
    store
        .tx("imports.stock_keys", |tx| {
            let rows = rows.clone();
            Box::pin(async move {
                let new = sqlx::query_scalar!(
                    r#"-- store.imports.stock_keys
                    with n as (
                        select * from jsonb_to_recordset($1) as n (
                            foreign_id text, id uuid, game_id uuid, sealed text, hashes text[], activated boolean,
                            activation_date timestamptz, created_at timestamptz)
                         where not exists (select from import_rows i where i.source = $2 and i.kind = 'key'
                                              and i.foreign_id = n.foreign_id)
                           and not exists (select from game_keys k
                                            where k.key_hash = any (select decode(h, 'hex') from unnest(n.hashes) h))),
                    made as (
                        insert into game_keys (id, game_id, key_ciphertext, key_hash, activated, activation_date, created_at)
                        select id, game_id, decode(sealed, 'hex'), decode(hashes[1], 'hex'), activated,
                               case when activated then coalesce(activation_date, created_at, now()) end,
                               coalesce(created_at, now())
                          from n order by id
                        on conflict do nothing returning id)
                    insert into import_rows (source, kind, foreign_id, own_id, run_id, is_new)
                    select $2, 'key', n.foreign_id, n.id, $3, true from n join made on made.id = n.id
                    on conflict do nothing returning foreign_id"#,
                    &rows,
                    run.source.name(),
                    run.id
                )
                .fetch_all(tx.conn())
                .await?;
                Ok::<_, StoreError>(new.into_iter().collect())
            })
        })
        .await
}

/// A guest with a cart or wishlist.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of `guest_sessions`")]
pub struct Guest {
    pub id: Uuid,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// Stores guests. Returns how many are new.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn put_guests(store: &Store, guests: &[Guest]) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.imports.guests
        insert into guest_sessions (id, created_at, last_used_at, expires_at)
        select id, created_at, least(created_at, expires_at - interval '1 second'), expires_at
          from jsonb_to_recordset($1) as n (id uuid, created_at timestamptz, expires_at timestamptz)
         where expires_at > now() and not exists (select from shoppers s where s.id = n.id)
        on conflict (id) do nothing",
        super::rows(guests)?
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}

/// A cart's row.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of `cart_items`")]
pub struct CartRow {
    pub user_id: Uuid,
    pub game_id: Uuid,
    pub quantity: i32,
    pub added_at: DateTime<Utc>,
}

/// Puts games into carts, as far as they can be bought. Returns how many rows are new, and how many were here.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn put_carts(store: &Store, rows: &[CartRow]) -> Result<(u64, u64)> {
    let counts = sqlx::query!(
        r#"-- store.imports.carts
        with n as (
            select * from jsonb_to_recordset($1) as n (user_id uuid, game_id uuid, quantity integer, added_at timestamptz)),
        here as (
            select count(*) as rows from n join cart_items c on c.user_id = n.user_id and c.game_id = n.game_id),
        made as (
            insert into cart_items (user_id, game_id, quantity, added_at)
            select n.user_id, n.game_id, n.quantity, n.added_at
              from n join games g on g.id = n.game_id and g.in_stock join shoppers s on s.id = n.user_id
             where not exists (select from users u where u.id = n.user_id and u.deleted_at is not null)
            on conflict do nothing returning 1)
        select (select count(*) from made) as "new!", (select rows from here) as "here!""#,
        super::rows(rows)?
    )
    .fetch_one(store.alone())
    .await?;
    let count = |rows: i64| u64::try_from(rows).unwrap_or_default();
    Ok((count(counts.new), count(counts.here)))
}

/// A wishlist's row.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of `wishlist`")]
pub struct WishRow {
    pub user_id: Uuid,
    pub game_id: Uuid,
    pub added_at: DateTime<Utc>,
}

/// Puts games onto wishlists. Returns how many rows are new, and how many were here.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn put_wishes(store: &Store, rows: &[WishRow]) -> Result<(u64, u64)> {
    let counts = sqlx::query!(
        r#"-- store.imports.wishes
        with n as (
            select * from jsonb_to_recordset($1) as n (user_id uuid, game_id uuid, added_at timestamptz)),
        here as (
            select count(*) as rows from n join wishlist c on c.user_id = n.user_id and c.game_id = n.game_id),
        made as (
            insert into wishlist (user_id, game_id, added_at)
            select n.user_id, n.game_id, n.added_at
              from n join games g on g.id = n.game_id join shoppers s on s.id = n.user_id
             where not exists (select from users u where u.id = n.user_id and u.deleted_at is not null)
            on conflict do nothing returning 1)
        select (select count(*) from made) as "new!", (select rows from here) as "here!""#,
        super::rows(rows)?
    )
    .fetch_one(store.alone())
    .await?;
    let count = |rows: i64| u64::try_from(rows).unwrap_or_default();
    Ok((count(counts.new), count(counts.here)))
}

/// A log-in.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of `login_history`")]
pub struct Login {
    pub id: Uuid,
    pub user_id: Uuid,
    pub succeeded: bool,
    /// An IP address.
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// Stores log-ins of accounts that are here. Returns how many are new.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn put_logins(store: &Store, rows: &[Login]) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.imports.logins
        insert into login_history (id, user_id, succeeded, address, user_agent, created_at)
        select n.id, n.user_id, n.succeeded, n.address::inet, n.user_agent, n.created_at
          from jsonb_to_recordset($1) as n (id uuid, user_id uuid, succeeded boolean, address text, user_agent text,
                                            created_at timestamptz)
          join users u on u.id = n.user_id and u.deleted_at is null
        on conflict (id) do nothing",
        super::rows(rows)?
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}

/// A promo code.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of `promo_codes` (docs/data-model.md)")]
pub struct Promo {
    pub foreign_id: String,
    pub id: Uuid,
    pub code: String,
    pub discount: Decimal,
    pub active: bool,
    pub valid_from: DateTime<Utc>,
    pub valid_until: Option<DateTime<Utc>>,
    pub max_uses: Option<i32>,
    pub used_count: i32,
    pub created_at: DateTime<Utc>,
}

/// Stores a promo code; `false` if it is here.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn put_promo(store: &Store, run: Run, code: Promo) -> Result<bool> {
    let code = Arc::new(code);
    store
        .tx("imports.promo", |tx| {
            let code = Arc::clone(&code);
            Box::pin(async move {
                let done = sqlx::query!(
                    "-- store.imports.promo
                    insert into promo_codes (id, code, discount, active, valid_from, valid_until, max_uses, used_count, created_at)
                    select $1, $2, $3, $4, $5, $6, $7, $8, $9
                     where not exists (select from import_rows where source = $10 and kind = 'promo_code' and foreign_id = $11)
                    on conflict do nothing",
                    code.id,
                    code.code,
                    code.discount,
                    code.active,
                    code.valid_from,
                    code.valid_until,
                    code.max_uses,
                    code.used_count,
                    code.created_at,
                    run.source.name(),
                    code.foreign_id
                )
                .execute(tx.conn())
                .await?;
                let is_new = done.rows_affected() == 1;
                if is_new {
                    note(tx, run, "promo_code", &code.foreign_id, code.id, true).await?;
                }
                Ok::<_, StoreError>(is_new)
            })
        })
        .await
}

/// An article of the blog.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of `blog_articles` (docs/data-model.md)")]
pub struct Article {
    pub foreign_id: String,
    pub id: Uuid,
    pub slug: String,
    pub title: String,
    pub excerpt: String,
    /// Cleaned HTML.
    pub content: String,
    pub cover_image: Option<String>,
    pub category: String,
    pub tags: Vec<String>,
    pub published: bool,
    pub published_at: Option<DateTime<Utc>>,
    pub read_minutes: i32,
    pub created_at: DateTime<Utc>,
}

/// Stores an article; `false` if it, or another one with its slug, is here.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn put_article(store: &Store, run: Run, article: Article) -> Result<bool> {
    let article = Arc::new(article);
    store
        .tx("imports.article", |tx| {
            let article = Arc::clone(&article);
            Box::pin(async move {
                let done = sqlx::query!(
                    "-- store.imports.article
                    insert into blog_articles (id, slug, title, excerpt, content, cover_image, category, tags, published,
                                               published_at, read_minutes, created_at)
                    select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
                     where not exists (select from import_rows where source = $13 and kind = 'article' and foreign_id = $14)
                    on conflict do nothing",
                    article.id,
                    article.slug,
                    article.title,
                    article.excerpt,
                    article.content,
                    article.cover_image,
                    article.category,
                    &article.tags,
                    article.published,
                    article.published_at,
                    article.read_minutes,
                    article.created_at,
                    run.source.name(),
                    article.foreign_id
                )
                .execute(tx.conn())
                .await?;
                let is_new = done.rows_affected() == 1;
                if is_new {
                    note(tx, run, "article", &article.foreign_id, article.id, true).await?;
                }
                Ok::<_, StoreError>(is_new)
            })
        })
        .await
}

/// A question of the help page.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of `faqs` (docs/data-model.md)")]
pub struct Faq {
    pub foreign_id: String,
    pub id: Uuid,
    pub category: String,
    pub question: String,
    /// Cleaned HTML.
    pub answer: String,
    pub position: i32,
    pub active: bool,
    pub created_at: DateTime<Utc>,
}

/// Stores a question; `false` if it is here.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn put_faq(store: &Store, run: Run, faq: Faq) -> Result<bool> {
    let faq = Arc::new(faq);
    store
        .tx("imports.faq", |tx| {
            let faq = Arc::clone(&faq);
            Box::pin(async move {
                let done = sqlx::query!(
                    r#"-- store.imports.faq
                    insert into faqs (id, category, question, answer, "position", active, created_at)
                    select $1, $2, $3, $4, $5, $6, $7
                     where not exists (select from import_rows where source = $8 and kind = 'faq' and foreign_id = $9)
                    on conflict do nothing"#,
                    faq.id,
                    faq.category,
                    faq.question,
                    faq.answer,
                    faq.position,
                    faq.active,
                    faq.created_at,
                    run.source.name(),
                    faq.foreign_id
                )
                .execute(tx.conn())
                .await?;
                let is_new = done.rows_affected() == 1;
                if is_new {
                    note(tx, run, "faq", &faq.foreign_id, faq.id, true).await?;
                }
                Ok::<_, StoreError>(is_new)
            })
        })
        .await
}

/// A mail server. It is stored as inactive: staff test it first.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of `email_settings` (docs/data-model.md)")]
pub struct MailServer {
    pub foreign_id: String,
    pub id: Uuid,
    pub name: String,
    pub host: String,
    pub port: i32,
    pub secure: bool,
    pub username: String,
    pub password: Option<Secret>,
    pub from_email: String,
    pub from_name: Option<String>,
}

/// Stores a mail server with its password sealed; `false` if it is here.
///
/// # Errors
/// [`StoreError::Unavailable`]; [`StoreError::Rule`] when it cannot be a mail server's.
pub async fn put_mail_server(store: &Store, run: Run, server: MailServer) -> Result<bool> {
    let server = Arc::new(server);
    let sealed = (server.password.as_ref())
        .map(|password| store.seal_secret(&servers::place(server.id), password))
        .transpose()?;
    store
        .tx("imports.mail_server", |tx| {
            let server = Arc::clone(&server);
            let sealed = sealed.clone();
            Box::pin(async move {
                let done = sqlx::query!(
                    "-- store.imports.mail_server
                    insert into email_settings (id, name, host, port, secure, username, password, from_email, from_name)
                    select $1, $2, $3, $4, $5, $6, $7, $8, $9
                     where not exists (select from import_rows
                                        where source = $10 and kind = 'email_settings' and foreign_id = $11)
                    on conflict do nothing",
                    server.id,
                    server.name,
                    server.host,
                    server.port,
                    server.secure,
                    server.username,
                    sealed,
                    server.from_email,
                    server.from_name,
                    run.source.name(),
                    server.foreign_id
                )
                .execute(tx.conn())
                .await?;
                let is_new = done.rows_affected() == 1;
                if is_new {
                    note(tx, run, "email_settings", &server.foreign_id, server.id, true).await?;
                }
                Ok::<_, StoreError>(is_new)
            })
        })
        .await
}

/// An account at G2A. It is stored as inactive: staff test it first.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of `g2a_settings` (docs/data-model.md)")]
pub struct G2aAccount {
    pub foreign_id: String,
    pub id: Uuid,
    pub client_id: String,
    pub email: String,
    pub secret: Secret,
    pub environment: String,
}

/// Stores an account at G2A with its secret sealed; `false` if it is here.
///
/// # Errors
/// [`StoreError::Unavailable`]; [`StoreError::Rule`] when it cannot be an account's.
pub async fn put_g2a_settings(store: &Store, run: Run, account: G2aAccount) -> Result<bool> {
    let account = Arc::new(account);
    let sealed = store.seal_secret(&g2a_settings::place(account.id), &account.secret)?;
    store
        .tx("imports.g2a_settings", |tx| {
            let account = Arc::clone(&account);
            let sealed = sealed.clone();
            Box::pin(async move {
                let done = sqlx::query!(
                    "-- store.imports.g2a_settings
                    insert into g2a_settings (id, client_id, email, secret, environment)
                    select $1, $2, $3, $4, $5
                     where not exists (select from import_rows where source = $6 and kind = 'g2a_settings' and foreign_id = $7)
                    on conflict do nothing",
                    account.id,
                    account.client_id,
                    account.email,
                    sealed,
                    account.environment,
                    run.source.name(),
                    account.foreign_id
                )
                .execute(tx.conn())
                .await?;
                let is_new = done.rows_affected() == 1;
                if is_new {
                    note(tx, run, "g2a_settings", &account.foreign_id, account.id, true).await?;
                }
                Ok::<_, StoreError>(is_new)
            })
        })
        .await
}

/// Games by what a file calls them: the id of an imported product, an id or slug of this shop, or G2A's product id.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn find_games(store: &Store, names: &[String]) -> Result<HashMap<String, Uuid>> {
    let rows = sqlx::query!(
        r#"-- store.imports.find_games
        select n as "name!", g.id as "id!" from unnest($1::text[]) n
          cross join lateral (
            select coalesce(
                (select own_id from import_rows
                  where source in ('prisma', 'woocommerce', 'shopify') and kind = 'game' and foreign_id = n
                  order by source limit 1),
                (select id from games where id = case when n ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then n::uuid end),
                (select id from games where slug = n),
                (select id from games where g2a_product_id = n)) as id) g
         where exists (select from games x where x.id = g.id)"#,
        names
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.id)).collect())
}

/// Of these hashes, in hexadecimal digits, those of keys that are here, with the number of the order that owns each.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn owners_of_keys(store: &Store, hashes: &[String]) -> Result<HashMap<String, Option<String>>> {
    let rows = sqlx::query!(
        r#"-- store.imports.owners_of_keys
        select encode(k.key_hash, 'hex') as "hash!", o.number as "number?" from game_keys k
          left join orders o on o.id = coalesce(k.order_id, k.faulty_order_id)
         where k.key_hash in (select decode(h, 'hex') from unnest($1::text[]) h)"#,
        hashes
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(|row| (row.hash, row.number)).collect())
}

/// Further names by which files may call games of this run: SKUs.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn note_aliases(store: &Store, run: Run, aliases: &[(String, Uuid)]) -> Result<()> {
    let (names, games): (Vec<String>, Vec<Uuid>) = aliases.iter().cloned().unzip();
    sqlx::query!(
        "-- store.imports.aliases
        insert into import_rows (source, kind, foreign_id, own_id, run_id, is_new)
        select $1, 'game', n.name, n.game, $2, false from unnest($3::text[], $4::uuid[]) as n (name, game)
        on conflict do nothing",
        run.source.name(),
        run.id,
        &names,
        &games
    )
    .execute(store.alone())
    .await?;
    Ok(())
}
