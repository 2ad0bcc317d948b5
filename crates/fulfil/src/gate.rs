//! Whether this worker may buy: only while a key that arrives could be put on disk.
//!
//! A key is paid for before it is read, so the spool is written to, for trial, before money moves. A worker that cannot
//! write takes nothing up and pays for nothing, says so where every process sees it, and goes on by itself; what it had
//! in hand is left to others.

use std::sync::Arc;
use std::time::Duration;

use lockstep_store::fulfilment::stops;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Fulfilment;

/// How often a stop is told again, so that others know that it still holds. Well within [`stops::FRESH`].
const TELL_AGAIN: Duration = Duration::from_secs(15);
/// With nothing to buy the disk is looked at so often.
pub(crate) const IDLE: Duration = Duration::from_secs(10);

/// What the last probe said.
#[derive(Default)]
pub(crate) struct Gate {
    probed_at: Option<Instant>,
    stopped: Option<Stopped>,
    /// Workers that turned out to be dead when a slot was taken anew.
    dead: Vec<Uuid>,
    /// A row may tell of a stop that is over; at start, of one that this worker's name left behind.
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
    /// Whether an answer can be put on disk now, as seen no longer ago than `fresh`, and never before a failure.
    pub(crate) async fn may_buy(&self, fresh: Duration) -> bool {
        let inner = &self.0;
        let mut gate = inner.gate.lock().await;
        let is_stopped = gate.stopped.is_some();
        // A failure is a reason to look again, unless it is known.
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
                    metrics::counter!("fulfil_spool_stops_total").increment(1);
                    tracing::error!(
                        error = reason,
                        "the spool cannot be written, so this worker buys nothing until it can; other workers go on"
                    );
                }
                gate.row = Row::MayBeThere;
                let stopped = gate.stopped.get_or_insert(Stopped { told_at: None });
                if stopped.told_at.is_none_or(|at| at.elapsed() > TELL_AGAIN) {
                    let reason = format!("the spool for keys cannot be written: {reason}");
                    let told = stops::hold(&inner.store, inner.spool.worker(), &inner.machine, &reason).await;
                    // While the database is away nobody could read it either.
                    stopped.told_at = told.is_ok().then(Instant::now);
                }
                false
            }
        }
    }

    /// Workers that turned out to be dead since this was last asked.
    pub(crate) async fn newly_dead(&self) -> Vec<Uuid> {
        std::mem::take(&mut self.0.gate.lock().await.dead)
    }
}

/// The name of this machine, for people who have to find a folder.
pub fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
