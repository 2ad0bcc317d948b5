//! Reports this process's counts of calls to the supplier and of webhooks, so that staff see the sum of all processes.

use std::sync::Arc;
use std::time::Duration;

use lockstep_api::WebhookTally;
use lockstep_g2a::{BreakerState, Client, Limits};
use lockstep_store::Store;
use lockstep_store::supplier_calls::{self, ProcessCalls, WorkerState};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Interval of reports.
const PERIOD: Duration = Duration::from_secs(2);

/// The counts of this process.
pub(crate) struct Counted {
    /// Generated when the process starts.
    pub(crate) process: Uuid,
    /// The client of a worker, and the limits of its budget.
    pub(crate) client: Option<(Client, Limits)>,
    /// Webhooks that this process has received.
    pub(crate) webhooks: Arc<WebhookTally>,
}

/// Reports until `stop` is cancelled, and then that this process ends.
pub(crate) async fn keep(store: Store, counted: Counted, stop: CancellationToken) {
    let mut every = tokio::time::interval(PERIOD);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        let now = counts(&counted);
        let report = supplier_calls::report(&store, counted.process, &now);
        let Some(reported) = stop.run_until_cancelled(report).await else {
            break;
        };
        if let Err(error) = reported {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "could not report the calls to G2A"
            );
        }
    }
    // No request should wait for this worker.
    let left = tokio::time::timeout(Duration::from_secs(1), supplier_calls::leave(&store, counted.process));
    if !matches!(left.await, Ok(Ok(()))) {
        tracing::debug!("could not report the end of this process");
    }
}

fn counts(counted: &Counted) -> ProcessCalls {
    let (webhooks, webhooks_refused) = counted.webhooks.counts();
    let Some((client, limits)) = &counted.client else {
        return ProcessCalls {
            webhooks,
            webhooks_refused,
            ..ProcessCalls::default()
        };
    };
    let (calls, health) = (client.calls(), client.health());
    let (breaker, retry_in) = match health.state {
        BreakerState::Closed => ("closed", None),
        BreakerState::Open { retry_after } => ("open", Some(retry_after)),
        BreakerState::HalfOpen => ("half-open", None),
    };
    ProcessCalls {
        requests: calls.requests,
        succeeded: calls.succeeded,
        failed: calls.failed,
        retried: calls.retried,
        latency_ms: calls.latency_ms,
        webhooks,
        webhooks_refused,
        worker: Some(WorkerState {
            breaker: breaker.to_owned(),
            failures: health.failures,
            retry_in,
            budget_capacity: limits.capacity(),
            budget_per_minute: limits.refill_per_minute(),
        }),
    }
}
