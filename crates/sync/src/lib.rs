//! Brings the catalogue in line with G2A's.
//!
//! `G2A's product pages → [this] → games (+ invalidation log) → relay → cache`
//!
//! [`run`] goes through everything, through what is in stock, through what changed lately, or through one product; a
//! person or the [`schedule`] asks for it. All of them take the same way: `slices` cuts the list so that no part passes
//! G2A's last page, `pass` reads it page by page, [`mapping`] turns products into games, and `store` writes them
//! together with the place to go on from.
//!
//! Invariants:
//! - nothing is invented: what G2A does not answer changes nothing here;
//! - a product that cannot be used is skipped and reported, never fatal;
//! - a game is withdrawn only by a complete pass over everything, after G2A was asked for it by its id; none is deleted;
//! - one run at a time over all processes, and one that was overtaken writes nothing any more;
//! - a run that was stopped goes on where it was: no page that was written is asked for again, and of the pages whose
//!   answer was taken in at most one was not written yet. Calls that were still unanswered are made anew.

mod budget;
pub mod mapping;
mod pace;
mod pass;
mod position;
mod report;
pub mod schedule;
mod slices;

use std::time::{Duration, Instant};

use lockstep_domain::price::Pricing;
use lockstep_g2a::Client;
use lockstep_store::sync::{self as records, RunKind, RunStatus};
use lockstep_store::{Store, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use budget::StoreBudget;
pub use report::{Phase, Progress, Report};

use pass::{Pass, Stop};

/// Why a run ended that somebody ended on purpose: with its process, or at the command line. It goes on where it stopped.
pub const ON_PURPOSE: &str = "it was asked to stop";

/// What G2A's clock and ours may differ by, and a change that was just being made when it was asked for: so much is
/// read again each time.
const MARGIN: chrono::Duration = chrono::Duration::minutes(2);

/// How runs go about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How list prices are made.
    pub pricing: Pricing,
    /// Calls that G2A allows (`G2A_RATE_PER_MINUTE`): more pages are asked for at once only while this is not reached.
    pub calls_per_minute: u32,
    /// Pages asked for at once in the beginning, before it is known how fast they come.
    pub in_flight_at_first: usize,
    /// Most pages asked for at once.
    pub max_in_flight: usize,
    /// The last page that the supplier gives out (G2A: 500). Lists are cut before they come near it.
    pub max_page: u32,
    /// When more than this share of the known games (and more than 50) is missing at G2A, none is withdrawn.
    pub max_missing_percent: u32,
    /// An unfinished run is taken up again when it began within this time.
    pub resume_within: Duration,
}

impl Default for Settings {
    /// The seed's pricing, G2A's 600 calls a minute and 500 pages, one page at once and at most 8, 20 percent, two hours.
    fn default() -> Self {
        Self {
            pricing: Pricing::default(),
            calls_per_minute: 600,
            in_flight_at_first: 1,
            max_in_flight: 8,
            max_page: lockstep_g2a::MAX_PAGE,
            max_missing_percent: 20,
            resume_within: Duration::from_hours(2),
        }
    }
}

/// What a run needs.
#[derive(Debug)]
pub struct Context {
    store: Store,
    client: Client,
    settings: Settings,
    progress: watch::Sender<Option<Progress>>,
}

impl Context {
    /// Puts it together.
    pub fn new(store: Store, client: Client, settings: Settings) -> Self {
        Self {
            store,
            client,
            settings,
            progress: watch::Sender::new(None),
        }
    }

    /// How far the run of this process is; `None` before the first.
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.progress.subscribe()
    }
}

/// What to go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Everything that G2A lists, in stock or not. What it does not list any more is withdrawn.
    Full,
    /// Price and stock of what is in stock. What is not listed any more is sold out.
    Stock,
    /// What changed since the last completed pass. Becomes [`Full`](Self::Full) when there was none.
    Incremental,
    /// One product, by G2A's id.
    Product(String),
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// Another run is at work, in this process or another.
    #[error("another synchronisation is running; one at a time")]
    AlreadyRunning,
    /// A newer run has begun, so this one has stopped without writing. The newer one has taken its work over.
    #[error("overtaken by a newer synchronisation")]
    Overtaken,
    /// The database failed. What was written until then stays, and the next run goes on from there.
    #[error("the database failed")]
    Store(#[source] StoreError),
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced => Self::Overtaken,
            error => Self::Store(error),
        }
    }
}

/// Goes through `what` once, or goes on with an unfinished run of the same kind. `reason` says who asked.
///
/// The end is recorded and reported: completed; failed, when a person has to do something; interrupted, when G2A did not
/// answer or `stop` was cancelled, and then the next run goes on. Dropping the future is like a crash: the next run goes
/// on as well. Running it twice in a row changes nothing the second time.
///
/// # Errors
/// [`SyncError`] when nothing could be done or recorded.
pub async fn run(cx: &Context, what: What, reason: &str, stop: CancellationToken) -> Result<Report, SyncError> {
    let lock = cx.store.lock_catalogue().await?.ok_or(SyncError::AlreadyRunning)?;
    let result = run_alone(cx, what, reason, &stop).await;
    if let Err(error) = lock.release().await {
        // The connection is gone, and with it the lock.
        tracing::debug!(%error, "the lock of the synchronisation was lost before it was given back");
    }
    result
}

async fn run_alone(cx: &Context, what: What, reason: &str, stop: &CancellationToken) -> Result<Report, SyncError> {
    let started = Instant::now();
    let watermark = records::watermark(&cx.store).await?;
    let (kind, since) = match (&what, watermark) {
        (What::Full, _) | (What::Incremental, None) => (RunKind::Full, None),
        (What::Stock, _) => (RunKind::Stock, None),
        (What::Incremental, Some(watermark)) => (RunKind::Incremental, Some(watermark - MARGIN)),
        (What::Product(_), _) => (RunKind::Product, None),
    };
    let (reason, resume) = (
        reason.to_owned(),
        (kind != RunKind::Product).then_some(cx.settings.resume_within),
    );
    let begun = cx
        .store
        .tx("sync.begin", move |tx| {
            let reason = reason.clone();
            Box::pin(async move { records::begin(tx, kind, &reason, resume).await })
        })
        .await?;
    let fence = begun.fence;
    tracing::info!(run.id = %fence.run, kind = kind.as_str(), resumes = begun.resumes, "synchronisation begins");

    let mut pass = Pass::new(cx, kind, since, begun);
    let work = async {
        pass.go_through(&what).await?;
        pass.refresh_flags().await
    };
    let outcome = tokio::select! {
        biased;
        () = stop.cancelled() => Err(Stop::Interrupted(ON_PURPOSE.to_owned())),
        outcome = work => outcome,
    };
    let (status, stopped_by, lost) = match outcome {
        Ok(()) => (RunStatus::Completed, None, None),
        Err(Stop::Failed(reason)) => (RunStatus::Failed, Some(reason), None),
        // One product is asked for again, not gone on with.
        Err(Stop::Interrupted(reason)) if kind == RunKind::Product => (RunStatus::Failed, Some(reason), None),
        Err(Stop::Interrupted(reason)) => (RunStatus::Interrupted, Some(reason), None),
        Err(Stop::Store(StoreError::Fenced)) => return Err(SyncError::Overtaken),
        Err(Stop::Store(error)) => (RunStatus::Interrupted, Some(chain(&error)), Some(error)),
    };
    let why = stopped_by.clone();
    let ended = cx
        .store
        .tx("sync.finish", move |tx| {
            let why = why.clone();
            Box::pin(async move { records::finish(tx, &fence, status, why.as_deref()).await })
        })
        .await;
    // When the database is away the record says "running"; the next run finds that its process has ended.
    if let Some(error) = lost {
        return Err(SyncError::Store(error));
    }
    let report = pass.report(ended?, started.elapsed());
    let summary = report.to_string();
    match report.status {
        RunStatus::Completed if report.withheld == 0 => tracing::info!(run.id = %fence.run, "{}", summary.trim_end()),
        _ => tracing::warn!(run.id = %fence.run, "{}", summary.trim_end()),
    }
    Ok(report)
}

/// An error and what caused it, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
