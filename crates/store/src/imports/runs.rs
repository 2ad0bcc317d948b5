//! The record of each run, and its undoing.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::audit::{self, By};
use crate::{Result, Store, StoreError, Tx};

/// Time limit of a statement.
const PATIENCE: &str = "30min";

/// Where the rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The PostgreSQL database of a Prisma shop.
    Prisma,
    /// Files of WooCommerce.
    WooCommerce,
    /// Files of Shopify.
    Shopify,
    /// A file of keys.
    Keys,
}

impl Source {
    /// Its name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prisma => "prisma",
            Self::WooCommerce => "woocommerce",
            Self::Shopify => "shopify",
            Self::Keys => "keys",
        }
    }
}

/// A run that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// Where its rows come from.
    pub source: Source,
    /// An earlier process began it and was killed.
    pub is_resumed: bool,
    /// When the last run of this source that ended has begun.
    pub before: Option<DateTime<Utc>>,
}

/// Begins a run, or goes on with the one of this source that never ended.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn begin(store: &Store, source: Source, by: &By) -> Result<Run> {
    store
        .tx("imports.begin", |tx| {
            let by = by.clone();
            Box::pin(async move {
                let before = sqlx::query_scalar!(
                    "-- store.imports.before\nselect max(began_at) from import_runs where source = $1 and ended_at is not null and undone_at is null",
                    source.name()
                )
                .fetch_one(tx.conn())
                .await?;
                let open = sqlx::query_scalar!(
                    "-- store.imports.open\nselect id from import_runs where source = $1 and ended_at is null",
                    source.name()
                )
                .fetch_optional(tx.conn())
                .await?;
                if let Some(id) = open {
                    return Ok(Run {
                        id,
                        source,
                        is_resumed: true,
                        before,
                    });
                }
                let id = Uuid::now_v7();
                sqlx::query!(
                    "-- store.imports.begin\ninsert into import_runs (id, source) values ($1, $2)",
                    id,
                    source.name()
                )
                .execute(tx.conn())
                .await?;
                let details = serde_json::json!({ "source": source.name() });
                audit::record(tx, &by, "import.begin", ("import_run", id), details).await?;
                Ok(Run {
                    id,
                    source,
                    is_resumed: false,
                    before,
                })
            })
        })
        .await
}

/// Ends a run with its totals.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn end(store: &Store, run: Run, result: &Value) -> Result<()> {
    // The batches left the key figures to the end: one pass over the books.
    store
        .tx("imports.figures", |tx| {
            Box::pin(async move {
                patience(tx).await?;
                sqlx::query!("-- store.imports.figures\nselect sales_sums_again()")
                    .fetch_one(tx.conn())
                    .await?;
                Ok::<_, StoreError>(())
            })
        })
        .await?;
    sqlx::query!(
        "-- store.imports.end\nupdate import_runs set ended_at = now(), result = $2 where id = $1 and ended_at is null",
        run.id,
        result
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Lets the statements of a transaction take longer than a shopper would wait: a commit checks the books of thousands of rows.
pub(super) async fn patience(tx: &mut Tx) -> Result<()> {
    sqlx::query!(
        "-- store.imports.patience\nselect set_config('statement_timeout', $1, true)",
        PATIENCE
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(())
}

/// The ids here of rows of the source that were brought before.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn known(store: &Store, source: Source, kind: &str, foreign: &[String]) -> Result<HashMap<String, Uuid>> {
    let rows = sqlx::query!(
        "-- store.imports.known
        select foreign_id, own_id from import_rows where source = $1 and kind = $2 and foreign_id = any ($3)",
        source.name(),
        kind,
        foreign
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(|row| (row.foreign_id, row.own_id)).collect())
}

/// Records one row of the source.
pub(super) async fn note(tx: &mut Tx, run: Run, kind: &str, foreign: &str, own: Uuid, is_new: bool) -> Result<()> {
    sqlx::query!(
        "-- store.imports.note
        insert into import_rows (source, kind, foreign_id, own_id, run_id, is_new) values ($1, $2, $3, $4, $5, $6)
        on conflict do nothing",
        run.source.name(),
        kind,
        foreign,
        own,
        run.id,
        is_new
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A run by its id; `None` if there is none. With whether it was undone.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn find(store: &Store, id: Uuid) -> Result<Option<(String, bool)>> {
    let row = sqlx::query!(
        r#"-- store.imports.find
        select source, undone_at is not null as "is_undone!" from import_runs where id = $1"#,
        id
    )
    .fetch_optional(store.alone())
    .await?;
    Ok(row.map(|row| (row.source, row.is_undone)))
}

/// What undoing a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// Its rows are gone: keys, games.
    Gone {
        /// Deleted keys.
        keys: u64,
        /// Deleted games.
        games: u64,
    },
    /// It brought customers or orders, which the books keep.
    Booked,
    /// So many of its keys or games were sold or shown since.
    Sold(i64),
}

/// Deletes what a run brought, as long as nothing of it was sold.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn undo(store: &Store, id: Uuid, by: &By) -> Result<Undone> {
    store
        .tx("imports.undo", |tx| {
            let by = by.clone();
            Box::pin(async move {
                let booked = sqlx::query_scalar!(
                    r#"-- store.imports.undo.booked
                    select exists (select from import_rows where run_id = $1 and is_new and kind in ('user', 'order')) as "booked!""#,
                    id
                )
                .fetch_one(tx.conn())
                .await?;
                if booked {
                    return Ok::<_, StoreError>(Undone::Booked);
                }
                let sold = sqlx::query_scalar!(
                    r#"-- store.imports.undo.sold
                    select (select count(*) from import_rows r join game_keys k on k.id = r.own_id
                             where r.run_id = $1 and r.kind = 'key' and r.is_new
                               and (coalesce(k.order_unit_id, k.faulty_unit_id) is not null
                                    or exists (select from key_reveals v where v.game_key_id = k.id)))
                         + (select count(*) from import_rows r
                             where r.run_id = $1 and r.kind = 'game' and r.is_new
                               and (exists (select from order_items i where i.game_id = r.own_id)
                                    or exists (select from game_keys k where k.game_id = r.own_id
                                                and not exists (select from import_rows m where m.run_id = $1 and m.kind = 'key'
                                                                   and m.own_id = k.id)))) as "sold!""#,
                    id
                )
                .fetch_one(tx.conn())
                .await?;
                if sold > 0 {
                    return Ok(Undone::Sold(sold));
                }
                let keys = sqlx::query!(
                    "-- store.imports.undo.keys
                    delete from game_keys k using import_rows r
                     where r.run_id = $1 and r.kind = 'key' and r.is_new and k.id = r.own_id",
                    id
                )
                .execute(tx.conn())
                .await?
                .rows_affected();
                let games = sqlx::query!(
                    "-- store.imports.undo.games
                    delete from games g using import_rows r
                     where r.run_id = $1 and r.kind = 'game' and r.is_new and g.id = r.own_id",
                    id
                )
                .execute(tx.conn())
                .await?
                .rows_affected();
                sqlx::query!("-- store.imports.undo.rows\ndelete from import_rows where run_id = $1", id)
                    .execute(tx.conn())
                    .await?;
                sqlx::query!(
                    "-- store.imports.undo.run
                    update import_runs set ended_at = coalesce(ended_at, now()), undone_at = now() where id = $1",
                    id
                )
                .execute(tx.conn())
                .await?;
                let details = serde_json::json!({ "keys": keys, "games": games });
                audit::record(tx, &by, "import.undo", ("import_run", id), details).await?;
                Ok(Undone::Gone { keys, games })
            })
        })
        .await
}
