//! The middleware around all pages: a time limit, a page in place of a panic, error pages in the reader's language, and
//! the security headers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;

use crate::WebState;
use crate::error::PageError;
use crate::error_page;
use crate::pictures::upload;
use crate::visit::{LANGUAGE_COOKIE, Preferences, preference};

/// Maximum time to make a page.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for an upload: 1 MiB at 0.2 Mbit/s takes 42 s.
const UPLOAD_PATIENCE: Duration = Duration::from_mins(1);

/// Scripts, styles and pictures come from this site only, and none is inline.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

const SAFE: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_SECURITY_POLICY),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("strict-origin-when-cross-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), microphone=(), geolocation=(), browsing-topics=()"),
    ),
];

/// A browser that came over HTTPS once stays on HTTPS.
const STAY_SECURE: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Whether a response may be compressed. A page with a key or a token (`no-store`) may not: it also contains what the
/// reader typed, and its compressed length would reveal how similar the two are (BREACH). An export of the reader's
/// data repeats no input, so it may.
pub(crate) fn holds_no_secret(_status: StatusCode, _version: Version, headers: &HeaderMap, _more: &Extensions) -> bool {
    let says = |name, what: &[u8]| {
        let value = headers.get(name);
        value.is_some_and(|value: &HeaderValue| value.as_bytes().starts_with(what))
    };
    !(says(header::CACHE_CONTROL, b"no-store") && says(header::CONTENT_TYPE, b"text/html"))
}

/// The middleware around all pages.
pub(crate) async fn edge(State(state): State<Arc<WebState>>, request: Request, next: Next) -> Response {
    let visit = Preferences::of(request.uri(), request.headers());
    // Excess requests are refused here, so that they take no memory. The permit is held until the response begins.
    let mut response = if let Ok(_place) = state.places.try_acquire() {
        let patience = if request.uri().path() == upload::PATH {
            UPLOAD_PATIENCE
        } else {
            PATIENCE
        };
        let run = AssertUnwindSafe(next.run(request)).catch_unwind();
        match tokio::time::timeout(patience, run).await {
            Ok(Ok(response)) => response,
            // The panic hook has already logged the panic.
            Ok(Err(_panic)) => PageError::Internal.into_response(),
            Err(_late) => PageError::Offline.into_response(),
        }
    } else {
        PageError::Offline.into_response()
    };
    if let Some(reason) = response.extensions_mut().remove::<PageError>() {
        response = error_page::respond(&state, &visit, &reason);
    }
    let headers = response.headers_mut();
    headers.reserve(12);
    for (name, value) in SAFE {
        headers.entry(name).or_insert(value);
    }
    if state.settings.production {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, STAY_SECURE);
    }
    if visit.language_in_address
        && let Some(cookie) = preference(LANGUAGE_COOKIE, visit.language.code(), state.settings.production)
    {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}
