//! Answers requests before the store is open: the port answers from the first second, so that a proxy or a person sees
//! a store that is starting and does not suspect a wrong address.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode, Uri};
use lockstep_edge::{EdgeLayer, Failure, Limits, Policy, RequestId, Surface};
use tower::ServiceExt as _;

/// The body of the API's answer, in its envelope.
const JSON: &str =
    r#"{"success":false,"error":{"code":"starting","message":"The store is starting, please try again in a moment"}}"#;
/// The body of every other answer. No template and no language is available yet.
const TEXT: &str = "The store is starting, please try again in a moment.\n\
                    Der Shop startet gerade, bitte gleich noch einmal versuchen.\n";

/// Routes to the store once it is open.
#[derive(Debug, Clone, Default)]
pub(crate) struct StartupGate(Arc<OnceLock<Router>>);

impl StartupGate {
    /// From now on `store` answers.
    pub(crate) fn open(&self, store: Router) {
        // It is called once.
        drop(self.0.set(store));
    }

    /// The router to listen with.
    pub(crate) fn router(&self) -> Router {
        let store = Arc::clone(&self.0);
        let closed = Router::new()
            .route("/healthz", get(|| async { "ok" }))
            .fallback(not_yet)
            .layer(EdgeLayer::new(Closed, LIMITS));
        Router::new().fallback(move |request: Request| {
            // Both have the edge; one around this router would count each request twice.
            let answering = store.get().unwrap_or(&closed).clone();
            async move { answering.oneshot(request).await }
        })
    }
}

/// The edge before the store is open.
struct Closed;

/// Nothing here takes memory or time. The answers are for whoever started the store, not yet for browsers to remember.
const LIMITS: Limits = Limits {
    in_flight: 1024,
    production: false,
};

impl Surface for Closed {
    type Read = ();

    const POLICY: Policy = Policy::Api;

    fn read(&self, _request: &Request) {}

    fn time_limit(&self, _request: &Request) -> Duration {
        Duration::from_secs(1)
    }

    fn failed(&self, _failure: Failure) -> Response {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }

    fn finish(&self, (): (), _id: &RequestId, response: Response) -> Response {
        response
    }
}

async fn not_yet(address: Uri) -> Response {
    let path = address.path();
    let (kind, body) = if path.starts_with("/api/") || matches!(path, "/readyz" | "/health") {
        ("application/json", JSON)
    } else {
        ("text/plain; charset=utf-8", TEXT)
    };
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, Body::from(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(router: &Router, path: &str) -> Response {
        let request = Request::get(path).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn before_the_store_opens_only_healthz_succeeds() {
        let gate = StartupGate::default();
        let router = gate.router();
        assert_eq!(ask(&router, "/healthz").await.status(), 200);
        for path in [
            "/",
            "/readyz",
            "/health",
            "/api/games",
            "/games",
            "/metrics",
            "/no/such/page",
        ] {
            let answer = ask(&router, path).await;
            assert_eq!(answer.status(), 503, "{path}");
            assert_eq!(answer.headers()[RETRY_AFTER], "2", "{path}");
            assert_eq!(answer.headers()[CACHE_CONTROL], "no-store", "{path}");
            assert!(answer.headers().contains_key("x-request-id"), "{path}");
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        }
        gate.open(Router::new().route("/", get(|| async { "open" })));
        assert_eq!(ask(&router, "/").await.status(), 200);
        assert_eq!(
            ask(&router, "/healthz").await.status(),
            404,
            "the store answers for itself"
        );
    }
}
