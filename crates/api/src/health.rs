//! Health checks for monitors and load balancers.
//!
//! Three questions have three endpoints. `/healthz`: is the process running? `/readyz`: can it serve requests? Only
//! PostgreSQL decides that, by accepting a write; the shop keeps selling without Redis or G2A. `/health`, which
//! existing monitors poll: does every configured part work?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{self, HeaderValue};
use lockstep_domain::catalogue::iso_millis;
use lockstep_shop::{RedisState, RedisWrites};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{ApiState, SupplierState};

/// Health of the service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`, or `degraded` if any check fails.
    status: &'static str,
    #[serde(with = "iso_millis")]
    #[schema(value_type = String, format = DateTime)]
    timestamp: DateTime<Utc>,
    checks: Checks,
}

/// Results of the individual checks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Checks {
    /// `ok`, or `error` if it does not respond or rejects writes.
    database: &'static str,
    /// `ok`, `disconnected` (not configured, which is healthy), or `error` if it does not respond or rejects writes.
    redis: &'static str,
    /// `ok`, or `error` if it does not respond or no credentials are configured. The sandbox counts as `ok`.
    g2a: &'static str,
}

/// Reports whether every configured part works.
///
/// Responds with 200 if all checks pass, else with 503. The body lists the result of each check.
#[utoipa::path(get, path = "/api/health", tag = "service", operation_id = "getHealth",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn health(State(api): State<Arc<ApiState>>) -> Response {
    let database = if api.shop.health().database_accepts_writes().await {
        "ok"
    } else {
        "error"
    };
    let cache = api.shop.cache().status();
    let redis = match (cache.redis, cache.redis_writes) {
        (RedisState::Off, _) => "disconnected",
        (RedisState::Down { .. }, _) | (_, RedisWrites::Refused { .. }) => "error",
        (RedisState::Up, _) => "ok",
    };
    let g2a = match api.supplier.borrow().state {
        SupplierState::Ok | SupplierState::Sandbox => "ok",
        SupplierState::Error | SupplierState::NotConfigured => "error",
    };
    let well = [database, redis, g2a].iter().all(|check| *check != "error");
    let body = Health {
        status: if well { "ok" } else { "degraded" },
        timestamp: api.now(),
        checks: Checks { database, redis, g2a },
    };
    state_of(well, &body)
}

/// Reports whether every configured part works (alias of `/api/health`).
#[utoipa::path(get, path = "/health", tag = "service", operation_id = "getHealthAtRoot",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn health_at_root(state: State<Arc<ApiState>>) -> Response {
    health(state).await
}

/// Reports that the process is running.
#[utoipa::path(get, path = "/healthz", tag = "service", operation_id = "getLiveness", responses((status = 200, body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok"
}

/// Readiness of the service, with the state of every dependency.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Readiness {
    /// Whether the process can serve requests.
    ready: bool,
    /// Whether the process is shutting down. Requests in progress are still answered.
    closing: bool,
    database: Dependency,
    redis: Dependency,
    supplier: Dependency,
    buying: Buying,
    mail: Mail,
    payments: Payments,
    /// Whether cached data may be served: the invalidation log was read recently.
    copies_usable: bool,
    /// When the last synchronisation of the whole catalogue or of all stock finished, which bounds the age of prices
    /// and stock. Absent before the first one, and while PostgreSQL is unavailable or slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    catalogue_checked_at: Option<DateTime<Utc>>,
}

/// State of a dependency.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Dependency {
    /// `ok`, `down`, `off` (not configured), `sandbox`, or `refuses writes` (Redis only; the service works without it).
    state: &'static str,
    /// Whether the service cannot serve requests without it.
    required: bool,
    /// Time at which it entered this state, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<DateTime<Utc>>,
}

/// State of purchasing at the supplier. While it is stopped, the shop keeps selling and the orders wait.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Buying {
    /// `ok`, or `stopped`: on all workers, or on those that `reason` names.
    state: &'static str,
    /// Always `false`: pages and API work without it.
    required: bool,
    /// Why purchasing is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Time at which it stopped, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<DateTime<Utc>>,
}

/// State of e-mail delivery. E-mails that cannot be sent now are queued and sent later.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mail {
    /// `ok`, `late` (an e-mail has been queued for more than 15 minutes), or `unknown`.
    state: &'static str,
    /// Always `false`: pages and API work without it.
    required: bool,
    /// Number of queued e-mails.
    waiting: u64,
    /// Number of e-mails abandoned in the last seven days.
    given_up: u64,
    /// When the oldest queued e-mail was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<DateTime<Utc>>,
}

/// Payments that need manual review.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Payments {
    /// `ok`, or `review`: `lockstep reconcile` lists each payment and the action to take.
    state: &'static str,
    /// Always `false`: pages and API work without it.
    required: bool,
    /// Number of top-ups that need review. Absent while PostgreSQL is unavailable or slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
    /// Since when the oldest of them has waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<DateTime<Utc>>,
}

/// Reports whether the process can serve requests.
///
/// Responds with 200 if it can, else with 503. The body lists the state of every dependency.
#[utoipa::path(get, path = "/readyz", tag = "service", operation_id = "getReadiness",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub(crate) async fn readyz(State(api): State<Arc<ApiState>>) -> Response {
    let ready = api.shop.health().database_accepts_writes().await;
    let catalogue_checked_at = if ready {
        api.shop.health().catalogue_checked_at().await
    } else {
        None
    };
    let cache = api.shop.cache().status();
    let (redis, redis_since) = match (cache.redis, cache.redis_writes) {
        (RedisState::Off, _) => ("off", None),
        (RedisState::Down { since }, _) => ("down", Some(since)),
        (RedisState::Up, RedisWrites::Refused { since, .. }) => ("refuses writes", Some(since)),
        (RedisState::Up, _) => ("ok", None),
    };
    let supplier = *api.supplier.borrow();
    let closing = api.closing.is_cancelled();
    let body = Readiness {
        ready: ready && !closing,
        closing,
        database: Dependency {
            state: if ready { "ok" } else { "down" },
            required: true,
            since: None,
        },
        redis: Dependency {
            state: redis,
            required: false,
            since: redis_since,
        },
        supplier: Dependency {
            state: match supplier.state {
                SupplierState::Ok => "ok",
                SupplierState::Error => "down",
                SupplierState::NotConfigured => "off",
                SupplierState::Sandbox => "sandbox",
            },
            required: false,
            since: Some(supplier.since),
        },
        buying: buying(&api, ready).await,
        mail: mail(&api, ready).await,
        payments: payments(&api, ready).await,
        copies_usable: cache.lease_live,
        catalogue_checked_at,
    };
    state_of(ready && !closing, &body)
}

async fn mail(api: &ApiState, ready: bool) -> Mail {
    let queue = if ready {
        api.shop.health().mail_queue().await
    } else {
        None
    };
    Mail {
        state: match queue {
            None => "unknown",
            Some(queue) if queue.is_late => "late",
            Some(_) => "ok",
        },
        required: false,
        waiting: queue.map_or(0, |queue| queue.waiting),
        given_up: queue.map_or(0, |queue| queue.given_up),
        since: queue.and_then(|queue| queue.since),
    }
}

async fn buying(api: &ApiState, ready: bool) -> Buying {
    let stops = if ready {
        api.shop.health().purchasing_stops().await
    } else {
        None
    };
    let stopped = |reason, since| Buying {
        state: "stopped",
        required: false,
        reason: Some(reason),
        since,
    };
    match stops {
        Some(stops) => match stops.first() {
            None => Buying {
                state: "ok",
                required: false,
                reason: None,
                since: None,
            },
            Some(oldest) => {
                let reasons: Vec<&str> = stops.iter().map(|stop| stop.reason.as_str()).collect();
                stopped(reasons.join("; "), Some(oldest.since))
            }
        },
        None => stopped("the database does not answer".to_owned(), None),
    }
}

async fn payments(api: &ApiState, ready: bool) -> Payments {
    let in_review = if ready {
        api.shop.health().top_ups_in_review().await
    } else {
        None
    };
    Payments {
        state: if in_review.is_some_and(|top_ups| top_ups.waiting > 0) {
            "review"
        } else {
            "ok"
        },
        required: false,
        waiting: in_review.map(|top_ups| top_ups.waiting),
        since: in_review.and_then(|top_ups| top_ups.since),
    }
}

/// Returns the metrics in the Prometheus text format.
///
/// If `LOCKSTEP_METRICS_BIND` sets a separate address for metrics, which is the default in production, they are served
/// there and not here.
#[utoipa::path(get, path = "/metrics", tag = "service", operation_id = "getMetrics", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(api): State<Arc<ApiState>>) -> Response {
    prometheus((api.metrics)())
}

/// Builds a response in the Prometheus text format.
pub(crate) fn prometheus(figures: String) -> Response {
    let mut response = figures.into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

fn state_of(well: bool, body: &impl Serialize) -> Response {
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut response = (status, Json(body)).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
