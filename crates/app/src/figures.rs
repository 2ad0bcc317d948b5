//! Prometheus metrics: where they are served, and the gauges that have to be polled.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lockstep_clock::Clock;
use lockstep_mail::{Delivery, EmailTransportError};
use lockstep_store::{Store, mail, webhooks};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Metrics;
use crate::listen;

/// Polling interval of the e-mail queue.
const PERIOD: Duration = Duration::from_secs(15);

/// Upper bounds of the buckets of `lockstep_g2a_call_seconds`, in seconds: a healthy answer takes tenths of a second,
/// the time limit of a call is 8 s, of a key 30 s, and `LockstepSupplierSlow` asks for more than 20 s.
const SUPPLIER_BUCKETS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0];
/// The same of `lockstep_cache_poll_seconds`, which must stay below the cache lease of a quarter of a second.
const POLL_BUCKETS: &[f64] = &[0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// Starts to record metrics. Durations are histograms, whose buckets can be added up over processes, and not quantiles,
/// which cannot.
pub(crate) fn recorder() -> Result<PrometheusHandle> {
    let histograms = [
        (lockstep_edge::DURATION_SECONDS, lockstep_edge::DURATION_BUCKETS),
        ("lockstep_g2a_call_seconds", SUPPLIER_BUCKETS),
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

/// Counters of rare events. They exist from the start of the process: Prometheus does not see the first increment of a
/// counter that appears with it.
const RARE: &[&str] = &[
    "lockstep_database_clock_steps_total",
    "lockstep_fulfilment_keys_lost_total",
    "lockstep_fulfilment_keys_unreadable_total",
    "lockstep_fulfilment_spool_stops_total",
    "lockstep_webhook_events_refused_total",
    "lockstep_webhook_events_total",
    "lockstep_webhook_events_unusable_total",
];

/// Registers the counters of rare events at zero.
pub(crate) fn register_rare_events() {
    for name in RARE {
        metrics::counter!(*name).increment(0);
    }
}

/// Opens the listener for metrics, if they have a separate address.
pub(crate) async fn bind(metrics: Metrics) -> Result<Option<TcpListener>> {
    let Metrics::At { address, is_chosen } = metrics else {
        return Ok(None);
    };
    match TcpListener::bind(address).await {
        Ok(listener) => {
            tracing::info!("metrics are served at http://{address}/metrics");
            Ok(Some(listener))
        }
        Err(error) if is_chosen => Err(error).with_context(|| {
            format!("cannot listen on {address} for /metrics; choose another address with --metrics-bind")
        }),
        Err(error) => {
            tracing::warn!(
                %error,
                "no metrics are served: cannot listen on {address}; choose another address with \
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
pub(crate) async fn watch_mail(store: Store, delivery: Delivery, clock: Clock, stop: CancellationToken) {
    let mut every = tokio::time::interval(PERIOD);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        let looked =
            async { Ok::<_, lockstep_store::StoreError>((mail::counts(&store).await?, mail::oldest(&store).await?)) };
        match looked.await {
            Ok((counts, oldest)) => {
                let age = oldest
                    .and_then(|oldest| (clock.now() - oldest).to_std().ok())
                    .unwrap_or_default();
                metrics::gauge!("lockstep_mail_waiting").set(gauge(counts.pending));
                metrics::gauge!("lockstep_mail_announcements_waiting").set(gauge(counts.announcements));
                metrics::gauge!("lockstep_mail_given_up").set(gauge(counts.given_up));
                metrics::gauge!("lockstep_mail_oldest_seconds").set(age.as_secs_f64());
            }
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "could not read the e-mail queue"
            ),
        }
        match delivery.transport().await {
            Ok(_) => metrics::gauge!("lockstep_mail_server_missing").set(0.0),
            Err(EmailTransportError::NoServer(_)) => metrics::gauge!("lockstep_mail_server_missing").set(1.0),
            Err(_) => {}
        }
    }
}

/// Updates the gauges of outgoing webhooks. While the database is unavailable they keep their values.
pub(crate) async fn watch_webhooks(store: Store, stop: CancellationToken) {
    let mut every = tokio::time::interval(PERIOD);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        match webhooks::figures(&store).await {
            Ok(figures) => {
                let many = |list: usize| gauge(u64::try_from(list).unwrap_or(u64::MAX));
                metrics::gauge!("lockstep_outgoing_webhooks_waiting").set(gauge(figures.waiting));
                metrics::gauge!("lockstep_outgoing_webhooks_oldest_seconds").set(gauge(figures.oldest_due));
                metrics::gauge!("lockstep_outgoing_webhook_endpoints_failing").set(many(figures.failing.len()));
                metrics::gauge!("lockstep_outgoing_webhook_endpoints_disabled").set(many(figures.disabled.len()));
            }
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "could not read the outgoing webhooks"
            ),
        }
    }
}

fn gauge(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_whose_increase_raises_an_alert_exist_from_the_start() {
        let alerts = include_str!("../../../deploy/observability/alerts.yml");
        // The cache and the log publish theirs at an interval, from the start.
        let published = ["lockstep_cache_violations_total", "lockstep_log_lines_dropped_total"];
        // `increase(NAME[…]) > N`; with labels it is a share of many.
        let counted: Vec<&str> = alerts
            .split("increase(")
            .skip(1)
            .filter_map(|rest| rest.split_once('['))
            .map(|(name, _)| name)
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
            .filter(|name| *name != "lockstep_fulfilment_units_total")
            .collect();
        assert!(counted.len() > 7, "{counted:?}");
        for name in counted {
            assert!(
                RARE.contains(&name) || published.contains(&name),
                "{name} is not registered"
            );
        }
    }
}
