//! Whether this worker may buy: only while it can write a key to disk.
//!
//! A key is paid for before it is read, so the worker test-writes to its spool before it spends money. A worker that
//! cannot write claims and pays nothing, records this in the database for all processes, and resumes by itself. It
//! leaves its units to other workers.

use std::sync::Arc;
use std::time::Duration;

use lockstep_store::fulfilment::stops;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Fulfilment;

/// Interval at which a stop is reported again to show that it still holds. Well within [`stops::FRESH`].
const TELL_AGAIN: Duration = Duration::from_secs(15);
/// Interval between trial writes while there is nothing to buy.
pub(crate) const IDLE: Duration = Duration::from_secs(10);

/// Result of the last trial write.
#[derive(Default)]
pub(crate) struct Gate {
    probed_at: Option<Instant>,
    stopped: Option<Stopped>,
    /// Workers found dead when a slot was taken again.
    dead: Vec<Uuid>,
    /// Whether the database may have a stop of this worker that is over; at start, one from an earlier process.
    row: Row,
}

struct Stopped {
    told_at: Option<Instant>,
}

#[derive(Default, PartialEq, Eq)]
enum Row {
    #[default]
    MayBeThere,
    Gone,
}

impl Fulfilment {
    /// Whether an answer can be written to disk, from a check that is at most `fresh` old and newer than any failed
    /// write.
    pub(crate) async fn may_buy(&self, fresh: Duration) -> bool {
        let inner = &self.0;
        let mut gate = inner.gate.lock().await;
        let is_stopped = gate.stopped.is_some();
        // A new failure triggers a check; a known one does not.
        let fresh = if is_stopped { inner.settings.probe_every } else { fresh };
        if gate.probed_at.is_some_and(|at| at.elapsed() < fresh) && (is_stopped || !inner.spool.has_failed()) {
            return !is_stopped;
        }
        let spool = Arc::clone(inner);
        let probed = tokio::task::spawn_blocking(move || spool.spool.probe()).await;
        gate.probed_at = Some(Instant::now());
        match probed {
            Ok(Ok(dead)) => {
                gate.dead.extend(dead.into_iter().flatten());
                if gate.stopped.take().is_some() {
                    tracing::info!("the spool can be written again; this worker buys again");
                }
                if gate.row == Row::MayBeThere && stops::go_on(&inner.store, inner.spool.worker()).await.is_ok() {
                    gate.row = Row::Gone;
                }
                true
            }
            failed => {
                let reason = match failed {
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                    Ok(Ok(_)) => String::new(),
                };
                if gate.stopped.is_none() {
                    metrics::counter!("lockstep_fulfilment_spool_stops_total").increment(1);
                    tracing::error!(
                        error = reason,
                        "the spool cannot be written, so this worker buys nothing until it can; other workers continue"
                    );
                }
                gate.row = Row::MayBeThere;
                let stopped = gate.stopped.get_or_insert(Stopped { told_at: None });
                if stopped.told_at.is_none_or(|at| at.elapsed() > TELL_AGAIN) {
                    let reason = format!("the spool for keys cannot be written: {reason}");
                    let told = stops::hold(&inner.store, inner.spool.worker(), &inner.machine, &reason).await;
                    // While the database is unavailable nothing could read the stop either.
                    stopped.told_at = told.is_ok().then(Instant::now);
                }
                false
            }
        }
    }

    /// Workers found dead since the last call.
    pub(crate) async fn newly_dead(&self) -> Vec<Uuid> {
        std::mem::take(&mut self.0.gate.lock().await.dead)
    }
}

/// The host name of this machine, so that an operator can find a folder.
pub fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
