//! The layer itself.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::MatchedPath;
use axum::response::Response;
use futures::{FutureExt as _, poll};
use http::{HeaderName, Request, StatusCode, header};
use tokio::time::Instant;
use tower::{Layer, Service};
use tower_http::sensitive_headers::SetSensitiveRequestHeaders;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::Policy;
use crate::access::{self, Answered};
use crate::request_id::{self, RequestId};
use crate::series::{self, Seen, Series};

/// The status under which requests without an answer are counted, by nginx's custom.
const HUNG_UP: u16 = 499;
/// The route of requests for which there is none.
const NO_ROUTE: &str = "unmatched";

/// Request headers that prove who somebody is; whatever prints headers prints them as "Sensitive".
static CREDENTIALS: LazyLock<Arc<[HeaderName]>> =
    LazyLock::new(|| [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION].into());

/// Why a request has no answer of its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Too many requests at once.
    Busy,
    /// The handler exceeded [`Surface::time_limit`].
    TimedOut,
    /// The handler panicked; the log has the panic.
    Panicked,
}

/// What the API, the pages and the rest do differently.
pub trait Surface: Send + Sync + 'static {
    /// What is read from a request before its handler takes it, for [`finish`](Self::finish).
    type Read: Send + 'static;

    /// Which security headers the answers get.
    const POLICY: Policy;

    /// Reads what [`finish`](Self::finish) needs.
    fn read(&self, request: &Request<Body>) -> Self::Read;

    /// Answers a request that needs no handler, or may not have one; `None` passes it on.
    fn answer_early(&self, _request: &Request<Body>) -> Option<Response> {
        None
    }

    /// How long the handler may take until its answer begins.
    fn time_limit(&self, request: &Request<Body>) -> Duration;

    /// The answer in place of the handler's.
    fn failed(&self, failure: Failure) -> Response;

    /// Completes an answer: renders an error that it carries, and adds headers of its own.
    fn finish(&self, read: Self::Read, id: &RequestId, response: Response) -> Response;
}

/// What all surfaces have alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of requests whose answer has not begun; further ones get [`Failure::Busy`], so that a flood does
    /// not fill memory.
    pub in_flight: usize,
    /// Whether browsers are told to stay on HTTPS.
    pub production: bool,
}

/// State of all routes of a surface.
struct Shared<F> {
    surface: F,
    limits: Limits,
    in_flight: AtomicUsize,
}

/// Wraps each route of a router in [`Edge`]. To be given to [`axum::Router::layer`], after all routes and fallbacks:
/// the layer then runs after routing and knows the route.
pub struct EdgeLayer<F>(Arc<Shared<F>>);

impl<F: Surface> EdgeLayer<F> {
    /// The layer of one surface; its clones share the limit on concurrency.
    pub fn new(surface: F, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            surface,
            limits,
            in_flight: AtomicUsize::new(0),
        }))
    }
}

impl<F> Clone for EdgeLayer<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> std::fmt::Debug for EdgeLayer<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EdgeLayer")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

impl<S, F> Layer<S> for EdgeLayer<F> {
    type Service = Edge<S, F>;

    fn layer(&self, inner: S) -> Edge<S, F> {
        Edge {
            inner: SetSensitiveRequestHeaders::from_shared(inner, Arc::clone(&CREDENTIALS)),
            shared: Arc::clone(&self.0),
            seen: Seen::default(),
        }
    }
}

/// An endpoint inside this layer.
pub struct Edge<S, F> {
    inner: SetSensitiveRequestHeaders<S>,
    shared: Arc<Shared<F>>,
    seen: Seen,
}

impl<S: Clone, F> Clone for Edge<S, F> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            seen: Arc::clone(&self.seen),
        }
    }
}

impl<S, F> std::fmt::Debug for Edge<S, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").finish_non_exhaustive()
    }
}

impl<S, F> Service<Request<Body>> for Edge<S, F>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
    F: Surface,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let started = Instant::now();
        let shared = Arc::clone(&self.shared);
        let id = RequestId::of(request.headers());
        let series = Series::of(&self.seen, route(&request), series::name(request.method()));
        let span = span(&series, &id);
        let read = shared.surface.read(&request);
        // The handler is called here and not in the future below, which would require a clone of the service.
        let admitted = span.in_scope(|| {
            if let Some(response) = shared.surface.answer_early(&request) {
                return Admitted::Answered(response);
            }
            let Some(place) = Place::take(&shared) else {
                return Admitted::Answered(shared.surface.failed(Failure::Busy));
            };
            let limit = shared.surface.time_limit(&request);
            Admitted::Through(place, limit, self.inner.call(request))
        });
        let answering = answer(Arc::clone(&shared), admitted, read, id.clone()).instrument(span.clone());
        let mut open = Open {
            series,
            started,
            is_answered: false,
        };
        Box::pin(async move {
            let mut response = answering.await;
            let (status, took) = (response.status(), started.elapsed());
            open.is_answered = true;
            let series = &open.series;
            series.count(status, took);
            // Outside the span, whose fields the line has itself.
            access::log(&Answered {
                series,
                id: &id,
                status,
                took,
                bytes: response.body().size_hint().exact(),
            });
            if lockstep_telemetry::is_exporting() {
                span.record("http.response.status_code", status.as_u16());
                if status.is_server_error() {
                    span.record("otel.status_code", "ERROR");
                }
            }
            let headers = response.headers_mut();
            F::POLICY.add(headers, shared.limits.production);
            headers.insert(request_id::HEADER, id.into_header());
            Ok(response)
        })
    }
}

/// A request whose client may hang up before its answer begins.
struct Open {
    series: Arc<Series>,
    started: Instant,
    is_answered: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.is_answered
            && let Ok(hung_up) = StatusCode::from_u16(HUNG_UP)
        {
            self.series.count(hung_up, self.started.elapsed());
        }
    }
}

/// A request at the door.
enum Admitted<F, H> {
    /// Passed on to its handler, which may take so long.
    Through(Place<F>, Duration, H),
    /// Answered without it.
    Answered(Response),
}

/// The handler's answer, or the one in its place.
async fn answer<F: Surface>(
    shared: Arc<Shared<F>>,
    admitted: Admitted<F, impl Future<Output = Result<Response, Infallible>>>,
    read: F::Read,
    id: RequestId,
) -> Response {
    let response = match admitted {
        Admitted::Through(_place, limit, handler) => {
            // The handler is not used again after a panic, so no half-changed state is visible.
            match in_time(AssertUnwindSafe(handler).catch_unwind(), limit).await {
                Some(Ok(Ok(response))) => response,
                Some(Ok(Err(never))) => match never {},
                Some(Err(_panic)) => shared.surface.failed(Failure::Panicked),
                None => shared.surface.failed(Failure::TimedOut),
            }
        }
        Admitted::Answered(response) => response,
    };
    shared.surface.finish(read, &id, response)
}

/// The template of the request's route, which names it in metrics, logs and traces.
fn route(request: &Request<Body>) -> &str {
    let Some(matched) = request.extensions().get::<MatchedPath>() else {
        return NO_ROUTE;
    };
    let path = matched.as_str();
    // The doubled prefix that some front-ends send is the same route.
    path.strip_prefix("/api")
        .filter(|rest| rest.starts_with("/api"))
        .unwrap_or(path)
}

/// The span of a request. Its fields name no person; the names with a dot are OpenTelemetry's, and set only for it.
///
/// It begins a trace: a `traceparent` of the client is not read, because anyone could decide with it what is sampled, and
/// join the orders of others in one trace.
///
/// It is at level ERROR so that no filter of the log removes it: the lines that remain need its id most.
fn span(series: &Series, id: &RequestId) -> Span {
    if series.route() == access::UNLOGGED {
        return Span::none();
    }
    let span = tracing::error_span!(
        "request",
        request_id = id.as_str(),
        method = series.method(),
        route = series.route(),
        trace_id = Empty,
        otel.name = Empty,
        otel.kind = Empty,
        otel.status_code = Empty,
        http.request.method = Empty,
        http.route = Empty,
        http.response.status_code = Empty,
    );
    if lockstep_telemetry::is_exporting() {
        span.record("otel.name", format_args!("{} {}", series.method(), series.route()));
        span.record("otel.kind", "server");
        span.record("http.request.method", series.method());
        span.record("http.route", series.route());
    }
    if let Some(context) = lockstep_telemetry::of_span(&span) {
        span.record("trace_id", format_args!("{:032x}", context.trace()));
    }
    span
}

/// Awaits a response for at most `limit`; `None` on timeout. Most responses are ready at once and need no timer.
async fn in_time<A: Future>(answer: A, limit: Duration) -> Option<A::Output> {
    let mut answer = pin!(answer);
    if let Poll::Ready(answer) = poll!(answer.as_mut()) {
        return Some(answer);
    }
    tokio::time::timeout(limit, answer).await.ok()
}

/// A request whose answer has not begun.
struct Place<F>(Arc<Shared<F>>);

impl<F> Place<F> {
    /// `None` if all are taken.
    fn take(shared: &Arc<Shared<F>>) -> Option<Self> {
        let place = Self(Arc::clone(shared));
        (shared.in_flight.fetch_add(1, Ordering::Relaxed) < shared.limits.in_flight).then_some(place)
    }
}

impl<F> Drop for Place<F> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
