//! The layer around a router of made-up routes.

use std::sync::{Mutex, Once};

use axum::Router;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::{DURATION_BUCKETS, DURATION_SECONDS};

/// Says in plain text what happened.
struct Plain(Duration);

impl Surface for Plain {
    type Read = ();
    const POLICY: Policy = Policy::Pages;

    fn read(&self, _request: &Request<Body>) {}

    fn answer_early(&self, request: &Request<Body>) -> Option<Response> {
        (request.uri().path() == "/refused").then(|| StatusCode::FORBIDDEN.into_response())
    }

    fn time_limit(&self, _request: &Request<Body>) -> Duration {
        self.0
    }

    fn failed(&self, failure: Failure) -> Response {
        let status = match failure {
            Failure::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Failure::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Failure::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, format!("{failure:?}")).into_response()
    }

    fn finish(&self, (): (), id: &RequestId, response: Response) -> Response {
        if response.status().is_server_error() {
            tracing::info!("{} has no answer", id.as_str());
        }
        response
    }
}

/// Long enough for every handler here but the one that never answers.
const LONG: Duration = Duration::from_mins(1);

async fn panics() -> &'static str {
    panic!("secret")
}

fn router(limits: Limits, patience: Duration) -> Router {
    // A place in the code that is first reached while no subscriber exists would be switched off for those of other tests.
    static EVERYTHING: Once = Once::new();
    EVERYTHING
        .call_once(|| tracing::subscriber::set_global_default(tracing_subscriber::registry()).expect("the first"));
    Router::new()
        .route("/quick", get(|| async { "quick" }))
        .route(
            "/item/{id}",
            get(|| async { "one" }).delete(|| async { StatusCode::NO_CONTENT }),
        )
        .route("/panics", get(panics))
        .route("/never", get(|| async { std::future::pending::<()>().await }))
        .route(
            "/headers",
            post(|headers: HeaderMap| async move { format!("{headers:?}") }),
        )
        .route("/healthz", get(|| async { "ok" }))
        .route(
            "/logs",
            get(|| async {
                tracing::warn!("from the handler");
                "logged"
            }),
        )
        .layer(EdgeLayer::new(Plain(patience), limits))
}

const OPEN: Limits = Limits {
    in_flight: 10,
    production: true,
};

async fn ask(router: &Router, method: &str, path: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("x-request-id", "abc-1")
        .header("authorization", "Bearer zzz-token")
        .header("cookie", "sessionId=zzz-cookie")
        .body(Body::empty())
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn every_answer_has_the_id_and_the_security_headers() {
    for (limits, patience) in [(OPEN, LONG), (Limits { in_flight: 0, ..OPEN }, LONG)] {
        let router = router(limits, patience);
        for (method, path) in [
            ("GET", "/quick"),
            ("HEAD", "/quick"),
            ("POST", "/quick"),
            ("GET", "/no/such/route"),
            ("GET", "/panics"),
            ("GET", "/refused"),
        ] {
            let (status, headers, _) = ask(&router, method, path).await;
            let told = format!("{method} {path} {status}");
            assert_eq!(headers["x-request-id"], "abc-1", "{told}");
            assert_eq!(headers["x-content-type-options"], "nosniff", "{told}");
            assert_eq!(headers["strict-transport-security"], "max-age=31536000", "{told}");
            assert!(headers.contains_key("content-security-policy"), "{told}");
        }
    }
}

#[tokio::test]
async fn panics_and_slow_handlers_are_answered_by_the_surface() {
    let (status, _, body) = ask(&router(OPEN, LONG), "GET", "/panics").await;
    assert_eq!((status.as_u16(), &*body), (500, "Panicked"));
    let (status, _, body) = ask(&router(OPEN, Duration::from_millis(1)), "GET", "/never").await;
    assert_eq!((status.as_u16(), &*body), (504, "TimedOut"));
}

#[tokio::test]
async fn requests_above_the_limit_are_refused_and_each_answer_frees_its_place() {
    let one = router(Limits { in_flight: 1, ..OPEN }, LONG);
    for path in ["/quick", "/panics", "/no/such/route", "/quick"] {
        let (status, ..) = ask(&one, "GET", path).await;
        assert_ne!(status, 503, "{path}");
    }
    let request = || Request::get("/never").body(Body::empty()).unwrap();
    let mut waiting = pin!(one.clone().oneshot(request()));
    assert!(poll!(waiting.as_mut()).is_pending());
    let (status, _, body) = ask(&one, "GET", "/quick").await;
    assert_eq!((status.as_u16(), &*body), (503, "Busy"));
}

/// A hundred at once: as many answers as requests, and no place is lost.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_leave_no_place_taken() {
    let router = router(Limits { in_flight: 3, ..OPEN }, LONG);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let router = router.clone();
        asked.spawn(async move { ask(&router, "GET", "/quick").await.0.as_u16() });
    }
    let all = asked.join_all().await;
    assert!(all.iter().all(|status| matches!(status, 200 | 503)), "{all:?}");
    for _ in 0..3 {
        assert_eq!(ask(&router, "GET", "/quick").await.0, 200);
    }
}

#[tokio::test]
async fn printed_headers_hold_no_credentials() {
    let (_, _, printed) = ask(&router(OPEN, LONG), "POST", "/headers").await;
    assert!(printed.contains("Sensitive") && printed.contains("abc-1"), "{printed}");
    assert!(
        !printed.contains("zzz-token") && !printed.contains("zzz-cookie"),
        "{printed}"
    );
}

#[test]
fn requests_are_counted_by_route_method_and_status() {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(DURATION_SECONDS.to_owned()), DURATION_BUCKETS)
        .unwrap()
        .build_recorder();
    let told = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let router = router(OPEN, LONG);
            let nested = Router::new().nest("/api", Router::new().route("/api/x", get(|| async {})));
            let nested = nested.layer(EdgeLayer::new(Plain(LONG), OPEN));
            ask(&nested, "GET", "/api/api/x").await;
            for (method, path) in [
                ("GET", "/item/1"),
                ("GET", "/item/2"),
                ("HEAD", "/item/2"),
                ("DELETE", "/item/3"),
                ("POST", "/item/4"),
                ("BREW", "/item/4"),
                ("GET", "/panics"),
                ("GET", "/private/name@example.org"),
            ] {
                ask(&router, method, path).await;
            }
            // A client that hangs up.
            assert!(ask(&router, "GET", "/never").now_or_never().is_none());
        });
    });
    let text = told.render();
    for line in [
        r#"http_requests_total{route="/item/{id}",method="GET",status="200"} 2"#,
        r#"http_requests_total{route="/item/{id}",method="HEAD",status="200"} 1"#,
        r#"http_requests_total{route="/item/{id}",method="DELETE",status="204"} 1"#,
        r#"http_requests_total{route="/item/{id}",method="POST",status="405"} 1"#,
        r#"http_requests_total{route="/item/{id}",method="OTHER",status="405"} 1"#,
        r#"http_requests_total{route="/panics",method="GET",status="500"} 1"#,
        r#"http_requests_total{route="unmatched",method="GET",status="404"} 1"#,
        r#"http_requests_total{route="/never",method="GET",status="499"} 1"#,
        r#"http_requests_total{route="/api/x",method="GET",status="200"} 1"#,
        r#"http_request_duration_seconds_count{route="/item/{id}",method="GET"} 2"#,
        r#"http_request_duration_seconds_bucket{route="/item/{id}",method="GET",le="0.001"}"#,
        r#"http_request_duration_seconds_bucket{route="/item/{id}",method="GET",le="+Inf"} 2"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("example.org"), "{text}");
}

/// What is logged, as JSON lines.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_line_of_a_request_has_its_id_and_one_says_how_it_was_answered() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(log.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let router = router(Limits { in_flight: 1, ..OPEN }, LONG);
    for path in [
        "/logs",
        "/panics",
        "/item/7?token=zzz",
        "/healthz",
        "/nobody@example.org",
    ] {
        ask(&router, "GET", path).await;
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for line in text.lines() {
        assert!(line.contains("abc-1"), "{line}");
        assert!(
            !line.contains("zzz") && !line.contains("/item/7") && !line.contains("example.org"),
            "{line}"
        );
    }
    let lines = |words: &str| text.lines().filter(|line| line.contains(words)).count();
    assert_eq!(lines("from the handler"), 1, "{text}");
    assert_eq!(lines("has no answer"), 1, "{text}");
    assert_eq!(lines(r#""target":"access""#), 4, "all but the liveness check\n{text}");
    let item = text.lines().find(|line| line.contains("/item/{id}")).unwrap();
    for field in [
        r#""method":"GET""#,
        r#""route":"/item/{id}""#,
        r#""status":200"#,
        r#""bytes":3"#,
        r#""request_id":"abc-1""#,
        r#""ms":"#,
    ] {
        assert!(item.contains(field), "{field} is not in {item}");
    }
}

#[tokio::test]
async fn a_trace_that_a_client_claims_is_not_believed() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(log.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let router = router(OPEN, LONG);
    let claimed = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = Request::get("/logs").header("traceparent", claimed);
    let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("from the handler") && !text.contains("0af765"), "{text}");
}
