//! What people see: server-rendered pages that read through the same cache and the same answers as the API.
//!
//! `people → [edge → page] → shelf of finished pages → cache → store`
//!
//! Every page works without scripts, loads one stylesheet and nothing from elsewhere. Pages that show nothing personal
//! are made once and served as they are (`page`); the header's personal part comes in a fragment of its own. Texts stand
//! in `messages/`, templates in `templates/`, stylesheet and modules in `assets/`; all of it lies in the binary.

mod answers;
mod assets;
mod cards;
mod covers;
mod edge;
mod error;
mod format;
mod forms;
mod i18n;
mod layout;
mod page;
mod pages;
mod pictures;
mod safe_html;
mod seo;
mod session;
mod titles;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use lockstep_cache::Cache;
use lockstep_shop::Shop;
use tokio::sync::{Semaphore, watch};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate as _};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use error::PageError;
use page::PageCache;
pub use pictures::PictureSettings;
use pictures::Proxy;

/// So many pages are made at once; who comes then is told to come again.
const MAX_IN_FLIGHT: usize = 1024;

/// What the shop knows of its supplier, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supply {
    /// When G2A's word on price and stock was last brought home completely.
    pub checked_at: Option<DateTime<Utc>>,
    /// A synchronisation that is under way.
    pub progress: Option<Progress>,
    /// Since when some of what was sold waits to be bought.
    pub waiting_since: Option<DateTime<Utc>>,
    /// The database does not answer; the rest is what was known before.
    pub is_offline: bool,
}

/// How far a synchronisation has got.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Products read so far.
    pub seen: u64,
    /// Pages read so far.
    pub pages_read: u64,
    /// Estimate of all pages.
    pub pages_total: Option<u64>,
}

/// Who runs the shop, as far as its operator says; what is not said is not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operator {
    /// The address that people write to.
    pub contact_email: Option<String>,
    /// The page that says who runs the shop, with scheme and host, as all of these.
    pub imprint_url: Option<String>,
    /// Terms and conditions.
    pub terms_url: Option<String>,
    /// What becomes of people's data.
    pub privacy_url: Option<String>,
}

/// What an operator may set about the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// In production browsers are told to stay with HTTPS, and the style page is not served.
    pub production: bool,
    /// The shop's name.
    pub shop_name: String,
    /// Who runs the shop.
    pub operator: Operator,
    /// Where people reach the shop, scheme and host without a slash at the end.
    pub public_url: String,
    /// Goods come from the built-in sandbox; every page says so.
    pub sandbox: bool,
    /// Where pictures are kept.
    pub pictures: PictureSettings,
    /// How many of our own proxies stand in front; so many entries of `X-Forwarded-For` are believed.
    pub trusted_proxies: usize,
}

/// What pages are made from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The way to every answer.
    pub cache: Cache,
    /// What a shopper does.
    pub shop: Shop,
    /// Kept up to date by whoever runs the store.
    pub supply: watch::Receiver<Supply>,
    /// Settings.
    pub settings: Settings,
}

/// What handlers share.
pub(crate) struct WebState {
    pub(crate) cache: Cache,
    pub(crate) shop: Shop,
    pub(crate) supply: watch::Receiver<Supply>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) shelf: PageCache,
    pub(crate) pictures: Arc<Proxy>,
    /// One for each page that may be made at a time.
    pub(crate) places: Semaphore,
}

/// The pages.
pub fn router(parts: Parts) -> Router {
    let mut settings = parts.settings;
    settings
        .public_url
        .truncate(settings.public_url.trim_end_matches('/').len());
    let state = Arc::new(WebState {
        pictures: Arc::new(Proxy::new(&settings.pictures)),
        cache: parts.cache,
        shop: parts.shop,
        supply: parts.supply,
        settings: Arc::new(settings),
        shelf: PageCache::default(),
        places: Semaphore::new(MAX_IN_FLIGHT),
    });
    let own = pages::own_routes().layer(middleware::from_fn_with_state(Arc::clone(&state), session::arrive));
    Router::new()
        .merge(own)
        .route("/", get(pages::home::home))
        .route("/games", get(pages::catalogue::catalogue))
        .route("/game/{slug}", get(pages::game::game))
        .route("/preorders", get(pages::preorders::preorders))
        .route("/help", get(pages::help::help))
        .route("/status", get(pages::status::status))
        .route("/favicon.ico", get(assets::icon))
        .route("/apple-touch-icon.png", get(assets::icon))
        .route("/fragments/recent", get(pages::recent::fragment))
        .route("/sitemap.xml", get(seo::sitemap))
        .route("/sitemap/{file}", get(seo::sitemap_part))
        .route("/robots.txt", get(seo::robots))
        .route("/site.webmanifest", get(seo::manifest))
        .route("/style", get(pages::style::style))
        .route("/preferences", post(pages::preferences::set))
        .route("/images/{game}/{place}/{file}", get(pictures::proxy::picture))
        .route("/avatars/{file}", get(pages::account::picture::image))
        .route("/covers/{file}", get(covers::cover))
        .route("/assets/{file}", get(assets::asset))
        .method_not_allowed_fallback(error::wrong_method)
        .fallback(error::nothing_here)
        // A form counts only when one of our own pages sent it: browsers say so themselves (Sec-Fetch-Site, Origin).
        .layer(CsrfLayer::new().with_rejection_response(|_why: ProtectionError| PageError::Forbidden.into_response()))
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(edge::holds_no_secret)))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), edge::edge))
        .with_state(state)
}
