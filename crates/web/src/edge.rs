//! What every page gets, in one place around all of them: an end to waiting, a page instead of a crash, error pages in
//! the reader's language, and the headers that keep browsers safe.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;

use crate::WebState;
use crate::error::{self, PageError};
use crate::visit::{LANGUAGE_COOKIE, Preferences, preference};

/// The longest that making a page may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Scripts, styles and pictures come from here and nowhere else, and none of them stands inside a page.
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

/// Browsers that came over HTTPS once stay with it.
const STAY_SECURE: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Whether an answer may be compressed. A page that holds a key or a token, which says that it must not be stored, may
/// not: what a reader typed stands in it as well, and its length would tell how alike the two are. A file of one's own data
/// repeats nothing that was typed.
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
    // A flood waits outside and not in our memory. The place is held until the answer begins.
    let mut response = if let Ok(_place) = state.places.try_acquire() {
        let run = AssertUnwindSafe(next.run(request)).catch_unwind();
        match tokio::time::timeout(PATIENCE, run).await {
            Ok(Ok(response)) => response,
            // The panic itself has been logged by its hook.
            Ok(Err(_panic)) => PageError::Internal.into_response(),
            Err(_late) => PageError::Offline.into_response(),
        }
    } else {
        PageError::Offline.into_response()
    };
    if let Some(reason) = response.extensions_mut().remove::<PageError>() {
        response = error::tell(&state, &visit, &reason);
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
