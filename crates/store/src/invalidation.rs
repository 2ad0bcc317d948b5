//! The invalidation log as its readers see it (`docs/consistency.md`).
//!
//! A reader keeps the snapshot of its last look and asks for what has become visible since. A transaction's rows are
//! returned exactly once, whatever the order in which transactions began and committed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgListener;

use crate::snapshot::{NotASnapshot, Snapshot};
use crate::{Result, Store, StoreError};

/// The channel on which processes wake each other after commits. Nothing rests on its delivery.
const CHANNEL: &str = "cache_inval";

/// Tags made untrue by one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalidation {
    /// The transaction.
    pub xid: u64,
    /// Tags (`lockstep_domain::cache_key`).
    pub tags: Vec<String>,
}

/// What one look at the log brought.
#[derive(Debug, Clone)]
pub struct Look {
    /// The snapshot of this look: every transaction it sees is either in `news` or was in that of an earlier look.
    pub snapshot: Snapshot,
    /// What has become visible since.
    pub news: Vec<Invalidation>,
    /// Which database this is: system identifier and timeline. A restored or failed-over database differs, and its
    /// transaction numbers mean something else.
    pub identity: String,
    /// Values stamped with an `xmin` below this may be untrue without the log saying so any more.
    pub floor: u64,
}

impl Store {
    /// What has become visible since `last`, in one statement.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; then the reader knows nothing new, and its old knowledge ages.
    pub async fn look_at_invalidations(&self, last: &Snapshot) -> Result<Look> {
        let row = sqlx::query(
            "-- store.invalidation.look
            select pg_current_snapshot()::text,
                   (select coalesce(jsonb_agg(jsonb_build_array(xid::text, tags)), '[]')
                      from cache_inval
                     where xid >= $1::text::xid8 and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot)),
                   (select system_identifier::text from pg_control_system())
                       || '/' || (select timeline_id::text from pg_control_checkpoint()),
                   (select floor::text from cache_floor)",
        )
        .bind(last.xmin.to_string())
        .bind(pg_text(last))
        .fetch_one(self.pool())
        .await?;
        let snapshot: String = row.try_get(0)?;
        let news: sqlx::types::Json<Vec<(String, Vec<String>)>> = row.try_get(1)?;
        let floor: String = row.try_get(3)?;
        let unexpected = |what: &str| StoreError::Schema(format!("unexpected {what} in the invalidation log"));
        Ok(Look {
            snapshot: snapshot.parse().map_err(|NotASnapshot| unexpected("snapshot"))?,
            news: news
                .0
                .into_iter()
                .map(|(xid, tags)| {
                    Ok(Invalidation {
                        xid: xid.parse().map_err(|_| unexpected("xid"))?,
                        tags,
                    })
                })
                .collect::<Result<_>>()?,
            identity: row.try_get(2)?,
            floor: floor.parse().map_err(|_| unexpected("floor"))?,
        })
    }

    /// Deletes what is older than `keep` and raises the floor above it, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn prune_invalidations(&self, keep: Duration) -> Result<u64> {
        let seconds = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
        let row = sqlx::query(
            "-- store.invalidation.prune
            with gone as (
                delete from cache_inval where at < now() - make_interval(secs => $1::bigint) returning xid),
            top as (select max(xid::text::numeric) as xid, count(*) as n from gone),
            raised as (
                update cache_floor set floor = greatest(floor::text::numeric, top.xid + 1)::text::xid8
                  from top where top.n > 0)
            select n from top",
        )
        .bind(seconds)
        .fetch_one(self.pool())
        .await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0))
    }

    /// Where the relay called `name` has got to; `None` before its first step.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn relay_cursor(&self, name: &str) -> Result<Option<Snapshot>> {
        let text: Option<String> =
            sqlx::query_scalar("-- store.invalidation.cursor\nselect snapshot::text from relay_cursor where name = $1")
                .bind(name)
                .fetch_optional(self.pool())
                .await?;
        text.map(|text| {
            text.parse()
                .map_err(|NotASnapshot| StoreError::Schema("unexpected relay cursor".into()))
        })
        .transpose()
    }

    /// Remembers where the relay called `name` has got to.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn set_relay_cursor(&self, name: &str, snapshot: &Snapshot) -> Result<()> {
        sqlx::query(
            "-- store.invalidation.set_cursor
            insert into relay_cursor (name, snapshot) values ($1, $2::text::pg_snapshot)
            on conflict (name) do update set snapshot = excluded.snapshot",
        )
        .bind(name)
        .bind(pg_text(snapshot))
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Wakes the listeners of all processes. Sent on its own, never inside a transaction: PostgreSQL makes committing
    /// transactions that notify wait for each other.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn wake_all(&self) -> Result<()> {
        sqlx::query("-- store.invalidation.wake\nselect pg_notify($1, '')")
            .bind(CHANNEL)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// A connection of its own that hears [`wake_all`](Self::wake_all) of every process.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn wakeups(&self) -> Result<Wakeups> {
        let mut listener = PgListener::connect_with(self.pool()).await?;
        listener.listen(CHANNEL).await?;
        Ok(Wakeups(listener))
    }
}

/// PostgreSQL has no snapshot below 1; [`Snapshot::ORIGIN`] reads as its first.
fn pg_text(snapshot: &Snapshot) -> String {
    if snapshot.xmax == 0 {
        "1:1:".to_owned()
    } else {
        snapshot.to_string()
    }
}

/// Hears when another process has committed something.
#[derive(Debug)]
pub struct Wakeups(PgListener);

impl Wakeups {
    /// Waits for the next wake-up.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the connection is lost; ask for a new one.
    pub async fn next(&mut self) -> Result<()> {
        self.0.recv().await?;
        Ok(())
    }
}

/// When the log was last written, for diagnosis.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn newest(store: &Store) -> Result<Option<DateTime<Utc>>> {
    Ok(
        sqlx::query_scalar("-- store.invalidation.newest\nselect max(at) from cache_inval")
            .fetch_one(store.pool())
            .await?,
    )
}
