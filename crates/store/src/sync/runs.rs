//! The records of runs: their request, progress and result.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::ids::SyncRunId;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

use super::Fence;
use crate::error::{Result, StoreError};
use crate::{Store, Tx};

/// Maximum number of problems stored per run; further ones are only counted (`skipped`).
const MAX_PROBLEMS: i64 = 100;
/// How long the record of a run is kept, in days.
const KEEP_DAYS: i32 = 90;

/// What a run reads (`sync_runs.kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunKind {
    /// All listed products of G2A; products no longer listed are withdrawn.
    Full,
    /// Price and stock of products in stock.
    Stock,
    /// Changes at G2A since the last run.
    Incremental,
    /// One product.
    Product,
}

impl RunKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Full, Self::Stock, Self::Incremental, Self::Product];

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Stock => "STOCK",
            Self::Incremental => "INCREMENTAL",
            Self::Product => "PRODUCT",
        }
    }

    fn from_text(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| StoreError::Schema(format!("unexpected kind of run {text:?}")))
    }
}

/// The state of a run (`sync_runs.status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    /// Active, or its process died and this was not noticed yet.
    Running,
    /// Finished.
    Completed,
    /// Gave up; a new run starts from the beginning.
    Failed,
    /// Stopped half-way; the next of its kind resumes it.
    Interrupted,
}

impl RunStatus {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Running, Self::Completed, Self::Failed, Self::Interrupted];

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Interrupted => "INTERRUPTED",
        }
    }

    fn from_text(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| StoreError::Schema(format!("unexpected status of a run {text:?}")))
    }
}

/// The totals of a run, or what one step adds to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Pages whose products are written.
    pub pages_read: i32,
    /// Products seen; a product seen twice counts twice.
    pub seen: i32,
    /// New games.
    pub created: i32,
    /// Games that changed.
    pub updated: i32,
    /// Games that already matched G2A's data; nothing was written for them.
    pub unchanged: i32,
    /// Games withdrawn, or marked as sold out by a stock check, because G2A no longer lists them.
    pub withdrawn: i32,
    /// Unusable products.
    pub skipped: i32,
}

impl Counts {
    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            pages_read: self.pages_read.saturating_add(other.pages_read),
            seen: self.seen.saturating_add(other.seen),
            created: self.created.saturating_add(other.created),
            updated: self.updated.saturating_add(other.updated),
            unchanged: self.unchanged.saturating_add(other.unchanged),
            withdrawn: self.withdrawn.saturating_add(other.withdrawn),
            skipped: self.skipped.saturating_add(other.skipped),
        }
    }
}

/// What a person should know about a run: an unusable product, or a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// G2A's id of the product; `None` if it is not about one, or its id was unreadable.
    pub product: Option<String>,
    /// Description.
    pub reason: String,
}

/// A run that was started or resumed.
#[derive(Debug, Clone, PartialEq)]
pub struct Begun {
    /// The right to write.
    pub fence: Fence,
    /// When the run was first started, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// The position to continue from; `{}` for a new run.
    pub cursor: serde_json::Value,
    /// The totals so far.
    pub counts: Counts,
    /// How often it was resumed, including this time; 0 for a new run.
    pub resumes: i32,
    /// The problems so far.
    pub problems: Vec<Problem>,
    /// The estimated number of pages, from earlier.
    pub pages_total: Option<i32>,
}

/// A row of `sync_runs`.
struct Record {
    id: Uuid,
    kind: String,
    reason: String,
    status: String,
    started_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    resumes: i32,
    cursor: serde_json::Value,
    pages_read: i32,
    pages_total: Option<i32>,
    seen: i32,
    created: i32,
    updated: i32,
    unchanged: i32,
    withdrawn: i32,
    skipped: i32,
    problems: Json<Vec<Problem>>,
    stopped_by: Option<String>,
}

/// A statement that returns rows `r` of `sync_runs` as [`Record`]s, in two parts: what is before and after the columns.
macro_rules! records {
    ($before:literal, $after:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Record,
            $before
                + r#" r.id, r.kind, r.reason, r.status, r.started_at, r.updated_at, r.finished_at, r.resumes, r.cursor,
                r.pages_read, r.pages_total, r.seen, r.created, r.updated, r.unchanged, r.withdrawn, r.skipped,
                r.problems as "problems: Json<Vec<Problem>>", r.stopped_by "#
                + $after
            $(, $argument)*
        )
    };
}

/// Starts a run, or resumes an unfinished one of the same kind that began within `resume_within` (`None`: never).
///
/// Increments the epoch, so that writes under an older one are refused from now on; waits for a transaction that is
/// currently writing under it. Call it with the [`CatalogueLock`](super::CatalogueLock) held: a run marked as running
/// then has no process and is set to interrupted here, or to failed if it is too old.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn begin(tx: &mut Tx, kind: RunKind, reason: &str, resume_within: Option<Duration>) -> Result<Begun> {
    let epoch = sqlx::query_scalar!(
        "-- store.sync.raise_epoch
        insert into sync_lease as l (name, epoch) values ('catalogue', 1)
        on conflict (name) do update set epoch = l.epoch + 1 returning epoch"
    )
    .fetch_one(tx.conn())
    .await?;
    let seconds = resume_within.map_or(0, |within| i64::try_from(within.as_secs()).unwrap_or(i64::MAX / 4));
    let resumed = records!(
        "-- store.sync.take_up_run
        update sync_runs r set status = 'RUNNING', epoch = $2, resumes = resumes + 1, stopped_by = null
         where id = (select id from sync_runs
                      where kind = $1 and status in ('RUNNING', 'INTERRUPTED')
                        and started_at > now() - make_interval(secs => $3::bigint)
                      order by started_at desc limit 1)
        returning",
        "",
        kind.as_str(),
        epoch,
        seconds
    )
    .fetch_optional(tx.conn())
    .await?;
    let mut record = match resumed {
        Some(record) => record,
        None => {
            records!(
                "-- store.sync.begin_run
                insert into sync_runs as r (id, kind, reason, epoch) values ($1, $2, $3, $4) returning",
                "",
                Uuid::now_v7(),
                kind.as_str(),
                reason,
                epoch
            )
            .fetch_one(tx.conn())
            .await?
        }
    };
    let id = record.id;
    // The other runs: without a process they are interrupted, and those that will not be resumed are failed.
    sqlx::query!(
        "-- store.sync.settle_other_runs
        with settled as (
            update sync_runs
               set status = case when kind = $2 or kind = 'PRODUCT' then 'FAILED' else 'INTERRUPTED' end,
                   finished_at = case when kind = $2 or kind = 'PRODUCT' then now() end,
                   stopped_by = coalesce(stopped_by, 'its process ended') ||
                                case when kind = $2 then '; not taken up again' else '' end
             where id <> $1 and (status = 'RUNNING' or (status = 'INTERRUPTED' and kind = $2))
            returning id, status)
        delete from sync_seen s using settled t where s.run_id = t.id and t.status = 'FAILED'",
        id,
        kind.as_str()
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.sync.forget_old_runs
        delete from sync_runs where started_at < now() - make_interval(days => $1) and id <> $2",
        KEEP_DAYS,
        id
    )
    .execute(tx.conn())
    .await?;
    let cursor = std::mem::take(&mut record.cursor);
    let run = Run::from_record(record)?;
    Ok(Begun {
        fence: Fence { run: run.id, epoch },
        started_at: run.started_at,
        cursor,
        counts: run.counts,
        resumes: run.resumes,
        problems: run.problems,
        pages_total: run.pages_total,
    })
}

/// One step of a run, recorded in the transaction that writes its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The position to continue from.
    pub cursor: serde_json::Value,
    /// Estimated number of pages.
    pub pages_total: Option<i32>,
    /// What the step adds to the totals.
    pub counts: Counts,
    /// Problems of the step; at most a hundred are stored per run.
    pub problems: Vec<Problem>,
}

/// Records a step. Not idempotent: counters add up.
///
/// # Errors
/// [`StoreError::Fenced`] when a newer run has begun.
pub async fn record(tx: &mut Tx, fence: &Fence, step: &Step) -> Result<()> {
    fence.hold(tx).await?;
    let done = sqlx::query!(
        "-- store.sync.record_step
        update sync_runs
           set cursor = $3, pages_total = coalesce($4, pages_total), pages_read = pages_read + $5, seen = seen + $6,
               created = created + $7, updated = updated + $8, unchanged = unchanged + $9,
               withdrawn = withdrawn + $10, skipped = skipped + $11,
               problems = case when $12::jsonb = '[]' then problems else (
                   select coalesce(jsonb_agg(p.value order by p.nth), '[]')
                     from jsonb_array_elements(problems || $12) with ordinality as p(value, nth)
                    where p.nth <= $13) end
         where id = $1 and epoch = $2 and status = 'RUNNING'",
        fence.run.0,
        fence.epoch,
        &step.cursor,
        step.pages_total,
        step.counts.pages_read,
        step.counts.seen,
        step.counts.created,
        step.counts.updated,
        step.counts.unchanged,
        step.counts.withdrawn,
        step.counts.skipped,
        Json(&step.problems) as _,
        MAX_PROBLEMS
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StoreError::Fenced)
    }
}

/// Ends a run. Its list of seen products is deleted, unless it can be resumed.
///
/// # Errors
/// [`StoreError::Fenced`] when a newer run has begun.
pub async fn finish(tx: &mut Tx, fence: &Fence, status: RunStatus, stopped_by: Option<&str>) -> Result<Run> {
    fence.hold(tx).await?;
    let record = records!(
        "-- store.sync.finish_run
        update sync_runs r
           set status = $3, stopped_by = $4,
               finished_at = case when $3 in ('COMPLETED', 'FAILED') then now() end
         where id = $1 and epoch = $2 and status = 'RUNNING' returning",
        "",
        fence.run.0,
        fence.epoch,
        status.as_str(),
        stopped_by
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::Fenced)?;
    if matches!(status, RunStatus::Completed | RunStatus::Failed) {
        sqlx::query!(
            "-- store.sync.forget_seen\ndelete from sync_seen where run_id = $1",
            fence.run.0
        )
        .execute(tx.conn())
        .await?;
    }
    Run::from_record(record)
}

/// A run in the history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Its id.
    pub id: SyncRunId,
    /// What it reads.
    pub kind: RunKind,
    /// Who requested it.
    pub reason: String,
    /// Its state.
    pub status: RunStatus,
    /// When it was first started.
    pub started_at: DateTime<Utc>,
    /// When something was last recorded.
    pub updated_at: DateTime<Utc>,
    /// When it ended permanently.
    pub finished_at: Option<DateTime<Utc>>,
    /// How often it was resumed.
    pub resumes: i32,
    /// Estimated number of pages.
    pub pages_total: Option<i32>,
    /// Its totals.
    #[serde(flatten)]
    pub counts: Counts,
    /// The first hundred problems.
    pub problems: Vec<Problem>,
    /// Why it failed or was interrupted.
    pub stopped_by: Option<String>,
}

impl Run {
    fn from_record(record: Record) -> Result<Self> {
        Ok(Self {
            id: SyncRunId(record.id),
            kind: RunKind::from_text(&record.kind)?,
            reason: record.reason,
            status: RunStatus::from_text(&record.status)?,
            started_at: record.started_at,
            updated_at: record.updated_at,
            finished_at: record.finished_at,
            resumes: record.resumes,
            pages_total: record.pages_total,
            counts: Counts {
                pages_read: record.pages_read,
                seen: record.seen,
                created: record.created,
                updated: record.updated,
                unchanged: record.unchanged,
                withdrawn: record.withdrawn,
                skipped: record.skipped,
            },
            problems: record.problems.0,
            stopped_by: record.stopped_by,
        })
    }
}

/// The latest runs, newest first.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn recent_runs(tx: &mut Tx, limit: u32) -> Result<Vec<Run>> {
    records!(
        "-- store.sync.recent_runs
        select",
        "from sync_runs r order by r.started_at desc limit $1",
        i64::from(limit)
    )
    .fetch_all(tx.conn())
    .await?
    .into_iter()
    .map(Run::from_record)
    .collect()
}

/// A page of runs, newest first, and the number of all.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn page_of_runs(tx: &mut Tx, limit: i64, offset: i64) -> Result<(Vec<Run>, i64)> {
    let runs = records!(
        "-- store.sync.page_of_runs
        select",
        "from sync_runs r order by r.started_at desc limit $1 offset $2",
        limit,
        offset
    )
    .fetch_all(tx.conn())
    .await?;
    let all = sqlx::query_scalar!(
        r#"-- store.sync.count_runs
        select count(*) as "all!" from sync_runs"#
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((runs.into_iter().map(Run::from_record).collect::<Result<_>>()?, all))
}

/// The latest run of each kind in any state, for the schedule.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn last_runs(tx: &mut Tx) -> Result<Vec<Run>> {
    let kinds = RunKind::ALL.map(RunKind::as_str);
    records!(
        "-- store.sync.last_runs
        select",
        "from unnest($1::text[]) kinds (kind), lateral (
              select * from sync_runs of_kind where of_kind.kind = kinds.kind order by started_at desc limit 1) r",
        &kinds[..] as _
    )
    .fetch_all(tx.conn())
    .await?
    .into_iter()
    .map(Run::from_record)
    .collect()
}

/// When the last completed pass of each kind started: its answers hold from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Freshness {
    /// The last full pass.
    pub full: Option<DateTime<Utc>>,
    /// The last pass over price and stock.
    pub stock: Option<DateTime<Utc>>,
    /// The last pass over changes.
    pub incremental: Option<DateTime<Utc>>,
}

impl Freshness {
    /// The time from which price and stock are known: the latest of the three. Each covers every game: a game that a
    /// stock check does not list is sold out, one that an incremental pass does not list has not changed.
    pub fn latest(&self) -> Option<DateTime<Utc>> {
        self.full.max(self.stock).max(self.incremental)
    }
}

/// How current the catalogue is.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn freshness(store: &Store) -> Result<Freshness> {
    Ok(sqlx::query_as!(
        Freshness,
        r#"-- store.sync.freshness
        select (select max(started_at) from sync_runs where kind = 'FULL' and status = 'COMPLETED') as "full",
               (select max(started_at) from sync_runs where kind = 'STOCK' and status = 'COMPLETED') as stock,
               (select max(started_at) from sync_runs where kind = 'INCREMENTAL' and status = 'COMPLETED') as incremental"#
    )
    .fetch_one(store.alone())
    .await?)
}

/// The time up to which every change at G2A is known: the start of the last completed pass over all products or over
/// all changes. `None` before the first.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn watermark(store: &Store) -> Result<Option<DateTime<Utc>>> {
    let freshness = freshness(store).await?;
    Ok(freshness.full.and(freshness.full.max(freshness.incremental)))
}
