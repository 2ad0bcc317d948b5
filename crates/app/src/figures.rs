//! Prometheus metrics: where they are served, and the gauges that have to be polled.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::Utc;
use lockstep_store::{Store, mail};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Metrics;
use crate::listen;

/// Polling interval of the e-mail queue.
const PERIOD: Duration = Duration::from_secs(15);

/// Upper bounds of the buckets of `g2a_call_seconds`, in seconds: a healthy answer takes tenths of a second; the time
/// limit of a call is 8 s, of a key 30 s.
const SUPPLIER_BUCKETS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 8.0, 30.0];
/// The same of `lockstep_cache_poll_seconds`, which must stay below the cache lease of a quarter of a second.
const POLL_BUCKETS: &[f64] = &[0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// Starts to record metrics. Durations are histograms, whose buckets can be added up over processes, and not quantiles,
/// which cannot.
pub(crate) fn recorder() -> Result<PrometheusHandle> {
    let histograms = [
        (lockstep_edge::DURATION_SECONDS, lockstep_edge::DURATION_BUCKETS),
        ("g2a_call_seconds", SUPPLIER_BUCKETS),
        ("lockstep_cache_poll_seconds", POLL_BUCKETS),
    ];
    let mut builder = PrometheusBuilder::new();
    for (name, bounds) in histograms {
        builder = builder
            .set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)
            .context("metrics")?;
    }
    builder.install_recorder().context("metrics")
}

/// Opens the listener for metrics, if they have a separate address.
pub(crate) async fn bind(metrics: Metrics) -> Result<Option<TcpListener>> {
    let Metrics::At { address, is_chosen } = metrics else {
        return Ok(None);
    };
    match TcpListener::bind(address).await {
        Ok(listener) => {
            tracing::info!("figures for Prometheus are at http://{address}/metrics");
            Ok(Some(listener))
        }
        Err(error) if is_chosen => Err(error).with_context(|| {
            format!("cannot listen on {address} for /metrics; choose another address with --metrics-bind")
        }),
        Err(error) => {
            tracing::warn!(
                %error,
                "there are no figures for Prometheus: {address} cannot be listened on; choose another address with \
                 LOCKSTEP_METRICS_BIND"
            );
            Ok(None)
        }
    }
}

/// Serves metrics on `listener` until `stop` is cancelled.
pub(crate) async fn serve(listener: TcpListener, metrics: PrometheusHandle, stop: CancellationToken) {
    let router = lockstep_api::metrics_router(Arc::new(move || metrics.render()));
    listen::serve(listener, router, listen::Limits::of_system(), stop, &TaskTracker::new()).await;
}

/// Updates the gauges of the e-mail queue. While the database is unavailable they keep their values.
pub(crate) async fn watch_mail(store: Store, stop: CancellationToken) {
    let mut every = tokio::time::interval(PERIOD);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        let looked =
            async { Ok::<_, lockstep_store::StoreError>((mail::counts(&store).await?, mail::oldest(&store).await?)) };
        match looked.await {
            Ok(((waiting, given_up), oldest)) => {
                let age = oldest
                    .and_then(|oldest| (Utc::now() - oldest).to_std().ok())
                    .unwrap_or_default();
                metrics::gauge!("lockstep_mail_waiting").set(gauge(waiting));
                metrics::gauge!("lockstep_mail_given_up").set(gauge(given_up));
                metrics::gauge!("lockstep_mail_oldest_seconds").set(age.as_secs_f64());
            }
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "could not look at the e-mails"
            ),
        }
    }
}

fn gauge(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
