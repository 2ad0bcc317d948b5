//! Does the recurring work when it is due, wherever: a run takes a lock over all processes, so any number of workers may
//! ask at once and one of them does it.

use std::time::Duration;

use chrono::Utc;
use lockstep_store::sync::{freshness, last_runs, refresh_flags};
use lockstep_store::{Result, Store};
use lockstep_sync::schedule::{Past, Schedule, due};
use lockstep_sync::{Context, SyncError, What};
use tokio_util::sync::CancellationToken;

/// How often the schedule is looked at.
const PERIOD: Duration = Duration::from_secs(5);

/// The flags (new, preorder, best seller) follow the calendar, so they are looked at hourly even when nothing is synced.
const FLAGS_PERIOD: Duration = Duration::from_secs(60 * 60);

/// Works until it is told to stop. A run under way stops at the next page and is taken up again later.
pub(crate) async fn work(store: Store, context: Context, stop: CancellationToken) {
    let mut every = tokio::time::interval(PERIOD);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let schedule = Schedule::default();
    let mut flags_at = tokio::time::Instant::now() + FLAGS_PERIOD;
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
        let past = match past(&store).await {
            Ok(past) => past,
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "could not look at the schedule"
                );
                continue;
            }
        };
        let Some(kind) = due(Utc::now(), &past, &schedule) else {
            continue;
        };
        let Some(what) = Option::<What>::from(kind) else {
            continue;
        };
        match lockstep_sync::run(&context, what, "schedule", stop.clone()).await {
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

async fn past(store: &Store) -> Result<Past> {
    let freshness = freshness(store).await?;
    let runs = store.read(|tx| Box::pin(last_runs(tx))).await?.value;
    Ok(Past::new(freshness, &runs))
}
