//! Server-rendered pages. They read through the same cache and the same answers as the API.
//!
//! `browser → [edge → page] → page cache → cache → store`
//!
//! Every page works without scripts, loads one stylesheet and nothing from other sites. Pages without personal data are
//! rendered once and served from the page cache (`page`); the personal part of the header is a fragment with its own
//! request. Texts are in `crates/page/messages/`, templates in `templates/`, stylesheet and modules in `assets/`; all are compiled
//! into the binary.

mod assets;
mod brand;
mod cards;
mod covers;
mod edge;
mod error_page;
mod feeds;
mod front;
mod header;
mod impersonation;
mod layout;
mod pages;
mod pictures;
mod seo;
mod session;
mod titles;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::middleware;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use lockstep_domain::site::Site;
use lockstep_page::{error, format, forms, i18n, page, visit};
use lockstep_shop::Shop;
use tokio::sync::watch;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate as _};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use error::PageError;
pub use feeds::FeedSettings;
use feeds::Feeds;
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
    /// The name is the operator's setting, which wins over the one that staff choose.
    pub shop_name_is_set: bool,
    /// Who runs the shop.
    pub operator: Operator,
    /// Public base URL of the shop: scheme and host, without a trailing slash.
    pub public_url: String,
    /// Goods come from the built-in sandbox; every page says so.
    pub sandbox: bool,
    /// Settings of the picture proxy.
    pub pictures: PictureSettings,
    /// Settings of the feeds.
    pub feeds: FeedSettings,
    /// Folder of a built single-page front-end that takes the place of the pages for browsing and buying.
    pub front: Option<PathBuf>,
    /// Path of the console, to which staff return who acted as a customer.
    pub console: &'static str,
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
    /// What the operator writes on every page, as it was last read.
    pub(crate) last_site: RwLock<Arc<Site>>,
    pub(crate) pictures: Arc<Proxy>,
    pub(crate) feeds: Feeds,
}

impl WebState {
    /// The current time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.shop.clock().now()
    }

    /// What the operator writes on every page. While it cannot be read, as it was last read: a shop shows its imprint
    /// and its terms also while its database is away, and nobody can change them then.
    pub(crate) async fn site(&self) -> Arc<Site> {
        let read = self.shop.catalogue().site().await;
        let Some(site) = read.ok().and_then(|site| site.part(|site| site).ok()) else {
            return self.last_site.read().unwrap_or_else(PoisonError::into_inner).clone();
        };
        let is_known = Arc::ptr_eq(&site, &self.last_site.read().unwrap_or_else(PoisonError::into_inner));
        if !is_known {
            *self.last_site.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&site);
        }
        site
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
        feeds: Feeds::new(&settings.feeds),
        shop: parts.shop,
        supply: parts.supply,
        settings: Arc::new(settings),
        page_cache: PageCache::default(),
        last_site: RwLock::default(),
    });
    let front = state.settings.front.as_deref().map(front::Front::new);
    let own = pages::own_routes().layer(middleware::from_fn_with_state(
        Arc::clone(&state),
        session::arrive::<WebState>,
    ));
    Router::new()
        .merge(own)
        .route("/", get(pages::home::home))
        .route("/games", get(pages::catalogue::catalogue))
        .route("/game/{slug}", get(pages::game::game))
        .route("/preorders", get(pages::preorders::preorders))
        .route("/help", get(pages::help::help))
        .route("/pages/{slug}", get(pages::own::page))
        .route("/status", get(pages::status::status))
        .route("/accessibility", get(pages::accessibility::page))
        .route(
            "/unsubscribe",
            get(pages::unsubscribe::page).post(pages::unsubscribe::unsubscribe),
        )
        .route(impersonation::END, post(impersonation::nobody))
        .route("/favicon.ico", get(assets::icon))
        .route("/apple-touch-icon.png", get(assets::icon))
        .route("/fragments/recent", get(pages::recent::fragment))
        .route("/sitemap.xml", get(seo::sitemap))
        .route("/sitemap/{file}", get(seo::sitemap_part))
        .route("/feeds/{file}", get(feeds::public))
        .route("/feeds/{secret}/{file}", get(feeds::secret))
        .route("/robots.txt", get(seo::robots))
        .route("/site.webmanifest", get(seo::manifest))
        .route("/style", get(pages::style::style))
        .route("/preferences", post(pages::preferences::set))
        .route("/images/{game}/{place}/{file}", get(pictures::proxy::picture))
        .route("/avatars/{file}", get(pages::account::picture::image))
        .route("/api/avatars/{file}", get(pages::account::picture::image))
        .route("/covers/{file}", get(covers::cover))
        .route("/api/covers/{file}", get(covers::cover))
        .route("/api/pictures/{file}", get(pictures::proxy::stored))
        .route("/assets/{file}", get(assets::asset))
        .route("/brand/{file}", get(brand::stylesheet))
        .route("/logo/{file}", get(brand::logo))
        .route("/api/logo/{file}", get(brand::logo))
        .method_not_allowed_fallback(error_page::wrong_method)
        .fallback(error_page::nothing_here)
        .layer(middleware::from_fn_with_state(Arc::clone(&state), pages::own::read))
        .layer(middleware::from_fn_with_state(front, front::serve))
        // A form is accepted only from a page of this site: browsers state its origin (Sec-Fetch-Site, Origin).
        .layer(CsrfLayer::new().with_rejection_response(|_why: ProtectionError| PageError::Forbidden.into_response()))
        .layer(
            CompressionLayer::new().compress_when(
                DefaultPredicate::new()
                    .and(page::holds_no_secret)
                    .and(NotForContentType::const_new(feeds::GZIP)),
            ),
        )
        .layer(edge::layer(&state))
        .with_state(state)
}
