//! Runs one unit and holds its lease for as long as that takes. At the end it releases the unit, whatever state the
//! database is in.

use std::time::Duration;

use lockstep_domain::ids::UnitId;
use lockstep_failpoint::failpoint;
use lockstep_store::StoreError;
use lockstep_store::fulfilment::{self as records, Lease, Unit};
use lockstep_store::traces;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::unit::Next;
use crate::{Counted, Fulfilment};

/// Removes a unit from the units in progress when dropped.
struct ProgressGuard<'a>(&'a Fulfilment, UnitId);

impl Drop for ProgressGuard<'_> {
    fn drop(&mut self) {
        self.0.in_hand().remove(&self.1);
    }
}

/// How long releasing a unit is retried at shutdown. The next start of this worker frees it in any case.
const LAST_HAND_BACK: Duration = Duration::from_secs(3);

impl Fulfilment {
    /// Runs a unit as far as it goes and renews its lease meanwhile.
    pub(crate) async fn drive(&self, unit: Unit, stop: &CancellationToken) {
        let lease = unit.lease;
        self.in_hand().insert(lease.unit);
        let _guard = ProgressGuard(self, lease.unit);
        tokio::select! {
            () = self.run_in_trace(unit, stop) => {}
            () = self.renew_lease(lease) => {}
        }
    }

    /// Runs the unit's steps in the trace in which its order was placed.
    async fn run_in_trace(&self, unit: Unit, stop: &CancellationToken) {
        let span = tracing::info_span!("fulfilment.unit", unit = %unit.lease.unit, order = %unit.order);
        if let Some(parent) = traces::of_order(&self.0.store, unit.order).await {
            lockstep_telemetry::continue_trace(&span, parent);
        }
        self.run_steps(unit, stop).instrument(span).await;
    }

    /// Renews the lease forever. A renewal may fail: fencing protects what the holder writes.
    async fn renew_lease(&self, lease: Lease) {
        let (each, poll) = (self.0.settings.lease / 3, self.0.settings.poll);
        let mut wait = each;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.0.renew.notified() => {}
            }
            wait = match records::renew(&self.0.store, lease).await {
                Ok(()) => each,
                // Released, or claimed by another worker: the next step reports it.
                Err(StoreError::Fenced) => std::future::pending().await,
                Err(error) => {
                    tracing::debug!(unit = %lease.unit, error = &error as &dyn std::error::Error, "a lease was not renewed");
                    poll.min(each)
                }
            };
        }
    }

    /// Runs the unit's steps. While the database is unavailable it retries for `patience`.
    async fn run_steps(&self, mut unit: Unit, stop: &CancellationToken) {
        let began = tokio::time::Instant::now();
        loop {
            let failed = match self.step(&unit).await {
                Ok(Next::Yield) => return,
                Ok(Next::Continue) => None,
                Err(StoreError::Fenced) => {
                    tracing::debug!(unit = %unit.lease.unit, "another worker holds this unit now");
                    return;
                }
                Err(error) => Some(error),
            };
            let was_recorded = failed.is_none();
            if let Some(error) = failed {
                if !matches!(error, StoreError::Unavailable(_)) {
                    // An immediate retry would fail too. Retries are rare, and each failure is logged.
                    tracing::error!(unit = %unit.lease.unit, error = &error as &dyn std::error::Error, "the database refused a step");
                    let wait = self.backoff(unit.attempts);
                    return self
                        .release_unit(&unit, wait, Some("the database refused a step"), stop)
                        .await;
                }
                tracing::warn!(unit = %unit.lease.unit, error = &error as &dyn std::error::Error, "a step was not recorded");
                if error.is_locked() {
                    // Another transaction has locked this user's or this game's rows. Other users' units need this
                    // task.
                    return self.release_unit(&unit, self.backoff(unit.attempts), None, stop).await;
                }
                if began.elapsed() > self.0.settings.patience {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(self.0.settings.poll) => {}
                    () = stop.cancelled() => {}
                }
            }
            if stop.is_cancelled() {
                return self.release_unit(&unit, Duration::ZERO, None, stop).await;
            }
            failpoint!("drive.load");
            // The unit in memory is outdated after a step; nothing may be decided from it.
            match self.load(&unit, was_recorded, began, stop).await {
                Some(now) => unit = now,
                None => return,
            }
        }
    }

    /// Reloads the unit. After a step that was not recorded, the database must accept a write first: while it is
    /// read-only, the step would call G2A again and again, and each call would reserve another order there.
    async fn load(
        &self,
        unit: &Unit,
        was_recorded: bool,
        began: tokio::time::Instant,
        stop: &CancellationToken,
    ) -> Option<Unit> {
        loop {
            let known = async {
                if !was_recorded {
                    records::renew(&self.0.store, unit.lease).await?;
                }
                records::load(&self.0.store, unit.lease).await
            };
            match known.await {
                Ok(now) => return Some(now),
                Err(StoreError::Fenced) => return None,
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a unit could not be read");
                    if began.elapsed() > self.0.settings.patience {
                        return None;
                    }
                    let pause = tokio::time::sleep(self.0.settings.poll);
                    if stop.run_until_cancelled(pause).await.is_none() {
                        self.release_unit(unit, Duration::ZERO, None, stop).await;
                        return None;
                    }
                }
            }
        }
    }

    /// Releases a unit, due again after `wait`. When the database refuses, it retries for the length of a lease, at
    /// shutdown only for [`LAST_HAND_BACK`].
    async fn release_unit(&self, unit: &Unit, wait: Duration, why: Option<&str>, stop: &CancellationToken) {
        let _counted = Counted::one(&self.0.handing_back);
        let began = tokio::time::Instant::now();
        loop {
            let Err(error) = self.rest(unit, wait, why).await else {
                return;
            };
            if matches!(error, StoreError::Fenced) {
                return;
            }
            let patience = if stop.is_cancelled() {
                LAST_HAND_BACK
            } else {
                self.0.settings.lease
            };
            if began.elapsed() >= patience {
                tracing::warn!(
                    unit = %unit.lease.unit,
                    error = &error as &dyn std::error::Error,
                    "a unit could not be released; it is claimed again when its lease expires"
                );
                return;
            }
            tokio::time::sleep(self.0.settings.poll).await;
        }
    }
}
