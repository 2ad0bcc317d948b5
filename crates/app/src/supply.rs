//! Keeps what pages and API show of the supplier up to date: when the catalogue was last compared with G2A's, and the
//! progress of a running synchronisation. Read from the database, so every process has it, whichever synchronises.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_api::{SupplierState, SupplierStatus};
use lockstep_cache::Cache;
use lockstep_clock::Clock;
use lockstep_domain::cache_pattern::SYNC_PROGRESS_KEY;
use lockstep_store::Store;
use lockstep_store::fulfilment::stops;
use lockstep_store::sync::{RunStatus, freshness, recent_runs};
use lockstep_sync::Progress as SyncProgress;
use lockstep_web::{Progress, Supply};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Polling interval of the database.
const PERIOD: Duration = Duration::from_secs(1);

/// A run that has recorded nothing for this long is no longer in progress.
const SILENT: chrono::TimeDelta = chrono::TimeDelta::minutes(3);

/// Polls until `stop` is cancelled. While the database is unavailable the last known values stay, with their true age.
pub(crate) async fn keep(store: Store, clock: Clock, sender: watch::Sender<Supply>, stop: CancellationToken) {
    let mut every = tokio::time::interval(PERIOD);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        match load_supply(&store, clock.now()).await {
            Ok(supply) => {
                sender.send_if_modified(|known| {
                    let changed = *known != supply;
                    *known = supply;
                    changed
                });
            }
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "could not read the synchronisation runs"
                );
                sender.send_if_modified(|known| !std::mem::replace(&mut known.is_offline, true));
            }
        }
    }
}

async fn load_supply(store: &Store, now: DateTime<Utc>) -> Result<Supply, lockstep_store::StoreError> {
    let checked_at = freshness(store).await?.latest();
    let runs = store.read(|tx| Box::pin(recent_runs(tx, 1))).await?.value;
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

/// Reports the supplier's status to monitors, from the result of the latest runs. Polls until `stop` is cancelled.
pub(crate) async fn judge(
    store: Store,
    clock: Clock,
    sandbox: bool,
    sender: watch::Sender<SupplierStatus>,
    stop: CancellationToken,
) {
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
        sender.send_if_modified(|known| {
            let changed = known.state != state;
            if changed {
                *known = SupplierStatus {
                    state,
                    since: clock.now(),
                };
            }
            changed
        });
    }
}

/// Expiry of a synchronisation's progress in Redis.
const PROGRESS_TTL: Duration = Duration::from_hours(1);

/// Publishes the progress of this process's synchronisations in Redis, at most once a second, and always the last one.
pub(crate) async fn publish(
    cache: Cache,
    mut progress: watch::Receiver<Option<SyncProgress>>,
    stop: CancellationToken,
) {
    while let Some(Ok(())) = stop.run_until_cancelled(progress.changed()).await {
        let now = progress.borrow_and_update().clone();
        if let Some(text) = now.and_then(|now| serde_json::to_string(&now).ok())
            && let Err(error) = cache.leave_note(SYNC_PROGRESS_KEY, &text, PROGRESS_TTL).await
        {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "could not store the progress in Redis"
            );
        }
        if stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_none() {
            return;
        }
    }
}
