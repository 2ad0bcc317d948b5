//! How the service is, for monitors and for whoever routes traffic to it.
//!
//! Three questions, three addresses. `/healthz`: does the process run? `/readyz`: can it serve? Only PostgreSQL decides
//! that, by taking a write; without Redis or G2A the store sells on. `/health`, which existing monitors ask: is everything well? There
//! everything counts that is configured.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{self, HeaderValue};
use lockstep_cache::{RedisState, RedisWrites};
use lockstep_domain::catalogue::iso_millis;
use lockstep_store::fulfilment::stops;
use lockstep_store::{StoreError, games, mail, top_ups};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{ApiState, SupplierState};

/// PostgreSQL is given this long to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What does not decide whether we are ready is not waited for long.
const PATIENCE_FOR_NEWS: Duration = Duration::from_millis(500);

/// Whether everything is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok` or `degraded`.
    status: &'static str,
    #[serde(with = "iso_millis")]
    #[schema(value_type = String, format = DateTime)]
    timestamp: DateTime<Utc>,
    checks: Checks,
}

/// The parts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Checks {
    /// `ok` or `error` (it does not answer, or takes no writes).
    database: &'static str,
    /// `ok`, `disconnected` (none is configured, which is fine) or `error` (it does not answer, or takes no writes).
    redis: &'static str,
    /// `ok` or `error` (it does not answer, or no credentials are set). The sandbox is `ok`.
    g2a: &'static str,
}

/// Whether everything is well: 200, else 503.
#[utoipa::path(get, path = "/api/health", tag = "service", operation_id = "getHealth",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn health(State(api): State<Arc<ApiState>>) -> Response {
    let database = if database_answers(&api).await { "ok" } else { "error" };
    let cache = api.cache.status();
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
        timestamp: Utc::now(),
        checks: Checks { database, redis, g2a },
    };
    state_of(well, &body)
}

/// The same as `/api/health`.
#[utoipa::path(get, path = "/health", tag = "service", operation_id = "getHealthAtRoot",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn health_at_root(state: State<Arc<ApiState>>) -> Response {
    health(state).await
}

/// The process runs.
#[utoipa::path(get, path = "/healthz", tag = "service", operation_id = "getLiveness", responses((status = 200, body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok"
}

/// What readiness hangs on, and what it does not.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Readiness {
    /// It can serve.
    ready: bool,
    /// It is about to end; what is under way still gets its answer.
    closing: bool,
    database: Dependency,
    redis: Dependency,
    supplier: Dependency,
    buying: Buying,
    mail: Mail,
    payments: Payments,
    /// Cached answers may be served: the log of changes has been seen lately.
    copies_usable: bool,
    /// When a synchronisation of the whole catalogue or of all stock last came to its end: how old prices and stock
    /// are at the most. Absent before the first one, and while PostgreSQL is away
    /// or slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    catalogue_checked_at: Option<DateTime<Utc>>,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Dependency {
    /// `ok`, `down`, `off` (not configured), `sandbox`, or `refuses writes` (Redis: the service serves without it).
    state: &'static str,
    /// Whether the service cannot serve without it.
    required: bool,
    /// Since when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<DateTime<Utc>>,
}

/// Whether what was sold is bought. The shop sells on while it is not: orders wait.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Buying {
    /// `ok`, or `stopped`: on all workers, or on those that the reason names.
    state: &'static str,
    /// Always false: pages and API serve without it.
    required: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Since when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<DateTime<Utc>>,
}

/// Whether e-mails go out. They wait and are sent later.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mail {
    /// `ok`, `late` (one has waited for more than a quarter of an hour) or `unknown`.
    state: &'static str,
    /// Always false: pages and API serve without it.
    required: bool,
    /// How many wait.
    waiting: u64,
    /// How many were given up in the last seven days.
    given_up: u64,
    /// When the one that has waited longest was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<DateTime<Utc>>,
}

/// Whether payments wait for a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Payments {
    /// `ok`, or `review`: `lockstep reconcile` names each and says what to do.
    state: &'static str,
    /// Always false: pages and API serve without it.
    required: bool,
    /// How many top-ups wait. Absent while PostgreSQL is away or slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
    /// Since when the oldest does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<DateTime<Utc>>,
}

/// Whether it can serve: 200, else 503.
#[utoipa::path(get, path = "/readyz", tag = "service", operation_id = "getReadiness",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub(crate) async fn readyz(State(api): State<Arc<ApiState>>) -> Response {
    let ready = database_answers(&api).await;
    let catalogue_checked_at = if ready {
        let asked = api.store.read(|tx| Box::pin(games::last_synced(tx)));
        let told = tokio::time::timeout(PATIENCE_FOR_NEWS, asked).await;
        told.ok().and_then(Result::ok).and_then(|checked| checked.value)
    } else {
        None
    };
    let cache = api.cache.status();
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
    let asked = async {
        let (waiting, given_up) = mail::counts(&api.store).await?;
        Ok::<_, StoreError>((waiting, given_up, mail::oldest(&api.store).await?))
    };
    let told = if ready {
        tokio::time::timeout(PATIENCE_FOR_NEWS, asked)
            .await
            .ok()
            .and_then(Result::ok)
    } else {
        None
    };
    let (waiting, given_up, since) = told.unwrap_or_default();
    let is_late = since.is_some_and(|since| Utc::now() - since > mail::LATE);
    Mail {
        state: match (told.is_some(), is_late) {
            (false, _) => "unknown",
            (true, true) => "late",
            (true, false) => "ok",
        },
        required: false,
        waiting,
        given_up,
        since,
    }
}

async fn buying(api: &ApiState, ready: bool) -> Buying {
    let asked = if ready {
        tokio::time::timeout(PATIENCE, stops::all(&api.store)).await.ok()
    } else {
        None
    };
    let stopped = |reason, since| Buying {
        state: "stopped",
        required: false,
        reason: Some(reason),
        since,
    };
    match asked {
        Some(Ok(stops)) => match stops.first() {
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
        Some(Err(_)) | None => stopped("the database does not answer".to_owned(), None),
    }
}

async fn payments(api: &ApiState, ready: bool) -> Payments {
    let asked = if ready {
        let asked = tokio::time::timeout(PATIENCE_FOR_NEWS, top_ups::waiting_for_staff(&api.store));
        asked.await.ok().and_then(Result::ok)
    } else {
        None
    };
    Payments {
        state: if asked.is_some_and(|(waiting, _)| waiting > 0) {
            "review"
        } else {
            "ok"
        },
        required: false,
        waiting: asked.map(|(waiting, _)| waiting),
        since: asked.and_then(|(_, since)| since),
    }
}

/// Figures for Prometheus. Where `LOCKSTEP_METRICS_BIND` names an address of their own, as by default in production, they
/// are there and not here.
#[utoipa::path(get, path = "/metrics", tag = "service", operation_id = "getMetrics", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(api): State<Arc<ApiState>>) -> Response {
    prometheus((api.metrics)())
}

/// Figures in Prometheus' text form.
pub(crate) fn prometheus(figures: String) -> Response {
    let mut response = figures.into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

/// Whether it answers and takes writes.
async fn database_answers(api: &ApiState) -> bool {
    matches!(tokio::time::timeout(PATIENCE, api.store.ping()).await, Ok(Ok(())))
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
