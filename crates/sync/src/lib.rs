//! Synchronises the catalogue with G2A's.
//!
//! `G2A's product pages → [this] → games (+ invalidation log) → relay → cache`
//!
//! [`run`] reads all products, those in stock, recent changes, or one product, at the request of a person or of the
//! [`schedule`]. All kinds share one pipeline: `slices` divides the list so that no part exceeds G2A's last page,
//! `pass` reads it page by page, [`mapping`] converts products to games, and `store` writes them together with the
//! position from which the run can resume.
//!
//! Invariants:
//! - nothing is invented: without an answer from G2A nothing changes;
//! - an unusable product is skipped and reported, never fatal;
//! - only a complete full pass withdraws a game, after G2A was asked for it by its id; no game is deleted;
//! - one run at a time across all processes, and a run that was superseded no longer writes;
//! - an interrupted run resumes: a written page is never requested again, and at most one received page was not yet
//!   written. Unanswered calls are repeated.

mod budget;
pub mod jobs;
pub mod mapping;
mod pace;
mod pass;
mod position;
mod preview;
pub mod prices;
mod report;
pub mod schedule;
mod slices;

use std::time::Duration;

use lockstep_clock::Clock;
use lockstep_domain::error_chain;
use lockstep_domain::price::Pricing;
use lockstep_g2a::Client;
use lockstep_store::sync::{self as records, RunKind, RunStatus};
use lockstep_store::{Store, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use budget::StoreBudget;
pub use preview::{Preview, preview};
pub use report::{Phase, Progress, Report};

use pass::{Pass, Stop};

/// Why a run ended that was stopped on purpose: by its process or at the command line. It resumes later.
pub const ON_PURPOSE: &str = "it was asked to stop";

/// Overlap of consecutive reads of changes, which covers clock differences to G2A and changes in progress at the time
/// of a read.
const MARGIN: chrono::Duration = chrono::Duration::minutes(2);

/// Settings of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How the shop's prices are computed.
    pub pricing: Pricing,
    /// Calls per minute that G2A allows (`G2A_RATE_PER_MINUTE`); concurrency only grows while this rate is not reached.
    pub calls_per_minute: u32,
    /// Concurrent page requests at the start, before their speed is known.
    pub in_flight_at_first: usize,
    /// Maximum number of concurrent page requests.
    pub max_in_flight: usize,
    /// The last page that the supplier returns (G2A: 500). Lists are divided before they reach it.
    pub max_page: u32,
    /// If more than this percentage of the known games (and more than 50) is missing at G2A, none is withdrawn.
    pub max_missing_percent: u32,
    /// Maximum age of an unfinished run that is resumed, measured from its start.
    pub resume_within: Duration,
}

impl Default for Settings {
    /// The pricing of `docs/data-model.md`, G2A's 600 calls a minute and 500 pages, one concurrent page at first and at
    /// most 8, 20 percent, two hours.
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

/// The dependencies of a run.
#[derive(Debug)]
pub struct Context {
    store: Store,
    client: Client,
    settings: Settings,
    clock: Clock,
    progress: watch::Sender<Option<Progress>>,
}

impl Context {
    /// Creates a context. `clock` bounds the time ranges into which long lists are divided.
    pub fn new(store: Store, client: Client, settings: Settings, clock: Clock) -> Self {
        Self {
            store,
            client,
            settings,
            clock,
            progress: watch::Sender::new(None),
        }
    }

    /// The progress of this process's run; `None` before the first.
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.progress.subscribe()
    }
}

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// All products that G2A lists, in stock or not. Withdraws games that it no longer lists.
    Full,
    /// Price and stock of the products in stock. Marks products that are no longer listed as sold out.
    Stock,
    /// Changes since the last completed pass. Becomes [`Full`](Self::Full) if there was none.
    Incremental,
    /// One product, by G2A's id.
    Product(String),
}

/// Why a run has no report.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// Another run is active, in this process or another.
    #[error("another synchronisation is running; one at a time")]
    AlreadyRunning,
    /// A newer run has begun and taken over the work, so this one has stopped without writing.
    #[error("overtaken by a newer synchronisation")]
    Overtaken,
    /// The database failed. What was written before remains, and the next run resumes from there.
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

/// Runs `what` once, or resumes an unfinished run of the same kind. `reason` names the requester.
///
/// The result is recorded and reported: completed; failed, if a person must act; or interrupted, if G2A did not answer
/// or `stop` was cancelled, so that the next run resumes. Dropping the future is like a crash: the next run resumes as
/// well. Runs are idempotent: a second run changes nothing.
///
/// # Errors
/// Returns [`SyncError`] if nothing could be done or recorded.
pub async fn run(cx: &Context, what: What, reason: &str, stop: CancellationToken) -> Result<Report, SyncError> {
    let lock = cx.store.lock_catalogue().await?.ok_or(SyncError::AlreadyRunning)?;
    let result = run_alone(cx, what, reason, &stop).await;
    if let Err(error) = lock.release().await {
        // The connection is lost, and the lock with it.
        tracing::debug!(%error, "the lock of the synchronisation was lost before it was released");
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
    tracing::info!(run.id = %fence.run, kind = kind.as_str(), resumes = begun.resumes, "synchronisation started");

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
        // A single product is requested anew instead of resumed.
        Err(Stop::Interrupted(reason)) if kind == RunKind::Product => (RunStatus::Failed, Some(reason), None),
        Err(Stop::Interrupted(reason)) => (RunStatus::Interrupted, Some(reason), None),
        Err(Stop::Store(StoreError::Fenced)) => return Err(SyncError::Overtaken),
        Err(Stop::Store(error)) => (RunStatus::Interrupted, Some(error_chain(&error)), Some(error)),
    };
    let why = stopped_by.clone();
    let ended = cx
        .store
        .tx("sync.finish", move |tx| {
            let why = why.clone();
            Box::pin(async move { records::finish(tx, &fence, status, why.as_deref()).await })
        })
        .await;
    // If the database is down, the record still says "running"; the next run detects that its process has ended.
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
