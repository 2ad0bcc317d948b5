//! Jobs that staff ask for at the supplier, and the workers that do them.
//!
//! A request writes a row and wakes the workers by the invalidation log. A worker takes a job for a lease that it renews;
//! when it dies, the next one takes the job after the lease and goes on where it stopped. Each takeover raises the epoch
//! of the row, so that a worker that was only slow writes no more. One job of each [`Lane`] is open at a time.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::types::Json;
use uuid::Uuid;

use crate::audit::{self, By};
use crate::sync::{Counts, Problem, TermCounts};
use crate::{Result, Store, StoreError, Tx};

/// Maximum number of problems of a job.
const MAX_PROBLEMS: usize = 100;
/// Maximum number of lines of a job's log, and of characters of each.
const MAX_LINES: usize = 200;
const MAX_LINE: usize = 500;
/// The tag in the invalidation log that wakes workers. No cached answer carries it.
const TAG: &str = "supplier:jobs";

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Synchronises all products.
    Full,
    /// Synchronises what has changed.
    Incremental,
    /// Synchronises some products.
    Products,
    /// Tests the connection with one call.
    Connection,
    /// Shows a page of G2A's list without storing it.
    Listing,
}

impl JobKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Full,
        Self::Incremental,
        Self::Products,
        Self::Connection,
        Self::Listing,
    ];

    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Incremental => "INCREMENTAL",
            Self::Products => "PRODUCTS",
            Self::Connection => "CONNECTION",
            Self::Listing => "LISTING",
        }
    }

    /// The lane in which it is done.
    pub const fn lane(self) -> Lane {
        match self {
            Self::Full | Self::Incremental | Self::Products => Lane::Catalogue,
            Self::Connection | Self::Listing => Lane::Calls,
        }
    }
}

/// Jobs of one lane are done one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// What writes the catalogue.
    Catalogue,
    /// Single calls that a request waits for.
    Calls,
}

impl Lane {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Catalogue => "CATALOGUE",
            Self::Calls => "CALLS",
        }
    }
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// No worker has it.
    Waiting,
    /// A worker has it, or died with it a moment ago.
    Running,
    /// Done.
    Completed,
    /// Given up, with a reason.
    Failed,
    /// Cancelled by staff.
    Cancelled,
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 5] = [
        Self::Waiting,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether it is over.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// A job to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// What it does.
    pub kind: JobKind,
    /// Of [`JobKind::Products`]: 1 to 1,000 ids of G2A.
    pub products: Vec<String>,
    /// Of [`JobKind::Listing`]: the page at G2A, 1 to 500.
    pub page: i32,
    /// Of [`JobKind::Listing`]: how many products to show, 1 to 100.
    pub page_size: i32,
}

impl NewJob {
    /// A job of a kind that needs nothing else.
    pub const fn new(kind: JobKind) -> Self {
        Self {
            kind,
            products: Vec::new(),
            page: 1,
            page_size: 20,
        }
    }
}

/// What a job has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobResult {
    /// Its counts.
    pub counts: Counts,
    /// New terms.
    pub terms: TermCounts,
    /// The first hundred problems.
    pub problems: Vec<Problem>,
    /// Its log.
    pub log: Vec<String>,
    /// Why it failed or waits.
    pub reason: Option<String>,
}

impl JobResult {
    /// Appends a line to the log, bounded in length and number.
    pub fn note(&mut self, line: &str) {
        if self.log.len() < MAX_LINES {
            self.log.push(storable(line));
        }
    }

    /// Appends a problem, bounded in length and number.
    pub fn problem(&mut self, problem: &Problem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem {
                product: problem.product.as_deref().map(storable),
                reason: storable(&problem.reason),
            });
        }
    }

    /// Sets why the job failed or waits.
    pub fn because(&mut self, reason: &str) {
        self.reason = Some(storable(reason));
    }
}

/// A text that the database can hold.
fn storable(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(MAX_LINE).collect()
}

/// A job on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// What it does.
    pub kind: JobKind,
    /// Of [`JobKind::Products`]: G2A's ids.
    pub products: Vec<String>,
    /// Of [`JobKind::Listing`]: the page at G2A.
    pub page: i32,
    /// Of [`JobKind::Listing`]: how many products to show.
    pub page_size: i32,
    /// Its state.
    pub state: JobState,
    /// Who asked for it.
    pub requested_by: Option<Uuid>,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// When a worker first took it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Staff asked to cancel it.
    pub cancel_asked: bool,
    /// How often it was taken.
    pub epoch: i64,
    /// Of [`JobKind::Products`]: how many are done.
    pub done: i32,
    /// What it has done so far.
    pub result: JobResult,
}

/// A row of `supplier_jobs`.
struct Record {
    id: Uuid,
    kind: String,
    products: Vec<String>,
    page: i32,
    page_size: i32,
    state: String,
    requested_by: Option<Uuid>,
    requested_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    cancel_asked: bool,
    epoch: i64,
    done: i32,
    result: Json<JobResult>,
}

impl Job {
    fn of(record: Record) -> Result<Self> {
        let unexpected = |what: &str, text: &str| StoreError::Schema(format!("unexpected {what} of a job {text:?}"));
        let kind = JobKind::ALL.into_iter().find(|kind| kind.as_str() == record.kind);
        let state = JobState::ALL.into_iter().find(|state| state.as_str() == record.state);
        Ok(Self {
            id: record.id,
            kind: kind.ok_or_else(|| unexpected("kind", &record.kind))?,
            products: record.products,
            page: record.page,
            page_size: record.page_size,
            state: state.ok_or_else(|| unexpected("state", &record.state))?,
            requested_by: record.requested_by,
            requested_at: record.requested_at,
            started_at: record.started_at,
            finished_at: record.finished_at,
            cancel_asked: record.cancel_asked,
            epoch: record.epoch,
            done: record.done,
            result: record.result.0,
        })
    }

    /// Whether it does what `new` asks for.
    fn does(&self, new: &NewJob) -> bool {
        let same_page = (self.page, self.page_size) == (new.page, new.page_size);
        self.kind == new.kind && self.products == new.products && (same_page || self.kind != JobKind::Listing)
    }
}

/// A statement that returns rows `j` of `supplier_jobs` as [`Record`]s, in two parts: what is before and after the columns.
macro_rules! jobs {
    ($before:literal, $after:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Record,
            $before
                + r#" j.id, j.kind, j.products, j.page, j.page_size, j.state, j.requested_by, j.requested_at, j.started_at,
                j.finished_at, j.cancel_asked_at is not null as "cancel_asked!", j.epoch, j.done,
                j.result as "result: Json<JobResult>" "#
                + $after
            $(, $argument)*
        )
    };
}

mod work;

pub use work::{Claim, claim, finish, release, renew, save};

/// The answer to a request for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// The job was made.
    New(Job),
    /// An open job does the same.
    Joined(Job),
    /// An open job of the lane does something else.
    Busy(Job),
}

/// Submits a job on behalf of `by`. A job that writes the catalogue is recorded in the audit log.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn submit(store: &Store, by: &By, new: &NewJob) -> Result<Submitted> {
    loop {
        let (who, wanted) = (by.clone(), new.clone());
        let submitted = store
            .tx("jobs.submit", move |tx| {
                let (by, new) = (who.clone(), wanted.clone());
                Box::pin(async move { submit_once(tx, &by, &new).await })
            })
            .await?;
        // `None`: the open job ended between the two statements, so the lane is free.
        if let Some(submitted) = submitted {
            return Ok(submitted);
        }
    }
}

async fn submit_once(tx: &mut Tx, by: &By, new: &NewJob) -> Result<Option<Submitted>> {
    let staff = match by {
        By::Staff(user) => Some(user.0),
        By::Operator(_) => None,
    };
    let made = jobs!(
        "-- store.jobs.submit
        insert into supplier_jobs as j (id, kind, products, page, page_size, requested_by) values ($1, $2, $3, $4, $5, $6)
        on conflict (lane) where finished_at is null do nothing returning",
        "",
        Uuid::now_v7(),
        new.kind.as_str(),
        &new.products,
        new.page,
        new.page_size,
        staff
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(made) = made.map(Job::of).transpose()? else {
        let open = open(tx, new.kind.lane()).await?;
        return Ok(open.map(|open| {
            if open.does(new) {
                Submitted::Joined(open)
            } else {
                Submitted::Busy(open)
            }
        }));
    };
    if new.kind.lane() == Lane::Catalogue {
        let details = json!({"kind": new.kind.as_str(), "products": new.products.len()});
        audit::record(tx, by, "supplier.sync", ("supplier_job", made.id), details).await?;
    }
    sqlx::query!(
        "-- store.jobs.wake\ninsert into cache_inval (tags) values (array[$1])",
        TAG
    )
    .execute(tx.conn())
    .await?;
    Ok(Some(Submitted::New(made)))
}

/// The open job of a lane.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn open(tx: &mut Tx, lane: Lane) -> Result<Option<Job>> {
    jobs!(
        "-- store.jobs.open
        select",
        "from supplier_jobs j where lane = $1 and finished_at is null",
        lane.as_str()
    )
    .fetch_optional(tx.conn())
    .await?
    .map(Job::of)
    .transpose()
}

/// A job.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn by_id(store: &Store, id: Uuid) -> Result<Option<Job>> {
    jobs!(
        "-- store.jobs.by_id
        select",
        "from supplier_jobs j where id = $1",
        id
    )
    .fetch_optional(store.alone())
    .await?
    .map(Job::of)
    .transpose()
}

/// A page of jobs, newest first, and the number of all.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn list(tx: &mut Tx, limit: i64, offset: i64) -> Result<(Vec<Job>, i64)> {
    let jobs = jobs!(
        "-- store.jobs.list
        select",
        "from supplier_jobs j order by requested_at desc, id desc limit $1 offset $2",
        limit,
        offset
    )
    .fetch_all(tx.conn())
    .await?;
    let all = sqlx::query_scalar!(
        r#"-- store.jobs.count
        select count(*) as "count!" from supplier_jobs"#
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((jobs.into_iter().map(Job::of).collect::<Result<_>>()?, all))
}

/// The answer to a request to cancel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It had not begun, and is over.
    Over(Job),
    /// Its worker stops at the next product or page.
    Requested(Job),
}

/// Which open job to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// That of the catalogue.
    Catalogue,
    /// This one.
    Job(Uuid),
}

/// Cancels an open job; `None` if there is none. Recorded in the audit log. Its worker stops before its next call.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn cancel(store: &Store, by: &By, which: Which) -> Result<Option<Cancelled>> {
    let who = by.clone();
    let job = match which {
        Which::Catalogue => None,
        Which::Job(id) => Some(id),
    };
    store
        .tx("jobs.cancel", move |tx| {
            let by = who.clone();
            Box::pin(async move {
                let changed = jobs!(
                    "-- store.jobs.cancel
                    update supplier_jobs j
                       set cancel_asked_at = coalesce(cancel_asked_at, now()),
                           state = case when worker is null or due_at <= now() then 'CANCELLED' else state end,
                           finished_at = case when worker is null or due_at <= now() then now() end,
                           worker = case when due_at <= now() then null else worker end
                     where finished_at is null and case when $1::uuid is null then lane = 'CATALOGUE' else id = $1 end returning",
                    "",
                    job
                )
                .fetch_optional(tx.conn())
                .await?;
                let Some(job) = changed.map(Job::of).transpose()? else {
                    return Ok(None);
                };
                audit::record(tx, &by, "supplier.cancel", ("supplier_job", job.id), json!({})).await?;
                Ok(Some(if job.state.has_ended() {
                    Cancelled::Over(job)
                } else {
                    Cancelled::Requested(job)
                }))
            })
        })
        .await
}

/// G2A's ids of listed games in one of these categories, by name or slug in any case; at most `most`.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn products_in(store: &Store, categories: &[String], most: i64) -> Result<Vec<String>> {
    let categories: Vec<String> = categories.iter().map(|category| category.to_lowercase()).collect();
    Ok(sqlx::query_scalar!(
        r#"-- store.jobs.products_in
        select distinct g.g2a_product_id as "product!"
          from categories c join game_categories l on l.category_id = c.id join games g on g.id = l.game_id
         where (lower(c.name) = any ($1) or c.slug = any ($1)) and g.g2a_product_id is not null and g.withdrawn_at is null
         order by 1 limit $2"#,
        &categories,
        most
    )
    .fetch_all(store.alone())
    .await?)
}
