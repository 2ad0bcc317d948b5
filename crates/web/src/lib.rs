//! What people see: server-rendered pages that read through the same cache and the same answers as the API.
//!
//! Every page works without scripts, loads one stylesheet and nothing from elsewhere. Assets lie in the binary under
//! names that change with their contents, so browsers may keep them for ever.

mod assets;
mod covers;
mod index;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::routing::get;
use chrono::{DateTime, Utc};
use lockstep_cache::Cache;
use lockstep_shop::Shop;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::timeout::TimeoutLayer;

/// The longest that making a page may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the shop knows of its supplier, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supply {
    /// When G2A's word on price and stock was last brought home completely.
    pub checked_at: Option<DateTime<Utc>>,
    /// A synchronisation that is under way.
    pub progress: Option<Progress>,
}

/// How far a synchronisation has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Products read so far.
    pub seen: u64,
    /// Pages read so far.
    pub pages_read: u64,
    /// Estimate of all pages.
    pub pages_total: Option<u64>,
}

/// What pages need.
#[derive(Debug, Clone)]
pub struct WebState {
    /// The way to every answer.
    pub cache: Cache,
    /// What a shopper does.
    pub shop: Shop,
    /// Kept up to date by whoever runs the store.
    pub supply: watch::Receiver<Supply>,
    /// Whether goods come from the built-in sandbox; every page says so.
    pub sandbox: bool,
}

/// The pages.
pub fn router(state: WebState) -> Router {
    Router::new()
        .route("/", get(index::index))
        .route("/covers/{file}", get(covers::cover))
        .route("/assets/{file}", get(assets::asset))
        .fallback(index::nothing_here)
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            PATIENCE,
        ))
        .layer(CatchPanicLayer::custom(index::after_a_panic))
        .layer(middleware::from_fn(protect))
        .with_state(Arc::new(state))
}

/// Pages run no scripts and load nothing from elsewhere but pictures.
async fn protect(request: axum::extract::Request, next: Next) -> axum::response::Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(
        "default-src 'none'; style-src 'self'; img-src 'self' https: data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("strict-origin-when-cross-origin"),
    );
    response
}
