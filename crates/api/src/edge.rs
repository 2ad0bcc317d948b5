//! The layer around every handler.
//!
//! On the way in it assigns a request ID, enforces limits on body size, time and concurrency, applies CORS, and checks
//! the percent-encoding of the path. On the way out it renders the error envelope, adds the security and CORS headers,
//! records metrics, and logs failed and slow requests.

use std::convert::Infallible;
use std::future::Future;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use futures::{FutureExt as _, poll};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, StatusCode};
use metrics::{Counter, Histogram};
use tower::{Layer, Service};

use crate::Settings;
use crate::cors::Cors;
use crate::error::{ApiError, MAX_BODY};
use crate::params::is_encoded_well;

/// Requests that take longer are logged.
const SLOW: Duration = Duration::from_secs(1);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// State shared by all routes.
#[derive(Debug)]
pub(crate) struct Shared {
    cors: Cors,
    production: bool,
    timeout: Duration,
    max_in_flight: usize,
    in_flight: AtomicUsize,
}

impl Shared {
    pub(crate) fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            cors: Cors::new(settings),
            production: settings.production,
            timeout: settings.request_timeout,
            max_in_flight: settings.max_in_flight,
            in_flight: AtomicUsize::new(0),
        })
    }

    /// Returns the layer for the route `path`, which names the route in metrics and logs.
    pub(crate) fn layer(self: &Arc<Self>, path: &'static str) -> EdgeLayer {
        // A rate does not see the increment with which a counter appears, and the alert looks at this one.
        metrics::counter!("http_requests_total", "route" => path, "status" => "500").increment(0);
        EdgeLayer(Arc::new(Route {
            path,
            shared: Arc::clone(self),
            answered: [const { OnceLock::new() }; COUNTED.len()],
            seconds: OnceLock::new(),
        }))
    }
}

/// Statuses whose counters are kept at hand.
const COUNTED: [StatusCode; 10] = [
    StatusCode::OK,
    StatusCode::CREATED,
    StatusCode::UNAUTHORIZED,
    StatusCode::NOT_MODIFIED,
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

#[derive(Debug)]
struct Route {
    path: &'static str,
    shared: Arc<Shared>,
    answered: [OnceLock<Counter>; COUNTED.len()],
    seconds: OnceLock<Histogram>,
}

impl Route {
    fn count(&self, status: StatusCode, took: Duration) {
        let counter =
            || metrics::counter!("http_requests_total", "route" => self.path, "status" => status.as_u16().to_string());
        let known = COUNTED
            .iter()
            .zip(&self.answered)
            .find(|(counted, _)| **counted == status);
        match known {
            Some((_, handle)) => handle.get_or_init(counter).increment(1),
            None => counter().increment(1),
        }
        self.seconds
            .get_or_init(|| metrics::histogram!("http_request_duration_seconds", "route" => self.path))
            .record(took.as_secs_f64());
    }
}

/// Wraps the service of a route in [`Edge`].
#[derive(Debug, Clone)]
pub(crate) struct EdgeLayer(Arc<Route>);

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, inner: S) -> Edge<S> {
        Edge {
            inner,
            route: Arc::clone(&self.0),
        }
    }
}

/// The service of a route inside this layer.
#[derive(Debug, Clone)]
pub(crate) struct Edge<S> {
    inner: S,
    route: Arc<Route>,
}

impl<S> Service<Request<Body>> for Edge<S>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let started = Instant::now();
        let route = Arc::clone(&self.route);
        let id = request_id(request.headers());
        let origin = request.headers().get(header::ORIGIN).cloned();
        let method = request.method().clone();
        // Called here and not in the future below, which would require a clone of the service.
        let admitted = match admit(&route, &request) {
            Ok(Admitted::Asked(response)) => Err(response),
            Ok(Admitted::Through(place)) => Ok((place, self.inner.call(request))),
            Err(error) => Err(refuse(error)),
        };
        Box::pin(async move {
            let shared = &*route.shared;
            let mut response = match admitted {
                Ok((_place, handler)) => {
                    // The handler is not used again after a panic, so no half-changed state is visible.
                    match in_time(AssertUnwindSafe(handler).catch_unwind(), shared.timeout).await {
                        Some(Ok(Ok(response))) => response,
                        Some(Ok(Err(never))) => match never {},
                        Some(Err(_panic)) => refuse(ApiError::Bug(None)),
                        None => refuse(ApiError::TimedOut),
                    }
                }
                Err(response) => response,
            };
            if let Some(error) = response.extensions_mut().remove::<ApiError>() {
                let allow = response.headers_mut().remove(header::ALLOW);
                response = error.render(id.to_str().ok());
                if let Some(allow) = allow {
                    response.headers_mut().insert(header::ALLOW, allow);
                }
                log_failure(&route, &id, &error);
            }
            let status = response.status();
            let took = started.elapsed();
            route.count(status, took);
            if took >= SLOW {
                tracing::info!(route = route.path, %method, status = status.as_u16(), request_id = ?id, ?took, "slow request");
            } else {
                tracing::debug!(route = route.path, %method, status = status.as_u16(), request_id = ?id, ?took, "request");
            }
            finish(shared, response.headers_mut(), origin, id);
            Ok(response)
        })
    }
}

/// Awaits a response for at most `limit`; `None` on timeout. Most responses are ready at once and need no timer.
async fn in_time<F: Future>(answer: F, limit: Duration) -> Option<F::Output> {
    let mut answer = pin!(answer);
    if let Poll::Ready(answer) = poll!(answer.as_mut()) {
        return Some(answer);
    }
    tokio::time::timeout(limit, answer).await.ok()
}

/// Outcome of the admission checks.
enum Admitted {
    /// A CORS preflight, answered here.
    Asked(Response),
    /// Passed on to the handler; dropping the [`Place`] frees the slot.
    Through(Place),
}

/// A slot of an in-flight request.
struct Place(Arc<Route>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn admit(route: &Arc<Route>, request: &Request<Body>) -> Result<Admitted, ApiError> {
    let shared = &*route.shared;
    let headers = request.headers();
    if Cors::is_preflight(request.method(), headers) {
        return headers
            .get(header::ORIGIN)
            .and_then(|origin| shared.cors.preflight(origin))
            .map(Admitted::Asked)
            .ok_or(ApiError::OriginRefused);
    }
    if !shared.cors.may_change(request.method(), headers) {
        return Err(ApiError::CrossSite);
    }
    let place = Place(Arc::clone(route));
    if shared.in_flight.fetch_add(1, Ordering::Relaxed) >= shared.max_in_flight {
        drop(place);
        return Err(ApiError::Busy);
    }
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY) {
        return Err(ApiError::TooLarge);
    }
    if !is_encoded_well(request.uri().path()) {
        return Err(ApiError::invalid("path", "is not encoded as UTF-8 in percent notation"));
    }
    Ok(Admitted::Through(place))
}

/// A response that only carries its error; the error is rendered on the way out.
fn refuse(error: ApiError) -> Response {
    axum::response::IntoResponse::into_response(error)
}

fn log_failure(route: &Route, id: &HeaderValue, error: &ApiError) {
    match error {
        ApiError::Bug(source) => {
            let cause = source
                .as_ref()
                .map_or_else(|| "it panicked".to_owned(), |source| chain(source));
            tracing::error!(route = route.path, request_id = ?id, "request failed: {cause}");
        }
        ApiError::Unavailable | ApiError::Locked | ApiError::Busy | ApiError::TimedOut => {
            tracing::info!(route = route.path, request_id = ?id, "request not answered: {error}");
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

/// Adds the headers of every response.
fn finish(shared: &Shared, headers: &mut HeaderMap, origin: Option<HeaderValue>, id: HeaderValue) {
    headers.reserve(8);
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    // A shared cache must not serve one origin's CORS headers to another.
    match headers.get(header::VARY) {
        None => drop(headers.insert(header::VARY, HeaderValue::from_static("origin"))),
        // One header line instead of two: a second value under the same name costs an allocation.
        Some(vary) if vary == "accept-encoding" => {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding, origin"));
        }
        Some(_) => drop(headers.append(header::VARY, HeaderValue::from_static("origin"))),
    }
    if shared.production {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    if let Some(origin) = origin {
        shared.cors.permit(origin, headers);
    }
}

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Returns the caller's request ID if it is valid, else a new one: a random process ID and a counter.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let sane = |id: &&HeaderValue| {
        (1..=64).contains(&id.len())
            && id
                .as_bytes()
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    if let Some(id) = headers.get(REQUEST_ID).filter(sane) {
        return id.clone();
    }
    let process = PROCESS.get_or_init(rand::random);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut text = [0; 33];
    let mut rest = text.as_mut_slice();
    // 16 digits, a dash and at most 16 digits fit.
    let written = write!(rest, "{process:016x}-{count:x}").map(|()| rest.len());
    let length = text.len() - written.unwrap_or(text.len());
    text.get(..length)
        .and_then(|id| HeaderValue::from_bytes(id).ok())
        .filter(|id| !id.is_empty())
        .unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tower::ServiceExt as _;

    async fn answer(settings: Settings, router: Router) -> (StatusCode, serde_json::Value, HeaderMap) {
        let router = router.layer(Shared::new(&settings).layer("/x"));
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
        let (status, body, _) = answer(Settings::default(), Router::new().route("/x", get(panics))).await;
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
        let (status, body, _) = answer(settings, router).await;
        assert_eq!(status, 504);
        assert_eq!(body, failure("The request took too long. Try again.", "timeout"));
    }

    #[tokio::test]
    async fn requests_above_the_limit_receive_503() {
        let settings = Settings {
            max_in_flight: 0,
            ..Settings::default()
        };
        let (status, body, headers) = answer(settings, Router::new().route("/x", get(|| async {}))).await;
        assert_eq!(status, 503);
        assert_eq!(body["error"]["code"], "try_again");
        assert_eq!(headers["retry-after"], "1");
    }

    #[tokio::test]
    async fn every_request_frees_its_slot() {
        let settings = Settings {
            max_in_flight: 1,
            ..Settings::default()
        };
        let router = Router::new()
            .route("/x", get(|| async { "ok" }))
            .layer(Shared::new(&settings).layer("/x"));
        for _ in 0..3 {
            let request = Request::get("/x").body(Body::empty()).unwrap();
            assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 200);
        }
    }
}
