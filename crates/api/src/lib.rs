//! The JSON API: the public catalogue, accounts, carts, orders, money, the back office, health checks and the OpenAPI
//! document.
//!
//! Data flows `client → edge → handler → shop`. A handler parses the request, asks for one response and serves its
//! bytes; it never calls G2A. Everything that applies to every request (request ID, limits, headers, metrics, the access
//! log) happens in the layer that the API shares with the pages (`lockstep_edge`); CORS and the error envelope are what
//! `edge` adds to it.

mod account;
mod admin;
mod answer;
mod auth;
mod body;
mod cart;
mod content;
mod cors;
mod docs;
mod edge;
mod error;
mod games;
mod health;
mod impersonation;
mod money;
mod orders;
mod params;
mod receipts;
mod refusals;
mod stock_alerts;
mod user;
mod visit;
mod webhook;
mod wishlist;
mod withdrawals;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::middleware::map_response;
use axum::routing::{MethodRouter, any, get, post};
use chrono::{DateTime, Utc};
use lockstep_admin::BackOffice;
use lockstep_domain::secret::Secret;
use lockstep_domain::staff::Permission;
use lockstep_shop::Shop;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;

pub use docs::openapi;
pub use webhook::WebhookTally;

/// The services and settings that the API's handlers use.
#[derive(Clone)]
pub struct ApiState {
    /// Answers about the catalogue, and the use cases of customers: accounts, carts, orders, money.
    pub shop: Shop,
    /// The use cases of staff.
    pub office: BackOffice,
    /// Operator settings.
    pub settings: Arc<Settings>,
    /// Renders the body of `/metrics` in the Prometheus text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Counts G2A's webhooks.
    pub webhooks: Arc<WebhookTally>,
    /// The secrets that sign G2A's webhooks, as they change while the process runs; `None`: that of the settings.
    pub event_secrets: Option<watch::Receiver<Vec<Secret>>>,
    /// Latest known status of G2A.
    pub supplier: watch::Receiver<SupplierStatus>,
    /// Cancelled when this process starts to shut down; `/readyz` then reports not ready, so that load balancers stop
    /// sending traffic.
    pub closing: CancellationToken,
}

impl ApiState {
    /// The secrets that may have signed a webhook about G2A orders.
    pub(crate) fn event_secrets(&self) -> Vec<Secret> {
        match &self.event_secrets {
            Some(secrets) => secrets.borrow().clone(),
            None => vec![self.settings.webhook_secret.clone()],
        }
    }

    /// The current time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.shop.clock().now()
    }
}

/// The extractor through which handlers receive [`ApiState`].
pub(crate) type Api = State<Arc<ApiState>>;

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState")
            .field("settings", &self.settings)
            .field("supplier", &*self.supplier.borrow())
            .finish_non_exhaustive()
    }
}

/// Operator settings of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether this is production: only the listed origins may then read responses in a browser, and
    /// `Strict-Transport-Security` is sent.
    pub production: bool,
    /// Origins of front-ends on other hosts (`https://shop.example.com`). `https://*.example.com` matches every
    /// subdomain.
    pub cors_origins: Vec<String>,
    /// Time limit of a request; a request that exceeds it is answered with 504.
    pub request_timeout: Duration,
    /// Maximum number of concurrent requests; further ones are answered with 503, so that a flood does not fill memory.
    pub max_in_flight: usize,
    /// Number of trusted reverse proxies in front, and so the number of `X-Forwarded-For` entries to trust.
    pub trusted_proxies: usize,
    /// Secret that signs webhooks about G2A orders, unless `ApiState::event_secrets` says otherwise.
    pub webhook_secret: Secret,
    /// Where the shop is for its users (`https://shop.example`), without a slash at its end.
    pub public_url: String,
    /// Whether this router serves `/metrics`; otherwise only [`metrics_router`] does.
    pub serves_metrics: bool,
}

impl Default for Settings {
    #[expect(
        clippy::disallowed_methods,
        reason = "a random default that no caller is given; nothing depends on its value"
    )]
    fn default() -> Self {
        Self {
            production: false,
            cors_origins: Vec::new(),
            request_timeout: Duration::from_secs(10),
            max_in_flight: 1024,
            trusted_proxies: 0,
            // A random secret that no sender knows: every webhook is refused until the operator sets one.
            webhook_secret: Secret::new(hex::encode(rand::random::<[u8; 32]>())),
            public_url: "http://127.0.0.1:8080".to_owned(),
            serves_metrics: true,
        }
    }
}

/// Status of the supplier as this process last saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SupplierStatus {
    /// Current state.
    pub state: SupplierState,
    /// Time at which the supplier entered this state.
    pub since: DateTime<Utc>,
}

/// State of the supplier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SupplierState {
    /// G2A responds.
    Ok,
    /// G2A does not respond or refuses our requests. The shop keeps selling from its stored catalogue.
    Error,
    /// No G2A credentials are configured.
    NotConfigured,
    /// The built-in sandbox replaces G2A.
    Sandbox,
}

/// Builds the router with all routes. Paths outside `/api` and the service routes are free for a router that is merged
/// with this one.
///
/// `/api/api/...` responds like `/api/...`: the existing front-end doubles the prefix when its base URL is `127.0.0.1`
/// or already ends in `/api`.
pub fn router(state: ApiState) -> Router {
    let edge = edge::layer(&state.settings);
    let state = Arc::new(state);
    let add = |router: Router<Arc<ApiState>>, (path, methods): (&'static str, MethodRouter<Arc<ApiState>>)| {
        router.route(path, methods)
    };
    let api = api_routes().into_iter().map(only).fold(Router::new(), add);
    let no_route = ["/api", "/api/", "/api/{*rest}"]
        .into_iter()
        .map(|path| (path, any(error::no_route)));
    let api = no_route.fold(api, add);
    let staff_only = ["/api/admin", "/api/admin/", "/api/admin/{*rest}"].map(|path| (path, admin::no_route()));
    let api = admin::tokens::layer(&state, staff_only.into_iter().fold(api, add));
    let docs = Router::from(docs::swagger_ui())
        .layer(map_response(docs::let_the_page_run))
        .layer(CompressionLayer::new());
    let serves_metrics = state.settings.serves_metrics;
    let service = service_routes()
        .into_iter()
        .filter(|(path, _)| serves_metrics || *path != METRICS);
    let service = service.map(only).fold(Router::new(), add);
    Router::new()
        .nest("/api", api.clone())
        .merge(api)
        .merge(docs)
        .merge(service)
        .layer(edge)
        .with_state(state)
}

/// Path of the Prometheus metrics.
const METRICS: &str = "/metrics";

/// Builds a router that serves only `/metrics`, for a separate bind address: visitors of the shop need not see its
/// sales.
pub fn metrics_router(metrics: Arc<dyn Fn() -> String + Send + Sync>) -> Router {
    let figures = get(async move || health::prometheus(metrics()));
    // No page of another origin may read them, one of this machine neither.
    let settings = Settings {
        production: true,
        ..Settings::default()
    };
    Router::new()
        .route(METRICS, figures.layer(CompressionLayer::new()))
        .layer(edge::layer(&settings))
}

/// Makes a route answer every other method with 405.
fn only((path, methods): (&str, MethodRouter<Arc<ApiState>>)) -> (&str, MethodRouter<Arc<ApiState>>) {
    (path, methods.fallback(error::wrong_method))
}

/// Returns every documented route under `/api`.
fn api_routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    let mut routes = vec![
        ("/api/games", get(games::list)),
        ("/api/games/search", get(games::search)),
        ("/api/games/autocomplete", get(games::autocomplete)),
        ("/api/games/best-sellers", get(games::best_sellers)),
        ("/api/games/new-in-catalog", get(games::new_in_catalog)),
        ("/api/games/preorders", get(games::preorders)),
        ("/api/games/new", get(games::new)),
        ("/api/games/by-genre/{genre}", get(games::by_genre)),
        ("/api/games/random", get(games::random).layer(CompressionLayer::new())),
        ("/api/games/genres", get(games::genres)),
        ("/api/games/platforms", get(games::platforms)),
        ("/api/games/filter-options", get(games::filter_options)),
        ("/api/games/collections", get(games::collections)),
        ("/api/games/slug/{slug}", get(games::by_slug)),
        ("/api/games/{id}", get(games::by_id)),
        ("/api/games/{id}/similar", get(games::similar)),
        ("/api/g2a/webhook", post(webhook::g2a)),
        ("/api/health", get(health::health)),
        ("/api/openapi.json", get(docs::document).layer(CompressionLayer::new())),
    ];
    for more in [
        auth::routes(),
        cart::routes(),
        wishlist::routes(),
        user::routes(),
        stock_alerts::routes(),
        account::routes(),
        orders::routes(),
        receipts::routes(),
        money::routes(),
        content::routes(),
        withdrawals::routes(),
    ] {
        routes.extend(more);
    }
    routes.extend(admin::routes().into_iter().map(|route| (route.path, route.methods)));
    routes
}

/// Every route of staff: its method, its path, and the permission that it needs; `None` if any member of staff may use it.
pub fn staff_routes() -> Vec<(&'static str, &'static str, Option<Permission>)> {
    admin::routes()
        .into_iter()
        .flat_map(|route| {
            let path = route.path;
            route
                .needs
                .into_iter()
                .map(move |(method, permission)| (method, path, permission))
        })
        .collect()
}

/// Returns every documented route outside `/api`.
fn service_routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/health", get(health::health_at_root)),
        ("/healthz", get(health::healthz)),
        ("/readyz", get(health::readyz)),
        (METRICS, get(health::metrics).layer(CompressionLayer::new())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_staff_are_registered_with_a_permission() {
        let guarded: Vec<&str> = staff_routes().into_iter().map(|(_, path, _)| path).collect();
        for (path, _) in api_routes() {
            assert_eq!(path.starts_with("/api/admin"), guarded.contains(&path), "{path}");
        }
    }

    #[test]
    fn openapi_documents_exactly_the_registered_routes() {
        let mut routes: Vec<String> = api_routes()
            .into_iter()
            .chain(service_routes())
            .map(|(path, _)| path.to_owned())
            .collect();
        let mut described: Vec<String> = openapi().paths.paths.keys().cloned().collect();
        routes.sort();
        described.sort();
        assert_eq!(routes, described);
    }
}
