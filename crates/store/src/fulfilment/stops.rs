//! Stops of buying, complete or partial, visible to every process.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::steps::reason as bounded;
use crate::{Result, Store};

/// A worker's stop expires when it was not renewed for this time: it is over, or the worker is gone.
pub const FRESH: Duration = Duration::from_mins(1);

/// A reason why something is not bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// It concerns one worker; otherwise all of them.
    pub is_one_worker: bool,
    /// Description for people: what, and where.
    pub reason: String,
    /// Start of the stop.
    pub since: DateTime<Utc>,
}

/// Records that this worker buys nothing; has to be renewed within [`FRESH`].
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn hold(store: &Store, worker: Uuid, machine: &str, reason: &str) -> Result<()> {
    sqlx::query!(
        "-- store.fulfilment.hold_buying
        with old as (delete from buying_stops where seen_at < now() - interval '1 day' and worker <> $1)
        insert into buying_stops as b (worker, machine, reason) values ($1, $2, $3)
        on conflict (worker) do update
           set seen_at = now(), machine = excluded.machine, reason = excluded.reason,
               since = case when b.seen_at < now() - make_interval(secs => $4) then now() else b.since end",
        worker,
        bounded(machine),
        bounded(reason),
        FRESH.as_secs_f64()
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Records that this worker buys again.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn go_on(store: &Store, worker: Uuid) -> Result<()> {
    sqlx::query!(
        "-- store.fulfilment.go_on_buying\ndelete from buying_stops where worker = $1",
        worker
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// All stops of single workers and of all buying, oldest first.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn all(store: &Store) -> Result<Vec<Stop>> {
    let rows = sqlx::query_as!(
        Stop,
        r#"-- store.fulfilment.stops
        select true as "is_one_worker!", 'a worker on ' || machine || ': ' || reason as "reason!", since as "since!"
          from buying_stops where seen_at > now() - make_interval(secs => $1)
        union all
        select false, detail, since from supplier_alarms order by "since!""#,
        FRESH.as_secs_f64()
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows)
}
