//! What each process has counted of calls to the supplier and of webhooks: every process writes its own row every few
//! seconds, and any process can read the sum.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Result, Store, Tx};

/// A process that has not reported for this long is not running.
pub const SILENT: Duration = Duration::from_secs(20);

/// How long the row of a process that ended is kept, in days.
const KEEP_DAYS: i32 = 7;

/// The counts of one process since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessCalls {
    /// Requests sent to the supplier.
    pub requests: u64,
    /// Those that succeeded.
    pub succeeded: u64,
    /// Those that did not.
    pub failed: u64,
    /// Those that repeated a failed one.
    pub retried: u64,
    /// Durations of the latest hundred, in milliseconds.
    pub latency_ms: Vec<u32>,
    /// Webhooks received.
    pub webhooks: u64,
    /// Those that were refused.
    pub webhooks_refused: u64,
    /// Of a worker.
    pub worker: Option<WorkerState>,
}

/// What a worker makes of the supplier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerState {
    /// State of its circuit breaker: `closed`, `open` or `half-open`.
    pub breaker: String,
    /// Consecutive failures.
    pub failures: u32,
    /// Time until an open breaker tries the next call.
    pub retry_in: Option<Duration>,
    /// Most calls that may be made at once.
    pub budget_capacity: u32,
    /// Calls that become available each minute.
    pub budget_per_minute: u32,
}

/// A row, as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// The process.
    pub process: Uuid,
    /// Its counts.
    pub calls: ProcessCalls,
    /// When an open breaker tries the next call.
    pub retry_at: Option<DateTime<Utc>>,
    /// When it last reported.
    pub seen_at: DateTime<Utc>,
    /// Whether it runs.
    pub runs: bool,
}

/// Reports the counts of a process.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn report(store: &Store, process: Uuid, calls: &ProcessCalls) -> Result<()> {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let small = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let worker = calls.worker.as_ref();
    let latency: Vec<i32> = calls
        .latency_ms
        .iter()
        .rev()
        .take(100)
        .rev()
        .map(|ms| small(*ms))
        .collect();
    sqlx::query!(
        "-- store.supplier_calls.report
        insert into supplier_calls (process, is_worker, requests, succeeded, failed, retried, latency_ms, webhooks,
                                    webhooks_refused, breaker, failures, retry_at, budget_capacity, budget_per_minute)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now() + make_interval(secs => $12), $13, $14)
        on conflict (process) do update
           set requests = excluded.requests, succeeded = excluded.succeeded, failed = excluded.failed,
               retried = excluded.retried, latency_ms = excluded.latency_ms, webhooks = excluded.webhooks,
               webhooks_refused = excluded.webhooks_refused, breaker = excluded.breaker, failures = excluded.failures,
               retry_at = excluded.retry_at, budget_capacity = excluded.budget_capacity,
               budget_per_minute = excluded.budget_per_minute, seen_at = now()",
        process,
        worker.is_some(),
        number(calls.requests),
        number(calls.succeeded),
        number(calls.failed),
        number(calls.retried),
        &latency,
        number(calls.webhooks),
        number(calls.webhooks_refused),
        worker.map(|worker| worker.breaker.as_str()),
        worker.map_or(0, |worker| small(worker.failures)),
        worker.and_then(|worker| worker.retry_in).map(|wait| wait.as_secs_f64()),
        worker.map(|worker| small(worker.budget_capacity)),
        worker.map(|worker| small(worker.budget_per_minute))
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Says that a process has ended; its counts are kept.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn leave(store: &Store, process: Uuid) -> Result<()> {
    sqlx::query!(
        "-- store.supplier_calls.leave
        update supplier_calls set seen_at = least(seen_at, now() - make_interval(secs => $2)) where process = $1",
        process,
        SILENT.as_secs_f64()
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// The rows of all processes, the latest first.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn all(tx: &mut Tx) -> Result<Vec<Reported>> {
    let rows = sqlx::query!(
        r#"-- store.supplier_calls.all
        select process, is_worker, requests, succeeded, failed, retried, latency_ms, webhooks, webhooks_refused, breaker,
               failures, retry_at, budget_capacity, budget_per_minute, seen_at,
               seen_at > now() - make_interval(secs => $1) as "runs!"
          from supplier_calls order by seen_at desc, process limit 1000"#,
        SILENT.as_secs_f64()
    )
    .fetch_all(tx.conn())
    .await?;
    let number = |count: i64| u64::try_from(count).unwrap_or(0);
    let small = |count: i32| u32::try_from(count).unwrap_or(0);
    Ok(rows
        .into_iter()
        .map(|row| Reported {
            process: row.process,
            calls: ProcessCalls {
                requests: number(row.requests),
                succeeded: number(row.succeeded),
                failed: number(row.failed),
                retried: number(row.retried),
                latency_ms: row.latency_ms.iter().map(|ms| small(*ms)).collect(),
                webhooks: number(row.webhooks),
                webhooks_refused: number(row.webhooks_refused),
                worker: row.is_worker.then(|| WorkerState {
                    breaker: row.breaker.unwrap_or_else(|| "closed".to_owned()),
                    failures: small(row.failures),
                    retry_in: None,
                    budget_capacity: row.budget_capacity.map_or(0, small),
                    budget_per_minute: row.budget_per_minute.map_or(0, small),
                }),
            },
            retry_at: row.retry_at,
            seen_at: row.seen_at,
            runs: row.runs,
        })
        .collect())
}

/// Deletes the rows of processes that ended a week ago; returns how many.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sweep(store: &Store) -> Result<u64> {
    let gone = sqlx::query!(
        "-- store.supplier_calls.sweep
        delete from supplier_calls where process in (
            select process from supplier_calls where seen_at < now() - make_interval(days => $1)
             limit 1000 for update skip locked)",
        KEEP_DAYS
    );
    Ok(gone.execute(store.alone()).await?.rows_affected())
}
