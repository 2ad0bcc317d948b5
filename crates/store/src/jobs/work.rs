//! How a worker takes a job, keeps it, and gives it back or ends it.

use std::time::Duration;

use sqlx::types::Json;
use uuid::Uuid;

use super::{Job, JobResult, JobState, Lane, Record};
use crate::{Result, Store, StoreError};

/// The right to do a job, until its lease is over and another worker has taken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    job: Uuid,
    epoch: i64,
}

impl Claim {
    /// The right that came with a job.
    pub const fn of(job: &Job) -> Self {
        Self {
            job: job.id,
            epoch: job.epoch,
        }
    }
}

/// Takes the open job of a lane for the duration `lease`, if it is due and no other worker has it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn claim(store: &Store, worker: Uuid, lane: Lane, lease: Duration) -> Result<Option<Job>> {
    jobs!(
        "-- store.jobs.claim
        update supplier_jobs j
           set state = 'RUNNING', epoch = epoch + 1, worker = $1, due_at = now() + make_interval(secs => $3),
               started_at = coalesce(started_at, now())
         where id = (select id from supplier_jobs
                      where lane = $2 and finished_at is null and due_at <= now() for update skip locked)
        returning",
        "",
        worker,
        lane.as_str(),
        lease.as_secs_f64()
    )
    .fetch_optional(store.alone())
    .await?
    .map(Job::of)
    .transpose()
}

/// Renews the lease and returns whether staff asked to cancel the job.
///
/// # Errors
/// [`StoreError::Fenced`] when another worker has taken the job; [`StoreError::Unavailable`].
pub async fn renew(store: &Store, claim: Claim, lease: Duration) -> Result<bool> {
    let cancel = sqlx::query_scalar!(
        r#"-- store.jobs.renew
        update supplier_jobs set due_at = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state = 'RUNNING' returning cancel_asked_at is not null as "cancel!""#,
        claim.job,
        claim.epoch,
        lease.as_secs_f64()
    )
    .fetch_optional(store.alone())
    .await?;
    cancel.ok_or(StoreError::Fenced)
}

/// Records what the job has done, and that `done` of its products are.
///
/// # Errors
/// As [`renew`].
pub async fn save(store: &Store, claim: Claim, done: i32, result: &JobResult) -> Result<()> {
    let saved = sqlx::query!(
        "-- store.jobs.save
        update supplier_jobs set done = $3, result = $4 where id = $1 and epoch = $2 and state = 'RUNNING'",
        claim.job,
        claim.epoch,
        done,
        Json(result) as _
    )
    .execute(store.alone())
    .await?;
    held(saved.rows_affected())
}

/// Gives the job back: the next worker takes it after `wait` and goes on.
///
/// # Errors
/// As [`renew`].
pub async fn release(store: &Store, claim: Claim, wait: Duration) -> Result<()> {
    let released = sqlx::query!(
        "-- store.jobs.release
        update supplier_jobs set state = 'WAITING', worker = null, due_at = now() + make_interval(secs => $3)
         where id = $1 and epoch = $2 and state = 'RUNNING'",
        claim.job,
        claim.epoch,
        wait.as_secs_f64()
    )
    .execute(store.alone())
    .await?;
    held(released.rows_affected())
}

/// Ends the job.
///
/// # Errors
/// As [`renew`].
pub async fn finish(store: &Store, claim: Claim, state: JobState, result: &JobResult) -> Result<()> {
    let ended = sqlx::query!(
        "-- store.jobs.finish
        with ended as (
            update supplier_jobs set state = $3, finished_at = now(), worker = null, result = $4
             where id = $1 and epoch = $2 and state = 'RUNNING' returning id)
        insert into cache_inval (tags) select array[$5] from ended",
        claim.job,
        claim.epoch,
        state.as_str(),
        Json(result) as _,
        super::TAG
    )
    .execute(store.alone())
    .await?;
    // Requests in other processes wait for it.
    store.announce_commit();
    held(ended.rows_affected())
}

fn held(rows: u64) -> Result<()> {
    if rows == 1 { Ok(()) } else { Err(StoreError::Fenced) }
}
