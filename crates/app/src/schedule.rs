//! Does the recurring work when it is due, wherever: a run takes a lock over all processes, so any number of workers may
//! ask at once and one of them does it.
//!
//! A process that starts tries at once what failed before it: whoever started it may have corrected something. Every wait
//! after a run that did not come to its end says when it is over, and the first synchronisation of a shop says how far it
//! is, because until then the shop is empty.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_store::sync::{RunStatus, freshness, last_runs, refresh_flags};
use lockstep_store::{Result, Store};
use lockstep_sync::schedule::{Past, Schedule, Unfinished, due, next};
use lockstep_sync::{Context, Progress, SyncError, What};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the schedule is looked at.
const PERIOD: Duration = Duration::from_secs(5);

/// How often the first synchronisation says how far it is.
const TELL_PERIOD: Duration = Duration::from_secs(5);

/// The flags (new, preorder, best seller) follow the calendar, so they are looked at hourly even when nothing is synced.
const FLAGS_PERIOD: Duration = Duration::from_hours(1);

/// Works until it is told to stop. A run under way stops at the next page and is taken up again later.
pub(crate) async fn work(store: Store, context: Context, stop: CancellationToken) {
    let mut every = tokio::time::interval(PERIOD);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let schedule = Schedule::default();
    let mut flags_at = tokio::time::Instant::now() + FLAGS_PERIOD;
    let mut before: Option<Unfinished> = None;
    let mut told: Option<DateTime<Utc>> = None;
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
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "could not look at the schedule"
                );
                continue;
            }
        };
        past.forgive(before.get_or_insert(past.unfinished));
        let now = Utc::now();
        let Some(what) = due(now, &past, &schedule) else {
            let (at, what) = next(now, &past, &schedule);
            if told != Some(at) {
                told = Some(at);
                tell_wait(at, &what, &past);
            }
            continue;
        };
        let run = lockstep_sync::run(&context, what, "schedule", stop.clone());
        let ended = if past.full.is_none() {
            tokio::select! {
                ended = run => ended,
                () = tell_first(context.progress()) => continue,
            }
        } else {
            run.await
        };
        match ended {
            // The run has told its report itself; another process at the same work is as good.
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

/// Says until when nothing is done, when the last run did not come to its end.
fn tell_wait(at: DateTime<Utc>, what: &What, past: &Past) {
    let when = at.format("%Y-%m-%d %H:%M:%S UTC");
    let kind = match what {
        What::Full => "full",
        What::Stock => "stock",
        What::Incremental => "incremental",
        What::Product(_) => "product",
    };
    let last = past.unfinished.iter().flatten().max_by_key(|(_, ended)| *ended);
    if let Some((status @ (RunStatus::Failed | RunStatus::Interrupted), _)) = last {
        // The run itself has warned.
        let how = if *status == RunStatus::Failed {
            "failed"
        } else {
            "was interrupted"
        };
        tracing::info!("the last synchronisation {how}; next attempt at {when} ({kind}), or at once after a restart");
    } else {
        // One that runs is another process's.
        tracing::debug!("next synchronisation at {when} ({kind})");
    }
}

/// Says how far the first synchronisation is; never ends by itself.
async fn tell_first(mut progress: watch::Receiver<Option<Progress>>) {
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

async fn past(store: &Store) -> Result<Past> {
    let freshness = freshness(store).await?;
    let runs = store.read(|tx| Box::pin(last_runs(tx))).await?.value;
    Ok(Past::new(freshness, &runs))
}
