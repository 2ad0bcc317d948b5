//! What the API does differently at the edge: CORS and cross-site requests, limits on bodies and paths, and errors in
//! the contract's envelope.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request};
use lockstep_admin::MAX_IMPORT_BYTES;
use lockstep_edge::{EdgeLayer, Failure, Limits, Policy, RequestId, Surface};

use crate::Settings;
use crate::admin::{IMPORT, MAX_UPLOAD, is_upload};
use crate::cors::Cors;
use crate::error::{ApiError, MAX_BODY};
use crate::params::is_encoded_well;

/// The API at the edge.
#[derive(Debug, Clone)]
pub(crate) struct ApiSurface {
    cors: Arc<Cors>,
    time_limit: Duration,
}

/// The layer around all routes of the API.
pub(crate) fn layer(settings: &Settings) -> EdgeLayer<ApiSurface> {
    let limits = Limits {
        in_flight: settings.max_in_flight,
        production: settings.production,
    };
    let surface = ApiSurface {
        cors: Arc::new(Cors::new(settings)),
        time_limit: settings.request_timeout,
    };
    EdgeLayer::new(surface, limits)
}

/// How long an import may take, most of it the upload.
const LONGEST_IMPORT: Duration = Duration::from_mins(10);

/// How long the upload of a picture may take.
const LONGEST_UPLOAD: Duration = Duration::from_mins(2);

/// Maximum size of the body of a request in bytes, and how long it may take, if that is longer than usual: of files, which
/// their handlers read as they arrive.
fn limits(request: &Request<Body>) -> (u64, Duration) {
    // Also with the doubled prefix that some front-ends send.
    let path = request.uri().path();
    let path = path
        .strip_prefix("/api")
        .filter(|rest| rest.starts_with("/api/"))
        .unwrap_or(path);
    if request.method() != Method::POST {
        (MAX_BODY, Duration::ZERO)
    } else if path == IMPORT {
        (MAX_IMPORT_BYTES, LONGEST_IMPORT)
    } else if is_upload(path) {
        (MAX_UPLOAD, LONGEST_UPLOAD)
    } else {
        (MAX_BODY, Duration::ZERO)
    }
}

impl ApiSurface {
    fn check(&self, request: &Request<Body>) -> Result<(), ApiError> {
        let headers = request.headers();
        if !self.cors.may_change(request.method(), headers) {
            return Err(ApiError::CrossSite);
        }
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let (most, _) = limits(request);
        if announced.is_some_and(|length| length > most) {
            return Err(ApiError::TooLarge);
        }
        if !is_encoded_well(request.uri().path()) {
            return Err(ApiError::invalid("path", "is not encoded as UTF-8 in percent notation"));
        }
        Ok(())
    }
}

/// What the answer depends on.
pub(crate) struct Asked {
    /// The origin of the page that asks.
    origin: Option<HeaderValue>,
    /// A route of staff's.
    is_staffs: bool,
}

impl Surface for ApiSurface {
    type Read = Asked;

    const POLICY: Policy = Policy::Api;

    fn read(&self, request: &Request<Body>) -> Asked {
        let path = request.uri().path();
        Asked {
            origin: request.headers().get(header::ORIGIN).cloned(),
            // Also with the doubled prefix that some front-ends send.
            is_staffs: ["/api/admin/", "/api/api/admin/"]
                .iter()
                .any(|below| path.starts_with(below)),
        }
    }

    /// Answers a CORS preflight, and refuses what no handler may see.
    fn answer_early(&self, request: &Request<Body>) -> Option<Response> {
        if Cors::is_preflight(request.method(), request.headers()) {
            let allowed = request
                .headers()
                .get(header::ORIGIN)
                .and_then(|origin| self.cors.preflight(origin));
            return Some(allowed.unwrap_or_else(|| ApiError::OriginRefused.into_response()));
        }
        self.check(request).err().map(ApiError::into_response)
    }

    fn time_limit(&self, request: &Request<Body>) -> Duration {
        self.time_limit.max(limits(request).1)
    }

    fn failed(&self, failure: Failure) -> Response {
        match failure {
            Failure::Busy => ApiError::Busy,
            Failure::TimedOut => ApiError::TimedOut,
            Failure::Panicked => ApiError::Bug(None),
        }
        .into_response()
    }

    fn finish(&self, asked: Asked, id: &RequestId, mut response: Response) -> Response {
        if let Some(error) = response.extensions_mut().remove::<ApiError>() {
            let allow = response.headers_mut().remove(header::ALLOW);
            response = error.render(Some(id.as_str()), asked.is_staffs);
            if let Some(allow) = allow {
                response.headers_mut().insert(header::ALLOW, allow);
            }
            log_failure(&error);
        }
        let headers = response.headers_mut();
        vary_by_origin(headers);
        if let Some(origin) = asked.origin {
            self.cors.permit(origin, headers);
        }
        response
    }
}

/// A shared cache must not serve one origin's CORS headers to another.
fn vary_by_origin(headers: &mut HeaderMap) {
    match headers.get(header::VARY) {
        None => drop(headers.insert(header::VARY, HeaderValue::from_static("origin"))),
        // One header line instead of two: a second value under the same name costs an allocation.
        Some(vary) if vary == "accept-encoding" => {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding, origin"));
        }
        Some(_) => drop(headers.append(header::VARY, HeaderValue::from_static("origin"))),
    }
}

/// Logs, within the span of the request, what its sender cannot see or change.
fn log_failure(error: &ApiError) {
    match error {
        ApiError::Bug(source) => {
            let cause = source
                .as_ref()
                .map_or_else(|| "it panicked".to_owned(), |source| chain(source));
            tracing::error!("request failed: {cause}");
        }
        ApiError::Unavailable | ApiError::Locked | ApiError::Busy | ApiError::TimedOut => {
            tracing::info!("request not answered: {error}");
        }
        _ => {}
    }
}

/// Formats an error with all its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;

    async fn answer(settings: &Settings, router: Router) -> (StatusCode, serde_json::Value, HeaderMap) {
        let router = router.layer(layer(settings));
        let request = Request::get("/x")
            .header("x-request-id", "abc-1")
            .body(Body::empty())
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, serde_json::from_slice(&body).unwrap(), parts.headers)
    }

    fn failure(message: &str, code: &str) -> serde_json::Value {
        serde_json::json!({"success": false, "error": {"message": message, "code": code, "requestId": "abc-1"}})
    }

    #[tokio::test]
    async fn a_panic_returns_the_envelope_without_its_message() {
        async fn panics() -> &'static str {
            panic!("secret")
        }
        let (status, body, _) = answer(&Settings::default(), Router::new().route("/x", get(panics))).await;
        assert_eq!(status, 500);
        assert_eq!(body, failure("Internal Server Error", "internal_error"));
    }

    #[tokio::test]
    async fn a_slow_handler_times_out() {
        let settings = Settings {
            request_timeout: Duration::from_millis(1),
            ..Settings::default()
        };
        let router = Router::new().route("/x", get(|| async { std::future::pending::<()>().await }));
        let (status, body, _) = answer(&settings, router).await;
        assert_eq!(status, 504);
        assert_eq!(body, failure("The request took too long. Try again.", "timeout"));
    }

    #[tokio::test]
    async fn requests_above_the_limit_receive_503() {
        let settings = Settings {
            max_in_flight: 0,
            ..Settings::default()
        };
        let (status, body, headers) = answer(&settings, Router::new().route("/x", get(|| async {}))).await;
        assert_eq!(status, 503);
        assert_eq!(body["error"]["code"], "try_again");
        assert_eq!(headers["retry-after"], "1");
    }
}
