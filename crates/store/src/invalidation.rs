//! The invalidation log, as its readers see it (`docs/consistency.md`).
//!
//! A reader keeps the snapshot of its last read and requests what has become visible since. The rows of a transaction
//! are returned exactly once, regardless of the order in which transactions began and committed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgListener};

use crate::audit::{self, By};
use crate::snapshot::{NotASnapshot, Snapshot};
use crate::{Result, Store, StoreError};

/// The channel on which processes wake each other after commits. Correctness does not depend on its delivery.
const CHANNEL: &str = "cache_inval";

/// Tags invalidated by one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalidation {
    /// The transaction.
    pub xid: u64,
    /// Tags (`lockstep_domain::cache_key`).
    pub tags: Vec<String>,
}

/// Maximum number of rows, and of tags, that one read returns. Beyond it, a reader is better off rejecting everything
/// older than the read than processing each change (and PostgreSQL would refuse to build an answer that large).
const MOST_ROWS: i64 = 5_000;
const MOST_TAGS: i64 = 100_000;

/// Rows of the log as PostgreSQL aggregates them: transaction and tags.
type Rows = sqlx::types::Json<Vec<(String, Vec<String>)>>;

/// The answer of the server to one read of the log.
struct LogRow {
    /// `None`: this incarnation of the server has no name yet.
    identity: Option<String>,
    snapshot: String,
    /// `None`: more than one read returns.
    news: Option<Rows>,
    floor: String,
    foreign: bool,
}

/// The result of one read of the log.
#[derive(Debug, Clone)]
pub struct LogDelta {
    /// The snapshot of this read: the rows of every transaction it sees are in `news` or were in that of an earlier
    /// read.
    pub snapshot: Snapshot,
    /// What has become visible since.
    pub news: Vec<Invalidation>,
    /// `false`: more has become visible than one read returns, and `news` is empty. From then on only values that have
    /// seen everything that `snapshot` sees are valid.
    pub complete: bool,
    /// Identifies the database: system identifier, timeline, database, log table and incarnation. A database that was
    /// restored, promoted or recovered after a crash differs in one of them, and its transaction ids have another
    /// meaning.
    pub identity: String,
    /// Values with an `xmin` below this may be stale without an entry in the log.
    pub floor: u64,
    /// The log or its floor holds ids that this server has not assigned yet: they came with a dump of another server,
    /// and every cached value is rejected until [`Store::forget_foreign_ids`] has been called.
    pub foreign: bool,
}

/// Maximum number of rows that one pruning deletes.
pub const PRUNED_AT_ONCE: u64 = 10_000;

impl Store {
    /// Reads what has become visible since `last`, in one statement and therefore in one snapshot.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; then the reader learns nothing new, and its knowledge ages. A standby server is
    /// also an error: its snapshots do not show which transactions were running.
    pub async fn look_at_invalidations(&self, last: &Snapshot) -> Result<LogDelta> {
        let mut row = self.query_log(last).await?;
        if row.identity.is_none() {
            // The first read since the server was created or crashed.
            sqlx::query!(
                "-- store.invalidation.incarnate\ninsert into cache_incarnation default values on conflict do nothing"
            )
            .execute(self.alone())
            .await?;
            row = self.query_log(last).await?;
        }
        Ok(LogDelta {
            snapshot: row.snapshot.parse().map_err(|NotASnapshot| unexpected("snapshot"))?,
            complete: row.news.is_some(),
            news: row
                .news
                .map(|json| json.0)
                .unwrap_or_default()
                .into_iter()
                .map(|(xid, tags)| {
                    Ok(Invalidation {
                        xid: xid.parse().map_err(|_| unexpected("xid"))?,
                        tags,
                    })
                })
                .collect::<Result<_>>()?,
            identity: row.identity.ok_or_else(|| unexpected("incarnation"))?,
            floor: row.floor.parse().map_err(|_| unexpected("floor"))?,
            foreign: row.foreign,
        })
    }

    async fn query_log(&self, last: &Snapshot) -> Result<LogRow> {
        // After a promotion, `pg_walfile_name` starts with the new timeline at once, unlike the control file, and it
        // fails on a standby.
        sqlx::query_as!(
            LogRow,
            r#"-- store.invalidation.look
            with news as materialized (
                select xid, tags from cache_inval
                 where xid >= $1::text::xid8 and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
                 limit $3::bigint + 1)
            select (select system_identifier::text from pg_control_system())
                       || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
                       || '/' || (select oid::text from pg_database where datname = current_database())
                       || '/' || (select tableoid::oid::text from cache_floor)
                       || '/' || (select id::text from cache_incarnation) as identity,
                   pg_current_snapshot()::text as "snapshot!",
                   case when n <= $3 and tags <= $4
                        then (select coalesce(jsonb_agg(jsonb_build_array(xid::text, news.tags)), '[]') from news) end as "news: Rows",
                   (select floor::text from cache_floor) as "floor!",
                   exists (select from cache_inval where xid >= pg_snapshot_xmax(pg_current_snapshot()))
                       or exists (select from cache_floor where floor > pg_snapshot_xmax(pg_current_snapshot())) as "foreign!"
              from (select count(*) as n, coalesce(sum(cardinality(tags)), 0) as tags from news) size"#,
            last.xmin.to_string(),
            pg_text(last),
            MOST_ROWS,
            MOST_TAGS
        )
        .fetch_one(self.alone())
        .await
        .map_err(from_a_standby)
    }

    /// Deletes rows older than `keep` and raises the floor above them, in one transaction; returns how many rows, at
    /// most [`PRUNED_AT_ONCE`]. Ids of another server do not raise it ([`Store::forget_foreign_ids`]).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn prune_invalidations(&self, keep: Duration) -> Result<u64> {
        let seconds = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
        let pruned = sqlx::query_scalar!(
            r#"-- store.invalidation.prune
            with gone as (
                delete from cache_inval where ctid = any (array(
                    select ctid from cache_inval where at < now() - make_interval(secs => $1::bigint)
                     order by at limit $2)) returning xid),
            top as (
                select max(xid::text::numeric) filter (where xid < pg_snapshot_xmax(pg_current_snapshot())) as xid,
                       count(*) as n
                  from gone),
            raised as (
                update cache_floor set floor = greatest(floor::text::numeric, top.xid + 1)::text::xid8
                  from top where top.xid is not null)
            select n as "n!" from top"#,
            seconds,
            i64::try_from(PRUNED_AT_ONCE).unwrap_or(i64::MAX)
        )
        .fetch_one(self.alone())
        .await?;
        Ok(crate::row::how_many_of(pruned))
    }

    /// Becomes the only evictor called `name` until the [`EvictorLease`] is dropped or its connection is lost; `None`
    /// while another process holds it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn evictor_lease(&self, name: &str) -> Result<Option<EvictorLease>> {
        let mut connection = self.connect().await?;
        let mine = sqlx::query_scalar!(
            r#"-- store.invalidation.turn
            select pg_try_advisory_lock(hashtext('lockstep relay'), hashtext($1)) as "mine!""#,
            name
        )
        .fetch_one(&mut connection)
        .await?;
        if !mine {
            connection.close().await?;
            return Ok(None);
        }
        Ok(Some(EvictorLease {
            connection,
            name: name.to_owned(),
        }))
    }

    /// Wakes the listeners of all processes. Runs outside transactions: PostgreSQL makes committing transactions that
    /// notify wait for each other.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn wake_all(&self) -> Result<()> {
        sqlx::query!("-- store.invalidation.wake\nselect pg_notify($1, '')", CHANNEL)
            .execute(self.alone())
            .await?;
        Ok(())
    }

    /// Opens a dedicated connection that receives [`wake_all`](Self::wake_all) of every process.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn wakeups(&self) -> Result<Wakeups> {
        let mut listener = PgListener::connect_with(self.pool()).await?;
        listener.listen(CHANNEL).await?;
        Ok(Wakeups(listener))
    }
}

/// Makes every cached answer with one of these tags invalid in all processes, on behalf of `by`. Recorded in the audit log
/// with `pattern`, which is what they asked for. Without tags it only records.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn drop_answers(store: &Store, by: &By, pattern: &str, tags: &[String]) -> Result<()> {
    let asked = std::sync::Arc::new((by.clone(), pattern.to_owned(), tags.to_vec()));
    store
        .tx("invalidation.drop", move |tx| {
            let asked = std::sync::Arc::clone(&asked);
            Box::pin(async move {
                let (by, pattern, tags) = &*asked;
                if !tags.is_empty() {
                    sqlx::query!(
                        "-- store.invalidation.drop\ninsert into cache_inval (tags) values ($1)",
                        tags
                    )
                    .execute(tx.conn())
                    .await?;
                }
                let details = json!({ "pattern": pattern });
                audit::record(tx, by, "cache.invalidate", ("cache", uuid::Uuid::nil()), details).await
            })
        })
        .await
}

/// A standby has no readable log ("recovery is in progress"). It may be promoted, or be replaced by the primary: the
/// error is transient.
fn from_a_standby(error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    if code.is_some_and(|code| code == "55000") {
        StoreError::Unavailable(error)
    } else {
        error.into()
    }
}

fn unexpected(what: &str) -> StoreError {
    StoreError::Schema(format!("unexpected {what} in the invalidation log"))
}

/// The exclusive right to be the evictor. It is tied to one connection, so it ends with the process in every case. Two
/// holders are possible for a moment if a connection is lost without being noticed; both then remove keys, which is
/// harmless.
#[derive(Debug)]
pub struct EvictorLease {
    connection: PgConnection,
    name: String,
}

impl EvictorLease {
    /// The evictor's position; `None` before its first step.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the right is lost.
    pub async fn cursor(&mut self) -> Result<Option<Snapshot>> {
        let text = sqlx::query_scalar!(
            r#"-- store.invalidation.cursor
            select snapshot::text as "snapshot!" from relay_cursor where name = $1"#,
            self.name
        )
        .fetch_optional(&mut self.connection)
        .await?;
        text.map(|text| text.parse().map_err(|NotASnapshot| unexpected("cursor")))
            .transpose()
    }

    /// Stores the evictor's position.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the right is lost.
    pub async fn set_cursor(&mut self, snapshot: &Snapshot) -> Result<()> {
        sqlx::query!(
            "-- store.invalidation.set_cursor
            insert into relay_cursor (name, snapshot) values ($1, $2::text::pg_snapshot)
            on conflict (name) do update set snapshot = excluded.snapshot",
            self.name,
            pg_text(snapshot)
        )
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Checks that the right is still held.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the right is lost.
    pub async fn check(&mut self) -> Result<()> {
        self.connection.ping().await?;
        Ok(())
    }

    /// Releases the right for other processes.
    pub async fn end(self) {
        // A connection that cannot be closed cleanly is dropped anyway.
        self.connection.close().await.ok();
    }
}

/// PostgreSQL has no snapshot below 1; [`Snapshot::ORIGIN`] is sent as its first.
fn pg_text(snapshot: &Snapshot) -> String {
    if snapshot.xmax == 0 {
        "1:1:".to_owned()
    } else {
        snapshot.to_string()
    }
}

/// Receives wake-ups when another process has committed.
#[derive(Debug)]
pub struct Wakeups(PgListener);

impl Wakeups {
    /// Waits for the next wake-up.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the connection is lost; request a new one.
    pub async fn next(&mut self) -> Result<()> {
        self.0.recv().await?;
        Ok(())
    }
}

/// When the log was last written, for diagnostics.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn newest(store: &Store) -> Result<Option<DateTime<Utc>>> {
    Ok(
        sqlx::query_scalar!("-- store.invalidation.newest\nselect max(at) from cache_inval")
            .fetch_one(store.alone())
            .await?,
    )
}
