//! What the pages do differently at the edge: error pages in the reader's language, time for uploads, and the cookie
//! of a language that the address sets.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use lockstep_edge::{EdgeLayer, Failure, Limits, Policy, RequestId, Surface};

use crate::WebState;
use crate::error::PageError;
use crate::error_page;
use crate::feeds;
use crate::pictures::upload;
use crate::visit::{LANGUAGE_COOKIE, OnEveryPage, Preferences, preference};

/// Maximum number of pages made at once; further requests get 503.
const MAX_IN_FLIGHT: usize = 1024;

/// Maximum time to make a page.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for an upload: 1 MiB at 0.2 Mbit/s takes 42 s.
const UPLOAD_PATIENCE: Duration = Duration::from_mins(1);

/// The pages at the edge.
pub(crate) struct PageSurface(Arc<WebState>);

/// The layer around all pages.
pub(crate) fn layer(state: &Arc<WebState>) -> EdgeLayer<PageSurface> {
    let limits = Limits {
        in_flight: MAX_IN_FLIGHT,
        production: state.settings.production,
    };
    EdgeLayer::new(PageSurface(Arc::clone(state)), limits)
}

impl Surface for PageSurface {
    type Read = Preferences;

    const POLICY: Policy = Policy::Pages;

    fn read(&self, request: &Request<Body>) -> Preferences {
        Preferences::of(request.uri(), request.headers())
    }

    fn time_limit(&self, request: &Request<Body>) -> Duration {
        if request.uri().path() == upload::PATH {
            UPLOAD_PATIENCE
        } else if request.uri().path().starts_with(feeds::FOLDER) {
            feeds::PATIENCE
        } else {
            PATIENCE
        }
    }

    fn failed(&self, failure: Failure) -> Response {
        match failure {
            Failure::Busy | Failure::TimedOut => PageError::Offline,
            // The panic hook has already logged the panic.
            Failure::Panicked => PageError::Internal,
        }
        .into_response()
    }

    fn finish(&self, mut visit: Preferences, id: &RequestId, mut response: Response) -> Response {
        if let Some(reason) = response.extensions_mut().remove::<PageError>() {
            if let Some(site) = response.extensions_mut().remove::<Arc<OnEveryPage>>() {
                visit.site = site;
            }
            response = error_page::respond(&self.0, &visit, &reason, id);
        }
        if visit.language_in_address
            && let Some(cookie) = preference(LANGUAGE_COOKIE, visit.language.code(), self.0.settings.production)
        {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}
