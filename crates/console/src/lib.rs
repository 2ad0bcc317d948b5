//! The console: server-rendered pages of staff below `/admin`, or the path that a front-end leaves to it (`mount`).
//!
//! `browser → [edge → session → gate → page] → lockstep_admin`
//!
//! Every page works without scripts. A page is registered with the permission that it needs (`gate`); the use cases
//! are those of the API for staff. Lists are made of one component (`table`), changes of one page that states the
//! effect and asks (`action`). Nothing is cached: staff decide from what they see.

mod action;
mod assets;
mod chart;
mod demo;
mod edge;
mod edit;
mod gate;
mod layout;
mod mount;
mod rooms;
mod show;
mod staff;
mod step_up;
mod table;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::response::IntoResponse as _;
use axum::routing::get;
use chrono::{DateTime, Utc};
use lockstep_admin::BackOffice;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::{page, session};
use lockstep_shop::Shop;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate as _};
use tower_http::csrf::{CsrfLayer, ProtectionError};

pub use crate::demo::DemoLink;
pub use crate::mount::ConsolePath;

/// Settings of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// In production cookies are for HTTPS only, and browsers are told to stay on HTTPS.
    pub production: bool,
    /// The shop's name.
    pub shop_name: String,
    /// The name is the operator's setting, which wins over the one that staff choose.
    pub shop_name_is_set: bool,
    /// Public base URL of the shop: scheme and host, without a trailing slash.
    pub public_url: String,
    /// Goods come from the built-in sandbox; every page says so.
    pub sandbox: bool,
    /// Number of trusted proxies in front of the server.
    pub trusted_proxies: usize,
    /// Where the console is.
    pub path: ConsolePath,
}

/// The dependencies of the console.
#[derive(Debug)]
pub struct Parts {
    /// The shop's use cases.
    pub shop: Shop,
    /// The use cases of staff.
    pub office: BackOffice,
    /// The settings.
    pub settings: Settings,
    /// The link that signs the owner of a demo in; without it there is no such address.
    pub demo: Option<DemoLink>,
}

/// State shared by all handlers.
pub(crate) struct ConsoleState {
    pub(crate) shop: Shop,
    pub(crate) office: BackOffice,
    pub(crate) settings: Settings,
    pub(crate) demo: Option<DemoLink>,
    /// What opening each page needs whose address has no parameters.
    readable: HashMap<&'static str, Option<Permission>>,
}

impl ConsoleState {
    /// What opening the page at a path needs; `None` if there is no such page, or its address has parameters.
    #[expect(
        clippy::option_option,
        reason = "a page that needs no permission is another thing than no page"
    )]
    pub(crate) fn needed_to_open(&self, path: &str) -> Option<Option<Permission>> {
        self.readable.get(path).copied()
    }

    /// The current time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.shop.clock().now()
    }
}

impl session::Site for ConsoleState {
    fn shop(&self) -> &Shop {
        &self.shop
    }

    fn production(&self) -> bool {
        self.settings.production
    }

    fn trusted_proxies(&self) -> usize {
        self.settings.trusted_proxies
    }
}

/// Method, path and permission of every page, and whether the password must have been given a moment ago; without a
/// permission, any member of staff may open it.
pub fn pages() -> Vec<(&'static str, &'static str, Option<Permission>, bool)> {
    let pages = rooms::routes();
    let needs = pages.iter().flat_map(|page| {
        page.needs
            .iter()
            .map(|(method, needs)| (*method, page.path, needs.permission, needs.confirmed))
    });
    needs.collect()
}

/// Builds the router of all pages, below [`Settings::path`].
pub fn router(parts: Parts) -> Router {
    let routes = rooms::routes();
    let readable = routes
        .iter()
        .filter(|page| !page.path.contains('{'))
        .filter_map(|page| {
            let (_, needs) = page.needs.iter().find(|(method, _)| *method == "GET")?;
            Some((page.path, needs.permission))
        });
    let state = Arc::new(ConsoleState {
        shop: parts.shop,
        office: parts.office,
        settings: parts.settings,
        demo: parts.demo,
        readable: readable.collect(),
    });
    let path = state.settings.path;
    let mut pages = Router::new();
    if state.demo.is_some() {
        pages = pages.route(&path.of("/admin/enter/{token}"), get(demo::page).post(demo::enter));
    }
    for page in routes {
        pages = pages.route(&path.of(page.path), page.methods);
    }
    let router = pages
        .route(&path.of("/admin/{*path}"), axum::routing::any(gate::nothing_here))
        .method_not_allowed_fallback(gate::wrong_method)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            session::arrive::<ConsoleState>,
        ))
        .route(&path.of("/admin/assets/{file}"), get(assets::asset))
        // A form is accepted only from a page of this site: browsers state its origin (Sec-Fetch-Site, Origin).
        .layer(CsrfLayer::new().with_rejection_response(|_why: ProtectionError| PageError::Forbidden.into_response()))
        .layer(middleware::from_fn_with_state(path, mount::outward))
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(page::holds_no_secret)))
        .layer(edge::layer(&state))
        .with_state(state);
    path.around(router)
}
