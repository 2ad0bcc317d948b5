//! The JSON API: the games that anybody may see, accounts, carts, orders and money, the state of the service, and the API's
//! own description.
//!
//! `people → [edge → handler] → cache → store`, and for what is somebody's own `handler → shop`. A handler reads the
//! request, asks for one answer and serves the bytes found there; it never calls G2A. What every request gets (request id, CORS, limits, headers, metrics,
//! the error envelope) is done in one place around all handlers (`edge`), because a cached answer costs so little
//! that a stack of middleware would cost more.

mod account;
mod admin;
mod admin_money;
mod answer;
mod auth;
mod body;
mod cart;
mod cors;
mod docs;
mod edge;
mod error;
mod games;
mod health;
mod money;
mod orders;
mod params;
mod refusals;
mod stock_alerts;
mod user;
mod visit;
mod webhook;
mod wishlist;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::middleware::map_response;
use axum::routing::{MethodRouter, any, get, post};
use chrono::{DateTime, Utc};
use lockstep_cache::Cache;
use lockstep_domain::secret::Secret;
use lockstep_shop::Shop;
use lockstep_store::Store;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;

pub use docs::openapi;

/// What the API stands on.
#[derive(Clone)]
pub struct ApiState {
    /// Answers.
    pub cache: Cache,
    /// What a shopper does.
    pub shop: Shop,
    /// The truth; asked directly only about its health.
    pub store: Store,
    /// Settings.
    pub settings: Arc<Settings>,
    /// Gives the text for `/metrics` (Prometheus' format).
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What is known of G2A.
    pub supplier: watch::Receiver<SupplierStatus>,
    /// Cancelled when this process is about to end: whoever routes traffic is told to send it elsewhere.
    pub closing: CancellationToken,
}

/// How a handler takes it.
pub(crate) type Api = State<Arc<ApiState>>;

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState")
            .field("settings", &self.settings)
            .field("supplier", &*self.supplier.borrow())
            .finish_non_exhaustive()
    }
}

/// What an operator may set about the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// In production only the listed origins may read answers in a browser, and browsers are told to stay with HTTPS.
    pub production: bool,
    /// Origins of front-ends that live elsewhere (`https://shop.example.com`); `https://*.example.com` stands for all
    /// hosts under it.
    pub cors_origins: Vec<String>,
    /// A request that takes longer is answered with 504.
    pub request_timeout: Duration,
    /// More requests than this at once are answered with 503, so that a flood waits outside and not in our memory.
    pub max_in_flight: usize,
    /// So many reverse proxies stand in front, and so many entries of `X-Forwarded-For` are believed.
    pub trusted_proxies: usize,
    /// What webhooks about orders at G2A are signed with.
    pub webhook_secret: Secret,
    /// `/metrics` is answered here; else only by [`metrics_router`], wherever that is served.
    pub serves_metrics: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            production: false,
            cors_origins: Vec::new(),
            request_timeout: Duration::from_secs(10),
            max_in_flight: 1024,
            trusted_proxies: 0,
            // Nobody knows it, so nothing is taken until the operator sets one.
            webhook_secret: Secret::new(hex::encode(rand::random::<[u8; 32]>())),
            serves_metrics: true,
        }
    }
}

/// What the process knows of its supplier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SupplierStatus {
    /// How it is.
    pub state: SupplierState,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// How the supplier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SupplierState {
    /// G2A answers.
    Ok,
    /// G2A does not answer, or refuses us. The store goes on selling what it knows.
    Error,
    /// No credentials are set.
    NotConfigured,
    /// The built-in sandbox stands in for G2A.
    Sandbox,
}

/// All routes. Paths outside `/api` and the service's own are left to whoever merges this router with others.
///
/// `/api/api/...` answers like `/api/...`: the existing front-end doubles the prefix when it is pointed at
/// `127.0.0.1` or at an address that already ends in `/api`.
pub fn router(state: ApiState) -> Router {
    let edge = edge::Shared::new(&state.settings);
    let state = Arc::new(state);
    let wrap = |router: Router<Arc<ApiState>>, (path, methods): (&'static str, MethodRouter<Arc<ApiState>>)| {
        router.route(path, methods.layer(edge.layer(path)))
    };
    let api = api_routes().into_iter().map(only).fold(Router::new(), wrap);
    let no_route = ["/api", "/api/", "/api/{*rest}"]
        .into_iter()
        .map(|path| (path, any(error::no_route)));
    let api = no_route.fold(api, wrap);
    let staff_only = ["/api/admin", "/api/admin/", "/api/admin/{*rest}"].map(|path| (path, admin::no_route()));
    let api = staff_only.into_iter().fold(api, wrap);
    let docs = Router::from(docs::swagger_ui())
        .layer(map_response(docs::let_the_page_run))
        .layer(CompressionLayer::new())
        .layer(edge.layer("/api/docs"));
    let serves_metrics = state.settings.serves_metrics;
    let service = service_routes()
        .into_iter()
        .filter(|(path, _)| serves_metrics || *path != METRICS);
    let service = service.map(only).fold(Router::new(), wrap);
    Router::new()
        .nest("/api", api.clone())
        .merge(api)
        .merge(docs)
        .merge(service)
        .with_state(state)
}

/// Where the figures for Prometheus are.
const METRICS: &str = "/metrics";

/// The figures alone, for an address of their own: who may see the shop need not see its sales.
pub fn metrics_router(metrics: Arc<dyn Fn() -> String + Send + Sync>) -> Router {
    let figures = get(async move || health::prometheus(metrics()));
    Router::new().route(METRICS, figures.layer(CompressionLayer::new()))
}

/// Refuses every method but the route's own.
fn only((path, methods): (&str, MethodRouter<Arc<ApiState>>)) -> (&str, MethodRouter<Arc<ApiState>>) {
    (path, methods.fallback(error::wrong_method))
}

/// Every documented route under `/api`.
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
        money::routes(),
        admin::routes(),
        admin_money::routes(),
    ] {
        routes.extend(more);
    }
    routes
}

/// Every documented route outside `/api`.
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
    fn every_route_is_described_and_every_description_has_a_route() {
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
