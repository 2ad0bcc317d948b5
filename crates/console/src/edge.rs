//! What the console does at the edge: its error pages in the reader's language, and time for uploads.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use lockstep_edge::{EdgeLayer, Failure, Limits, Policy, RequestId, Surface};
use lockstep_page::error::PageError;
use lockstep_page::page;
use lockstep_page::visit::{LANGUAGE_COOKIE, Preferences, preference};

use crate::ConsoleState;
use crate::layout::Layout;
use crate::rooms::keys::IMPORT;

/// Maximum number of pages made at once; further requests get 503.
const MAX_IN_FLIGHT: usize = 128;
/// Maximum time to make a page.
const PATIENCE: Duration = Duration::from_secs(10);
/// The address that the logo is sent to.
const LOGO_UPLOAD: &str = "/admin/content/branding/logo/upload";
/// The end of the address that pictures are sent to.
const PICTURE: &str = "/pictures/add";
/// The same for a file of keys, as at the API: 64 MB over a slow line.
const UPLOAD_PATIENCE: Duration = Duration::from_mins(10);

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    layout: Layout,
    code: u16,
    advice: String,
    /// Whether a retry may help.
    again: bool,
    /// The id of the request, by which the operator finds it in the log.
    request_id: &'a str,
}

/// The console at the edge.
pub(crate) struct ConsoleSurface(Arc<ConsoleState>);

/// The layer around all pages.
pub(crate) fn layer(state: &Arc<ConsoleState>) -> EdgeLayer<ConsoleSurface> {
    let limits = Limits {
        in_flight: MAX_IN_FLIGHT,
        production: state.settings.production,
    };
    EdgeLayer::new(ConsoleSurface(Arc::clone(state)), limits)
}

impl Surface for ConsoleSurface {
    type Read = Preferences;

    const POLICY: Policy = Policy::Pages;

    fn read(&self, request: &Request<Body>) -> Preferences {
        Preferences::of_console(request.uri(), request.headers())
    }

    fn time_limit(&self, request: &Request<Body>) -> Duration {
        let path = request.uri().path();
        if path == IMPORT || path.ends_with(PICTURE) || path == LOGO_UPLOAD {
            UPLOAD_PATIENCE
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

    fn finish(&self, visit: Preferences, id: &RequestId, mut response: Response) -> Response {
        if let Some(reason) = response.extensions_mut().remove::<PageError>() {
            response = self.error(&visit, &reason, id);
        }
        if visit.language_in_address
            && let Some(cookie) = preference(LANGUAGE_COOKIE, visit.language.code(), self.0.settings.production)
        {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

impl ConsoleSurface {
    fn error(&self, visit: &Preferences, error: &PageError, id: &RequestId) -> Response {
        let (title, advice) = error.texts(visit.language);
        let template = ErrorPage {
            layout: Layout::bare(&self.0, visit, title.to_owned()),
            code: error.status().as_u16(),
            advice,
            again: error.may_pass(),
            request_id: id.as_str(),
        };
        let mut response = match template.render() {
            // The error replaces an answer that was finished, its addresses included.
            Ok(html) => page::secret(error.status(), self.0.settings.path.in_page(html)),
            Err(_) => error.status().into_response(),
        };
        if let Some(wait) = error.retry_after() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}
