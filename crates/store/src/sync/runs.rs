//! The record of every run: what was asked for, how far it is, what came of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::ids::SyncRunId;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::Fence;
use crate::error::{Result, StoreError};
use crate::{Store, Tx};

/// Problems kept with a run; more are only counted (`skipped`).
const MAX_PROBLEMS: i64 = 100;
/// How long the record of a run is kept.
const KEEP_DAYS: i32 = 90;

/// What a run goes through (`sync_runs.kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunKind {
    /// Everything that G2A lists; what it does not list any more is withdrawn.
    Full,
    /// Price and stock of what is in stock.
    Stock,
    /// What G2A changed since the last time.
    Incremental,
    /// One product.
    Product,
}

impl RunKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Full, Self::Stock, Self::Incremental, Self::Product];

    /// As the database spells it.
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

/// Where a run stands (`sync_runs.status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    /// At work, or its process died and nobody has noticed yet.
    Running,
    /// Went through to the end.
    Completed,
    /// Gave up; a new one begins from the start.
    Failed,
    /// Stopped half-way; the next of its kind goes on where it was.
    Interrupted,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Running, Self::Completed, Self::Failed, Self::Interrupted];

    /// As the database spells it.
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

/// What a run has done so far, or what one step adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Pages whose products are written.
    pub pages_read: i32,
    /// Products met, a product met twice counted twice.
    pub seen: i32,
    /// Games that are new here.
    pub created: i32,
    /// Games that changed.
    pub updated: i32,
    /// Games that were as G2A says already; nothing was written for them.
    pub unchanged: i32,
    /// Games withdrawn, or sold out for a stock check, because G2A does not list them any more.
    pub withdrawn: i32,
    /// Products that could not be used.
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

/// Something a person should know about a run: a product that could not be used, or a decision that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// G2A's id of the product; `None` when it is not about one, or its id could not be read.
    pub product: Option<String>,
    /// What is the matter.
    pub reason: String,
}

/// A run that has begun, or that was taken up again.
#[derive(Debug, Clone, PartialEq)]
pub struct Begun {
    /// The right to write.
    pub fence: Fence,
    /// When the run first began, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// Where to go on; `{}` for a new run.
    pub cursor: serde_json::Value,
    /// What had been done before.
    pub counts: Counts,
    /// How often it was taken up, this time included; 0 for a new run.
    pub resumes: i32,
    /// Problems met before.
    pub problems: Vec<Problem>,
    /// Estimate of all pages, made before.
    pub pages_total: Option<i32>,
}

/// Begins a run, or takes up an unfinished one of the same kind that began within `resume_within` (`None`: never).
///
/// Raises the epoch, so that from now on nothing written under an older one is accepted; waits for a transaction that
/// is just being written under it. To be called with the [`CatalogueLock`](super::CatalogueLock) held: what is marked
/// as running then has no process any more and is interrupted here, and given up when it is too old.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn begin(tx: &mut Tx, kind: RunKind, reason: &str, resume_within: Option<Duration>) -> Result<Begun> {
    let epoch: i64 = sqlx::query_scalar(
        "-- store.sync.raise_epoch
        insert into sync_lease as l (name, epoch) values ('catalogue', 1)
        on conflict (name) do update set epoch = l.epoch + 1 returning epoch",
    )
    .fetch_one(tx.conn())
    .await?;
    let seconds = resume_within.map_or(0, |within| i64::try_from(within.as_secs()).unwrap_or(i64::MAX / 4));
    let resumed = sqlx::query(
        "-- store.sync.take_up_run
        update sync_runs set status = 'RUNNING', epoch = $2, resumes = resumes + 1, stopped_by = null
         where id = (select id from sync_runs
                      where kind = $1 and status in ('RUNNING', 'INTERRUPTED')
                        and started_at > now() - make_interval(secs => $3::bigint)
                      order by started_at desc limit 1)
        returning *",
    )
    .bind(kind.as_str())
    .bind(epoch)
    .bind(seconds)
    .fetch_optional(tx.conn())
    .await?;
    let row = match resumed {
        Some(row) => row,
        None => {
            sqlx::query(
                "-- store.sync.begin_run
                insert into sync_runs (id, kind, reason, epoch) values ($1, $2, $3, $4) returning *",
            )
            .bind(Uuid::now_v7())
            .bind(kind.as_str())
            .bind(reason)
            .bind(epoch)
            .fetch_one(tx.conn())
            .await?
        }
    };
    let id: Uuid = row.try_get("id")?;
    // The others: without a process they are interrupted, and what will not be taken up any more is given up.
    sqlx::query(
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
    )
    .bind(id)
    .bind(kind.as_str())
    .execute(tx.conn())
    .await?;
    sqlx::query(
        "-- store.sync.forget_old_runs
        delete from sync_runs where started_at < now() - make_interval(days => $1) and id <> $2",
    )
    .bind(KEEP_DAYS)
    .bind(id)
    .execute(tx.conn())
    .await?;
    let run = Run::from_row(&row)?;
    Ok(Begun {
        fence: Fence { run: run.id, epoch },
        started_at: run.started_at,
        cursor: row.try_get("cursor")?,
        counts: run.counts,
        resumes: run.resumes,
        problems: run.problems,
        pages_total: run.pages_total,
    })
}

/// One step of a run, recorded in the transaction that writes its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Where to go on from here.
    pub cursor: serde_json::Value,
    /// Estimate of all pages.
    pub pages_total: Option<i32>,
    /// What the step did.
    pub counts: Counts,
    /// What to tell about it; at most a hundred are kept over the whole run.
    pub problems: Vec<Problem>,
}

/// Records a step. Not to be repeated: counters add up.
///
/// # Errors
/// [`StoreError::Fenced`] when a newer run has begun.
pub async fn record(tx: &mut Tx, fence: &Fence, step: &Step) -> Result<()> {
    fence.hold(tx).await?;
    let done = sqlx::query(
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
    )
    .bind(fence.run.0)
    .bind(fence.epoch)
    .bind(&step.cursor)
    .bind(step.pages_total)
    .bind(step.counts.pages_read)
    .bind(step.counts.seen)
    .bind(step.counts.created)
    .bind(step.counts.updated)
    .bind(step.counts.unchanged)
    .bind(step.counts.withdrawn)
    .bind(step.counts.skipped)
    .bind(Json(&step.problems))
    .bind(MAX_PROBLEMS)
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StoreError::Fenced)
    }
}

/// Ends a run. What it had met is forgotten, unless it may be taken up again.
///
/// # Errors
/// [`StoreError::Fenced`] when a newer run has begun.
pub async fn finish(tx: &mut Tx, fence: &Fence, status: RunStatus, stopped_by: Option<&str>) -> Result<Run> {
    fence.hold(tx).await?;
    let row = sqlx::query(
        "-- store.sync.finish_run
        update sync_runs
           set status = $3, stopped_by = $4,
               finished_at = case when $3 in ('COMPLETED', 'FAILED') then now() end
         where id = $1 and epoch = $2 and status = 'RUNNING' returning *",
    )
    .bind(fence.run.0)
    .bind(fence.epoch)
    .bind(status.as_str())
    .bind(stopped_by)
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::Fenced)?;
    if matches!(status, RunStatus::Completed | RunStatus::Failed) {
        sqlx::query("-- store.sync.forget_seen\ndelete from sync_seen where run_id = $1")
            .bind(fence.run.0)
            .execute(tx.conn())
            .await?;
    }
    Run::from_row(&row)
}

/// A run as the history shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Its id.
    pub id: SyncRunId,
    /// What it goes through.
    pub kind: RunKind,
    /// Who asked for it.
    pub reason: String,
    /// Where it stands.
    pub status: RunStatus,
    /// When it first began.
    pub started_at: DateTime<Utc>,
    /// When something was last recorded.
    pub updated_at: DateTime<Utc>,
    /// When it ended, for good.
    pub finished_at: Option<DateTime<Utc>>,
    /// How often it was taken up again.
    pub resumes: i32,
    /// Estimate of all its pages.
    pub pages_total: Option<i32>,
    /// What it did.
    #[serde(flatten)]
    pub counts: Counts,
    /// The first hundred problems.
    pub problems: Vec<Problem>,
    /// Why it is failed or interrupted.
    pub stopped_by: Option<String>,
}

impl Run {
    fn from_row(row: &PgRow) -> Result<Self> {
        let kind: String = row.try_get("kind")?;
        let status: String = row.try_get("status")?;
        let problems: Json<Vec<Problem>> = row.try_get("problems")?;
        Ok(Self {
            id: SyncRunId(row.try_get("id")?),
            kind: RunKind::from_text(&kind)?,
            reason: row.try_get("reason")?,
            status: RunStatus::from_text(&status)?,
            started_at: row.try_get("started_at")?,
            updated_at: row.try_get("updated_at")?,
            finished_at: row.try_get("finished_at")?,
            resumes: row.try_get("resumes")?,
            pages_total: row.try_get("pages_total")?,
            counts: Counts {
                pages_read: row.try_get("pages_read")?,
                seen: row.try_get("seen")?,
                created: row.try_get("created")?,
                updated: row.try_get("updated")?,
                unchanged: row.try_get("unchanged")?,
                withdrawn: row.try_get("withdrawn")?,
                skipped: row.try_get("skipped")?,
            },
            problems: problems.0,
            stopped_by: row.try_get("stopped_by")?,
        })
    }
}

/// The latest runs, newest first.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn recent_runs(tx: &mut Tx, limit: u32) -> Result<Vec<Run>> {
    sqlx::query("-- store.sync.recent_runs\nselect * from sync_runs order by started_at desc limit $1")
        .bind(i64::from(limit))
        .fetch_all(tx.conn())
        .await?
        .iter()
        .map(Run::from_row)
        .collect()
}

/// The latest run of each kind, whatever became of it: what the schedule looks at.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn last_runs(tx: &mut Tx) -> Result<Vec<Run>> {
    sqlx::query(
        "-- store.sync.last_runs
        select run.* from unnest($1::text[]) kinds (kind),
               lateral (select * from sync_runs r where r.kind = kinds.kind order by started_at desc limit 1) run",
    )
    .bind(RunKind::ALL.map(RunKind::as_str).as_slice())
    .fetch_all(tx.conn())
    .await?
    .iter()
    .map(Run::from_row)
    .collect()
}

/// When the last completed pass of each kind began: from then on its answers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Freshness {
    /// Of everything.
    pub full: Option<DateTime<Utc>>,
    /// Of price and stock.
    pub stock: Option<DateTime<Utc>>,
    /// Of what had changed.
    pub incremental: Option<DateTime<Utc>>,
}

impl Freshness {
    /// How old our knowledge of price and stock is: the latest of the three. Each covers every game: what a stock check
    /// does not list is sold out, what an incremental pass does not list has not changed.
    pub fn latest(&self) -> Option<DateTime<Utc>> {
        self.full.max(self.stock).max(self.incremental)
    }
}

/// How old our knowledge of the catalogue is.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn freshness(store: &Store) -> Result<Freshness> {
    let row = sqlx::query(
        "-- store.sync.freshness
        select (select max(started_at) from sync_runs where kind = 'FULL' and status = 'COMPLETED'),
               (select max(started_at) from sync_runs where kind = 'STOCK' and status = 'COMPLETED'),
               (select max(started_at) from sync_runs where kind = 'INCREMENTAL' and status = 'COMPLETED')",
    )
    .fetch_one(store.alone())
    .await?;
    Ok(Freshness {
        full: row.try_get(0)?,
        stock: row.try_get(1)?,
        incremental: row.try_get(2)?,
    })
}

/// The moment up to which every change at G2A is known here: the beginning of the last completed pass over everything
/// or over all changes. `None` before the first.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn watermark(store: &Store) -> Result<Option<DateTime<Utc>>> {
    let freshness = freshness(store).await?;
    Ok(freshness.full.and(freshness.full.max(freshness.incremental)))
}
