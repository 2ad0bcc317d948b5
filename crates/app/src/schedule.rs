//! Runs the recurring work when it is due, in any process: a run takes a lock over all processes, so any number of
//! workers may try at once and one of them runs it.
//!
//! A process that starts retries at once what failed before it, because the operator may have corrected the cause. Each
//! wait after an incomplete run is logged with its end, and the first synchronisation of a shop logs its progress,
//! because until then the shop is empty.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_clock::Clock;
use lockstep_store::Store;
use lockstep_store::sync::{RunStatus, refresh_flags};
use lockstep_sync::schedule::{Past, Schedule, Unfinished, due, next, past};
use lockstep_sync::{Context, Progress, SyncError, What};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the schedule is checked.
const PERIOD: Duration = Duration::from_secs(5);

/// How often the first synchronisation logs its progress.
const TELL_PERIOD: Duration = Duration::from_secs(5);

/// The flags (new, preorder, best seller) depend on the date, so they are refreshed hourly even without a
/// synchronisation.
const FLAGS_PERIOD: Duration = Duration::from_hours(1);

/// Runs until `stop` is cancelled. A run in progress stops at the next page and is resumed later.
pub(crate) async fn work(store: Store, context: Arc<Context>, clock: Clock, stop: CancellationToken) {
    let mut every = tokio::time::interval(PERIOD);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let schedule = Schedule::default();
    let mut flags_at = tokio::time::Instant::now() + FLAGS_PERIOD;
    let mut before: Option<Unfinished> = None;
    let mut logged: Option<DateTime<Utc>> = None;
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        if tokio::time::Instant::now() >= flags_at {
            flags_at += FLAGS_PERIOD;
            if let Err(error) = refresh_flags(&store).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not refresh the games' flags"
                );
            }
        }
        let mut past = match past(&store).await {
            Ok(past) => past,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "could not read the schedule");
                continue;
            }
        };
        past.forgive(before.get_or_insert(past.unfinished));
        let now = clock.now();
        let Some(what) = due(now, &past, &schedule) else {
            let (at, what) = next(now, &past, &schedule);
            if logged != Some(at) {
                logged = Some(at);
                log_wait(at, &what, &past);
            }
            continue;
        };
        let run = lockstep_sync::run(&context, what, "schedule", stop.clone());
        let ended = if past.full.is_none() {
            tokio::select! {
                ended = run => ended,
                () = log_first_progress(context.progress()) => continue,
            }
        } else {
            run.await
        };
        match ended {
            // The run has logged its own report; another process that does the same work is as good.
            Ok(_) | Err(SyncError::AlreadyRunning | SyncError::Overtaken) => {}
            Err(error @ SyncError::Store(_)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a synchronisation stopped: {error}"
                );
            }
        }
    }
}

/// Logs when the next run is due, if the last one was incomplete.
fn log_wait(at: DateTime<Utc>, what: &What, past: &Past) {
    let when = at.format("%Y-%m-%d %H:%M:%S UTC");
    let kind = match what {
        What::Full => "full",
        What::Stock => "stock",
        What::Incremental => "incremental",
        What::Product(_) => "product",
    };
    let last = past.unfinished.iter().flatten().max_by_key(|(_, ended)| *ended);
    if let Some((status @ (RunStatus::Failed | RunStatus::Interrupted), _)) = last {
        // The run itself has logged a warning.
        let how = if *status == RunStatus::Failed {
            "failed"
        } else {
            "was interrupted"
        };
        tracing::info!("the last synchronisation {how}; next attempt at {when} ({kind}), or at once after a restart");
    } else {
        // A run in progress belongs to another process.
        tracing::debug!("next synchronisation at {when} ({kind})");
    }
}

/// Logs the progress of the first synchronisation; never returns.
async fn log_first_progress(mut progress: watch::Receiver<Option<Progress>>) {
    let mut every = tokio::time::interval(TELL_PERIOD);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if progress.wait_for(Option::is_some).await.is_err() {
            return std::future::pending().await;
        }
        if let Some(now) = progress.borrow_and_update().clone() {
            tracing::info!("the first synchronisation: {}", in_words(&now));
        }
    }
}

fn in_words(now: &Progress) -> String {
    let counts = now.counts;
    let games = format!("{} products, {} games", counts.seen, counts.created);
    match now.pages_total.filter(|total| *total > 0) {
        Some(total) => {
            let percent = (i64::from(counts.pages_read) * 100 / i64::from(total)).clamp(0, 100);
            format!("{percent} % ({} of about {total} pages, {games})", counts.pages_read)
        }
        None => format!("{} pages, {games}", counts.pages_read),
    }
}
