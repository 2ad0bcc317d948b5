//! Server-rendered pages. They read through the same cache and the same answers as the API.
//!
//! `browser → [edge → page] → page cache → cache → store`
//!
//! Every page works without scripts, loads one stylesheet and nothing from other sites. Pages without personal data are
//! rendered once and served from the page cache (`page`); the personal part of the header is a fragment with its own
//! request. Texts are in `messages/`, templates in `templates/`, stylesheet and modules in `assets/`; all are compiled
//! into the binary.

mod assets;
mod cards;
mod covers;
mod edge;
mod error;
mod error_page;
mod format;
mod forms;
mod header;
mod i18n;
mod layout;
mod page;
mod pages;
mod pictures;
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
use lockstep_shop::Shop;
use tokio::sync::watch;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate as _};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use error::PageError;
use page::PageCache;
pub use pictures::PictureSettings;
use pictures::Proxy;

/// What the shop knows of its supplier, for the pages to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supply {
    /// When the last completed check of G2A's prices and stock started: they are known as of then.
    pub checked_at: Option<DateTime<Utc>>,
    /// The synchronisation in progress.
    pub progress: Option<Progress>,
    /// Since when sold units wait to be bought.
    pub waiting_since: Option<DateTime<Utc>>,
    /// The database does not answer; the other fields are the last known values.
    pub is_offline: bool,
}

/// Progress of a synchronisation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Products read so far.
    pub seen: u64,
    /// Pages read so far.
    pub pages_read: u64,
    /// Estimated number of all pages.
    pub pages_total: Option<u64>,
}

/// Who runs the shop. Fields that the operator has not set are not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operator {
    /// E-mail address for customers.
    pub contact_email: Option<String>,
    /// URL of the imprint, with scheme and host like the URLs below.
    pub imprint_url: Option<String>,
    /// URL of the terms and conditions.
    pub terms_url: Option<String>,
    /// URL of the privacy policy.
    pub privacy_url: Option<String>,
}

/// Settings of the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// In production the style page is not served, and browsers are told to stay on HTTPS.
    pub production: bool,
    /// The shop's name.
    pub shop_name: String,
    /// Who runs the shop.
    pub operator: Operator,
    /// Public base URL of the shop: scheme and host, without a trailing slash.
    pub public_url: String,
    /// Goods come from the built-in sandbox; every page says so.
    pub sandbox: bool,
    /// Settings of the picture proxy.
    pub pictures: PictureSettings,
    /// Number of trusted proxies in front of the server; as many entries of `X-Forwarded-For` are trusted.
    pub trusted_proxies: usize,
}

/// The dependencies of the pages.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The shop's use cases, and the answers about its catalogue.
    pub shop: Shop,
    /// The state of the supplier, kept up to date by the process that runs the shop.
    pub supply: watch::Receiver<Supply>,
    /// The settings.
    pub settings: Settings,
}

/// State shared by all handlers.
pub(crate) struct WebState {
    pub(crate) shop: Shop,
    pub(crate) supply: watch::Receiver<Supply>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) page_cache: PageCache,
    pub(crate) pictures: Arc<Proxy>,
}

impl WebState {
    /// The current time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.shop.clock().now()
    }
}

/// Builds the router of all pages.
pub fn router(parts: Parts) -> Router {
    let mut settings = parts.settings;
    settings
        .public_url
        .truncate(settings.public_url.trim_end_matches('/').len());
    let state = Arc::new(WebState {
        pictures: Arc::new(Proxy::new(&settings.pictures, parts.shop.clock())),
        shop: parts.shop,
        supply: parts.supply,
        settings: Arc::new(settings),
        page_cache: PageCache::default(),
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
        .method_not_allowed_fallback(error_page::wrong_method)
        .fallback(error_page::nothing_here)
        // A form is accepted only from a page of this site: browsers state its origin (Sec-Fetch-Site, Origin).
        .layer(CsrfLayer::new().with_rejection_response(|_why: ProtectionError| PageError::Forbidden.into_response()))
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(edge::holds_no_secret)))
        .layer(edge::layer(&state))
        .with_state(state)
}
