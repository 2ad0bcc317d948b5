//! Does the jobs that staff have asked for (`store::jobs`): synchronisations, and single calls that a request waits for.
//!
//! Any number of workers may try at once; each job has one. A worker that is stopped gives its job back, one that is
//! killed loses it when the lease is over, and the next goes on: at the recorded page, or at the next product. A job
//! waits while another synchronisation runs.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use lockstep_domain::error_chain;
use lockstep_g2a::ProductQuery;
use lockstep_store::jobs::{self, Claim, Job, JobKind, JobResult, JobState, Lane};
use lockstep_store::sync::RunStatus;
use lockstep_store::{Store, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::schedule::{self, Schedule};
use crate::{Context, Preview, Report, SyncError, What, preview, run};

/// Intervals of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intervals {
    /// How long a job belongs to a worker that does not renew its lease.
    pub lease: Duration,
    /// How often the lease is renewed; a request to cancel is noticed then.
    pub renew: Duration,
    /// How often a worker looks for jobs without being woken.
    pub look: Duration,
    /// How long a job waits before it tries again to synchronise while another synchronisation runs.
    pub busy: Duration,
    /// Time limit of a single call. A request that waits for its result must wait longer.
    pub call: Duration,
    /// How long a job about many products pauses after a few of them while a synchronisation of the schedule is due.
    /// The schedule must look at least once in that time.
    pub pause: Duration,
}

impl Default for Intervals {
    /// Fifteen seconds, two, one, two, seven, and six.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew: Duration::from_secs(2),
            look: Duration::from_secs(1),
            busy: Duration::from_secs(2),
            call: Duration::from_secs(7),
            pause: Duration::from_secs(6),
        }
    }
}

/// Number of products between two looks at the schedule.
const SLICE: usize = 10;

/// Minimum time between two looks for jobs: in a busy shop every change wakes the workers.
const CALM: Duration = Duration::from_millis(100);

/// Does jobs until `stop` is cancelled. `news` changes whenever there may be a new one.
pub async fn work(
    cx: &Context,
    worker: Uuid,
    news: watch::Receiver<u64>,
    intervals: &Intervals,
    stop: &CancellationToken,
) {
    tokio::join!(
        Box::pin(work_in(cx, worker, Lane::Catalogue, news.clone(), intervals, stop)),
        Box::pin(work_in(cx, worker, Lane::Calls, news, intervals, stop)),
    );
}

async fn work_in(
    cx: &Context,
    worker: Uuid,
    lane: Lane,
    mut news: watch::Receiver<u64>,
    intervals: &Intervals,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        let looked = Instant::now();
        news.mark_unchanged();
        match jobs::claim(&cx.store, worker, lane, intervals.lease).await {
            Ok(Some(job)) => {
                run_job(cx, &job, intervals, stop).await;
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "could not look for jobs"),
        }
        let woken = async {
            if let Ok(Err(_)) = timeout(intervals.look, news.changed()).await {
                // The sender is gone: only the interval is left.
                sleep(intervals.look).await;
            }
            sleep_until(looked + CALM).await;
        };
        stop.run_until_cancelled(woken).await;
    }
}

/// How the work on a job ended.
enum Outcome {
    /// It is over.
    Over(JobState),
    /// Another worker goes on after this time.
    GiveBack(Duration),
}

/// Why the work on a job has to stop.
#[derive(Debug, Default)]
struct Halt {
    token: CancellationToken,
    why: AtomicU8,
}

const CANCELLED: u8 = 1;
const LOST: u8 = 2;

impl Halt {
    fn because(&self, why: u8) {
        self.why.store(why, Ordering::Release);
        self.token.cancel();
    }

    /// The end of a job whose work was halted; by the stop of this process if by nothing else.
    fn end(&self) -> Outcome {
        match self.why.load(Ordering::Acquire) {
            CANCELLED => Outcome::Over(JobState::Cancelled),
            _ => Outcome::GiveBack(Duration::ZERO),
        }
    }
}

async fn run_job(cx: &Context, job: &Job, intervals: &Intervals, stop: &CancellationToken) {
    let claim = Claim::of(job);
    let halt = Halt {
        token: stop.child_token(),
        why: AtomicU8::new(0),
    };
    if job.cancel_asked {
        halt.because(CANCELLED);
    }
    tracing::info!(job = %job.id, kind = job.kind.as_str(), attempt = job.epoch, "a job of staff began");
    let mut result = job.result.clone();
    result.reason = None;
    let work = AssertUnwindSafe(dispatch(cx, job, claim, intervals, &halt, &mut result)).catch_unwind();
    let end = tokio::select! {
        end = work => end,
        () = renew_lease(&cx.store, claim, intervals, &halt) => return,
    };
    let end = end.unwrap_or_else(|_panic| {
        // The next worker would meet the same answer of G2A.
        tracing::error!(job = %job.id, "a job of staff broke off because of an error in this program");
        result.because("It broke off because of an error in Lockstep. The log of the worker has it.");
        Outcome::Over(JobState::Failed)
    });
    let ended = match end {
        Outcome::Over(state) => {
            tracing::info!(job = %job.id, state = state.as_str(), "a job of staff ended");
            jobs::finish(&cx.store, claim, state, &result).await
        }
        Outcome::GiveBack(wait) => {
            tracing::info!(job = %job.id, "a job of staff is given back");
            jobs::release(&cx.store, claim, wait).await
        }
    };
    // Without an answer of the database the lease ends by itself.
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, job = %job.id, "a job could not be ended");
    }
}

/// Renews the lease, and halts the work when the job is cancelled. Returns when the lease is lost: then nothing more may
/// be done or recorded, and the run that is dropped is resumed by the new holder.
async fn renew_lease(store: &Store, claim: Claim, intervals: &Intervals, halt: &Halt) {
    let mut held_until = Instant::now() + intervals.lease;
    loop {
        sleep(intervals.renew).await;
        let asked = Instant::now();
        match timeout(intervals.renew, jobs::renew(store, claim, intervals.lease)).await {
            Ok(Ok(cancel)) => {
                held_until = asked + intervals.lease;
                if cancel && !halt.token.is_cancelled() {
                    halt.because(CANCELLED);
                }
            }
            Ok(Err(StoreError::Fenced)) => break,
            Ok(Err(_)) | Err(_) if Instant::now() >= held_until => break,
            Ok(Err(_)) | Err(_) => {}
        }
    }
    halt.because(LOST);
}

async fn dispatch(
    cx: &Context,
    job: &Job,
    claim: Claim,
    intervals: &Intervals,
    halt: &Halt,
    result: &mut JobResult,
) -> Outcome {
    match job.kind {
        JobKind::Full => synchronise(cx, job, &What::Full, intervals, halt, result).await,
        JobKind::Incremental => synchronise(cx, job, &What::Incremental, intervals, halt, result).await,
        JobKind::Products => synchronise_products(cx, job, claim, intervals, halt, result).await,
        JobKind::Connection => test_connection(cx, intervals, halt, result).await,
        JobKind::Listing => show_page(cx, job, intervals, halt, result).await,
    }
}

/// Runs once, as soon as no other synchronisation runs. An `Err` ends the job.
async fn run_alone(
    cx: &Context,
    job: &Job,
    what: &What,
    intervals: &Intervals,
    halt: &Halt,
    result: &mut JobResult,
) -> Result<Report, Outcome> {
    let reason = format!("staff, job {}", job.id);
    loop {
        if halt.token.is_cancelled() {
            return Err(halt.end());
        }
        match run(cx, what.clone(), &reason, halt.token.clone()).await {
            Ok(report) => return Ok(report),
            Err(SyncError::AlreadyRunning | SyncError::Overtaken) => {
                halt.token.run_until_cancelled(sleep(intervals.busy)).await;
            }
            Err(SyncError::Store(error @ StoreError::Unavailable(_))) => {
                tracing::debug!(error = &error as &dyn std::error::Error, job = %job.id, "a job was interrupted");
                return Err(Outcome::GiveBack(intervals.busy));
            }
            Err(SyncError::Store(error)) => {
                // It would fail again in the same way.
                tracing::error!(error = &error as &dyn std::error::Error, job = %job.id, "a job cannot be done");
                result.because("The database refused what G2A answered. The log has the reason.");
                return Err(Outcome::Over(JobState::Failed));
            }
        }
    }
}

async fn synchronise(
    cx: &Context,
    job: &Job,
    what: &What,
    intervals: &Intervals,
    halt: &Halt,
    result: &mut JobResult,
) -> Outcome {
    let report = match run_alone(cx, job, what, intervals, halt, result).await {
        Ok(report) => report,
        Err(end) => return end,
    };
    // The counts of a run include those before it was resumed.
    result.counts = report.counts;
    result.terms = result.terms.plus(report.terms_created);
    result.problems.clear();
    for problem in &report.problems {
        result.problem(problem);
    }
    for line in report.to_string().lines() {
        result.note(line);
    }
    match (report.status, report.stopped_by) {
        (RunStatus::Completed, _) => Outcome::Over(JobState::Completed),
        (RunStatus::Interrupted, _) if halt.token.is_cancelled() => halt.end(),
        (_, why) => {
            result.because(why.as_deref().unwrap_or("it did not complete"));
            Outcome::Over(JobState::Failed)
        }
    }
}

async fn synchronise_products(
    cx: &Context,
    job: &Job,
    claim: Claim,
    intervals: &Intervals,
    halt: &Halt,
    result: &mut JobResult,
) -> Outcome {
    let before = usize::try_from(job.done).unwrap_or(0);
    let mut since_pause = 0;
    for (done, product) in (job.done.saturating_add(1)..).zip(job.products.iter().skip(before)) {
        // Whoever looks for the lock between two products would hardly ever find it free.
        if since_pause >= SLICE {
            since_pause = 0;
            if is_run_due(cx).await {
                halt.token.run_until_cancelled(sleep(intervals.pause)).await;
            }
        }
        since_pause += 1;
        let what = What::Product(product.clone());
        let report = match run_alone(cx, job, &what, intervals, halt, result).await {
            Ok(report) => report,
            Err(end) => return end,
        };
        if halt.token.is_cancelled() && report.status != RunStatus::Completed {
            return halt.end();
        }
        result.counts = result.counts.plus(report.counts);
        result.terms = result.terms.plus(report.terms_created);
        for problem in &report.problems {
            result.problem(problem);
        }
        if report.status != RunStatus::Completed {
            // Of G2A as a whole, so the next product would fail as well.
            let why = report.stopped_by.as_deref().unwrap_or("it did not complete");
            result.because(&format!("product {product}: {why}"));
            return Outcome::Over(JobState::Failed);
        }
        if let Err(error) = jobs::save(&cx.store, claim, done, result).await {
            tracing::debug!(error = &error as &dyn std::error::Error, job = %job.id, "a job was interrupted");
            return Outcome::GiveBack(intervals.busy);
        }
    }
    result.note(&format!("{} products read", job.products.len()));
    Outcome::Over(JobState::Completed)
}

/// Whether a synchronisation of the schedule waits for its turn.
async fn is_run_due(cx: &Context) -> bool {
    match schedule::past(&cx.store).await {
        Ok(past) => schedule::due(cx.clock.now(), &past, &Schedule::default()).is_some(),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "could not read the schedule");
            false
        }
    }
}

/// A call with a time limit; an `Err` ends the job.
async fn page_of(
    cx: &Context,
    query: &ProductQuery,
    intervals: &Intervals,
    halt: &Halt,
    result: &mut JobResult,
) -> Result<lockstep_g2a::ProductPage, Outcome> {
    let began = Instant::now();
    let asked = halt
        .token
        .run_until_cancelled(timeout(intervals.call, cx.client.products(query)));
    let why = match asked.await {
        None => return Err(halt.end()),
        Some(Ok(Ok(page))) => {
            result.note(&format!("G2A answered after {} ms", began.elapsed().as_millis()));
            return Ok(page);
        }
        Some(Ok(Err(error))) => error_chain(&error),
        Some(Err(_)) => format!("no answer within {} s", intervals.call.as_secs()),
    };
    result.note(&format!("failed after {} ms", began.elapsed().as_millis()));
    result.because(&why);
    Err(Outcome::Over(JobState::Failed))
}

async fn test_connection(cx: &Context, intervals: &Intervals, halt: &Halt, result: &mut JobResult) -> Outcome {
    let query = ProductQuery {
        page: 1,
        include_out_of_stock: true,
        ..ProductQuery::default()
    };
    match page_of(cx, &query, intervals, halt, result).await {
        Ok(page) => {
            result.note(&format!("products on the first page: {}", page.products.len()));
            Outcome::Over(JobState::Completed)
        }
        Err(end) => end,
    }
}

/// Shows what would be stored of a page, without storing it.
async fn show_page(cx: &Context, job: &Job, intervals: &Intervals, halt: &Halt, result: &mut JobResult) -> Outcome {
    let query = ProductQuery {
        page: u32::try_from(job.page).unwrap_or(1),
        include_out_of_stock: true,
        ..ProductQuery::default()
    };
    let page = match page_of(cx, &query, intervals, halt, result).await {
        Ok(page) => page,
        Err(end) => return end,
    };
    result.note(&format!(
        "page {}: {} products, {} unreadable",
        query.page,
        page.products.len(),
        page.unreadable.len()
    ));
    let most = usize::try_from(job.page_size).unwrap_or(0);
    let shown = page.products.get(..most).unwrap_or(&page.products);
    let previews = match preview(&cx.store, shown, &cx.settings.pricing).await {
        Ok(previews) => previews,
        Err(error) => {
            result.because(&error_chain(&error));
            return Outcome::Over(JobState::Failed);
        }
    };
    for (product, preview) in shown.iter().zip(previews) {
        let line = match preview {
            Preview::Game { title, price, in_stock } => {
                let stock = if in_stock { "in stock" } else { "sold out" };
                format!("{}  {price} EUR  {stock}  {title}", product.id)
            }
            Preview::Skipped(reason) => format!("{}  would be skipped: {reason}", product.id),
        };
        result.note(&line);
    }
    Outcome::Over(JobState::Completed)
}
