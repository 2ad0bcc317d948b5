//! Keeps what pages and API say of the supplier up to date: when G2A's word was last complete, and how far a running
//! synchronisation has got. Read from the database, so every process knows it, whichever does the work.

use std::time::Duration;

use lockstep_api::{SupplierState, SupplierStatus};
use lockstep_cache::Cache;
use lockstep_store::Store;
use lockstep_store::fulfilment::stops;
use lockstep_store::sync::{RunStatus, freshness, recent_runs};
use lockstep_sync::Progress as SyncProgress;
use lockstep_web::{Progress, Supply};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the database is asked.
const PERIOD: Duration = Duration::from_secs(1);

/// A run that has recorded nothing for so long is not under way any more.
const SILENT: chrono::TimeDelta = chrono::TimeDelta::minutes(3);

/// Asks until it is told to stop. While the database is away the last knowledge stays, with its true age.
pub(crate) async fn keep(store: Store, told: watch::Sender<Supply>, stop: CancellationToken) {
    let mut every = tokio::time::interval(PERIOD);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        match look(&store).await {
            Ok(supply) => {
                told.send_if_modified(|known| {
                    let changed = *known != supply;
                    *known = supply;
                    changed
                });
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "could not look at the runs");
                told.send_if_modified(|known| !std::mem::replace(&mut known.is_offline, true));
            }
        }
    }
}

async fn look(store: &Store) -> Result<Supply, lockstep_store::StoreError> {
    let checked_at = freshness(store).await?.latest();
    let runs = store.read(|tx| Box::pin(recent_runs(tx, 1))).await?.value;
    let now = chrono::Utc::now();
    let running = runs
        .into_iter()
        .find(|run| run.status == RunStatus::Running && now - run.updated_at < SILENT);
    let count = |number: i32| u64::try_from(number).unwrap_or(0);
    let progress = running.map(|run| Progress {
        seen: count(run.counts.seen),
        pages_read: count(run.counts.pages_read),
        pages_total: run.pages_total.map(count),
    });
    let waiting_since = stops::all(store).await?.iter().map(|stop| stop.since).min();
    Ok(Supply {
        checked_at,
        progress,
        waiting_since,
        is_offline: false,
    })
}

/// Tells monitors how the supplier is, by what became of the latest runs. Asks until it is told to stop.
pub(crate) async fn judge(store: Store, sandbox: bool, told: watch::Sender<SupplierStatus>, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(5));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        let Ok(runs) = store.read(|tx| Box::pin(recent_runs(tx, 1))).await else {
            continue;
        };
        let failing = runs.value.first().is_some_and(|run| {
            matches!(run.status, RunStatus::Failed | RunStatus::Interrupted)
                && run.stopped_by.as_deref() != Some(lockstep_sync::ON_PURPOSE)
        });
        let state = match (failing, sandbox) {
            (true, _) => SupplierState::Error,
            (false, true) => SupplierState::Sandbox,
            (false, false) => SupplierState::Ok,
        };
        told.send_if_modified(|known| {
            let changed = known.state != state;
            if changed {
                *known = SupplierStatus {
                    state,
                    since: chrono::Utc::now(),
                };
            }
            changed
        });
    }
}

/// The key under which the progress of a synchronisation stands in Redis, for dashboards, and how long it stays there.
const PROGRESS_KEY: &str = "g2a:sync:progress";
const PROGRESS_TTL: Duration = Duration::from_hours(1);

/// Leaves the progress of this process's synchronisations in Redis, once a second at the most and always the last word.
pub(crate) async fn publish(
    cache: Cache,
    mut progress: watch::Receiver<Option<SyncProgress>>,
    stop: CancellationToken,
) {
    while let Some(Ok(())) = stop.run_until_cancelled(progress.changed()).await {
        let now = progress.borrow_and_update().clone();
        if let Some(text) = now.and_then(|now| serde_json::to_string(&now).ok())
            && let Err(error) = cache.leave_note(PROGRESS_KEY, &text, PROGRESS_TTL).await
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "the progress is not in Redis");
        }
        if stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_none() {
            return;
        }
    }
}
