//! One order is one trace, from the click to the key, over two processes and a collector that receives OTLP.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use lockstep_testkit::TestDb;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::{Value, json};

use crate::crash::{PRODUCT, SECRET, supplier};
use crate::program::{DEADLINE, Running, client, lockstep, with_account};

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "Correct-Horse-1";
/// The trace that the client claims, which is not believed.
const CLAIMED: &str = "0af7651916cd43dd8448eb211c80319c";

/// A span as the collector received it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Received {
    service: String,
    name: String,
    trace: String,
    span: String,
    parent: String,
    attributes: String,
}

/// A collector of traces on the loopback address.
#[derive(Debug, Clone)]
struct Collector {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            received: Arc::default(),
        };
        let received = Arc::clone(&collector.received);
        let take = move |body: Bytes| async move {
            let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
            received.lock().unwrap().extend(spans(&request));
            StatusCode::OK
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", post(take))).await });
        collector
    }

    fn all(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn of_trace(&self, trace: &str) -> Vec<Received> {
        self.all().into_iter().filter(|span| span.trace == trace).collect()
    }
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<Received> {
    let mut spans = Vec::new();
    for resource in &request.resource_spans {
        let attributes = resource.resource.iter().flat_map(|resource| &resource.attributes);
        let service = attributes
            .filter(|attribute| attribute.key == "service.name")
            .map(|attribute| format!("{:?}", attribute.value))
            .next()
            .unwrap_or_default();
        let of_us = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
        spans.extend(of_us.map(|span| Received {
            service: service.clone(),
            name: span.name.clone(),
            trace: hex::encode(&span.trace_id),
            span: hex::encode(&span.span_id),
            parent: hex::encode(&span.parent_span_id),
            attributes: format!("{:?} {:?}", span.attributes, span.events),
        }));
    }
    spans
}

/// Spans of an order, and the process that makes each.
const EXPECTED: &[(&str, &str)] = &[
    ("the-web", "POST /api/orders"),
    ("the-web", "shop.place_order"),
    ("the-web", "db.orders.place"),
    ("the-worker", "fulfilment.unit"),
    ("the-worker", "g2a.create_order"),
    ("the-worker", "g2a.pay"),
    ("the-worker", "g2a.key"),
    ("the-worker", "db.fulfil.record_key"),
    ("the-worker", "mail.send"),
];

#[tokio::test]
async fn one_order_is_one_trace_from_click_to_key() {
    let (db, g2a, collector) = tokio::join!(TestDb::new(), supplier(), Collector::start());
    let game = db.game("Portal", "portal", "10.20").await;
    db.at_g2a(game, PRODUCT).await;
    let folder = tempfile::tempdir().unwrap();
    let command = |what: &str| {
        let mut command = lockstep(&[what]);
        with_account(&mut command, &g2a)
            .env("DATABASE_URL", db.url())
            .env("LOCKSTEP_DATA_DIR", folder.path())
            .env("LOCKSTEP_KEY_SECRET", SECRET)
            .env("LOCKSTEP_PACE", "test")
            .env("JWT_SECRET", "a".repeat(32))
            .env("JWT_REFRESH_SECRET", "b".repeat(32))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
            .env("OTEL_SERVICE_NAME", format!("the-{what}"))
            .env("OTEL_BSP_SCHEDULE_DELAY", "50");
        command
    };
    let web = Running::start(&mut command("web")).await;
    let worker = command("worker")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();

    let token = register(&web).await;
    db.execute(
        "with paid_in as (update users set balance = balance + 90 returning id)
         insert into transactions (user_id, type, amount, status) select id, 'TOP_UP', 90, 'COMPLETED' from paid_in",
    )
    .await;
    let placed = client()
        .post(format!("http://{}/api/orders", web.address))
        .bearer_auth(&token)
        .header("traceparent", format!("00-{CLAIMED}-b7ad6b7169203331-01"))
        .json(&json!({"items": [{"gameId": game, "quantity": 1}]}))
        .timeout(DEADLINE)
        .send()
        .await
        .unwrap();
    assert!(placed.status().is_success(), "{}", placed.status());
    let id = placed.headers()["x-request-id"].to_str().unwrap().to_owned();

    let began = Instant::now();
    let trace = loop {
        let all = collector.all();
        let request = all.iter().find(|span| span.attributes.contains(&id));
        let trace = request.map(|span| span.trace.clone()).unwrap_or_default();
        let found = collector.of_trace(&trace);
        let has = |(service, name): &(&str, &str)| {
            found
                .iter()
                .any(|span| span.service.contains(service) && span.name == *name)
        };
        let missing: Vec<_> = EXPECTED.iter().filter(|expected| !has(expected)).collect();
        // A tree, whose root is the request. A parent ends after its children, and is exported later.
        let known: BTreeSet<&str> = found.iter().map(|span| &*span.span).collect();
        let is_root = |span: &Received| span.parent.is_empty() && span.name == "POST /api/orders";
        let mut orphans = found.iter();
        let orphan = orphans.find(|span| !is_root(span) && !known.contains(&*span.parent));
        if missing.is_empty() && orphan.is_none() {
            break trace;
        }
        let names: BTreeSet<_> = found.iter().map(|span| (&span.service, &span.name)).collect();
        let others: BTreeSet<_> = collector.all().into_iter().map(|span| span.name).collect();
        assert!(
            began.elapsed() < DEADLINE,
            "missing {missing:?}, without its parent {orphan:?} in {names:#?}; there are {others:#?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_ne!(trace, CLAIMED);

    // The supplier was told of the trace, in every call for the order.
    let control = g2a.control();
    let calls = control.requests(100);
    let of_the_order = calls.iter().filter(|call| call.target.contains("/order"));
    let mut told = 0;
    for call in of_the_order {
        let parent = call.traceparent.as_deref().unwrap_or_default();
        assert!(parent.starts_with(&format!("00-{trace}-")), "{call:?}");
        told += 1;
    }
    assert!(told >= 3, "{calls:#?}");

    // No span names a person, a secret or a key.
    let order: Value = placed.json().await.unwrap();
    let order = order["data"]["id"].as_str().unwrap();
    let shown = client()
        .get(format!("http://{}/api/orders/{order}", web.address))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    let shown: Value = shown.json().await.unwrap();
    let key = shown.pointer("/data/keys/0/key").and_then(Value::as_str);
    let key = key.unwrap_or_else(|| panic!("the key was delivered: {shown}"));
    let is_shown = |span: &Received| span.name == "GET /api/orders/{id}";
    while !collector.all().iter().any(is_shown) {
        assert!(began.elapsed() < DEADLINE, "the last request was exported");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for span in collector.all() {
        for private in [EMAIL, PASSWORD, &*token, SECRET, key] {
            let text = format!("{} {}", span.name, span.attributes);
            assert!(!text.contains(private), "{text}");
        }
    }
    drop(worker);
}

/// Registers the shopper; a busy machine may need several attempts to hash the password in time.
async fn register(web: &Running) -> String {
    let began = Instant::now();
    for way in ["register", "login"].into_iter().cycle() {
        let answer = client()
            .post(format!("http://{}/api/auth/{way}", web.address))
            .json(&json!({"email": EMAIL, "password": PASSWORD}))
            .timeout(DEADLINE)
            .send()
            .await
            .unwrap();
        if answer.status().is_success() {
            let answer: Value = answer.json().await.unwrap();
            return answer["data"]["token"].as_str().unwrap().to_owned();
        }
        assert!(began.elapsed() < DEADLINE, "{way} answers {}", answer.status());
    }
    unreachable!("it is asked again and again")
}

/// A collector that is down costs the shop nothing: it says so once and sells on.
#[tokio::test]
async fn a_collector_that_is_down_is_told_once_and_nothing_waits_for_it() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    export_fails_quietly(address).await;
}

/// Connections are taken into the queue of the listener, and never read.
#[tokio::test]
async fn a_collector_that_never_answers_is_told_once_and_nothing_waits_for_it() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    export_fails_quietly(silent.local_addr().unwrap()).await;
}

async fn export_fails_quietly(address: std::net::SocketAddr) {
    let db = TestDb::new().await;
    let mut command = lockstep(&["web"]);
    command
        .env("DATABASE_URL", db.url())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
        .env("OTEL_BSP_SCHEDULE_DELAY", "20");
    let store = Running::start(&mut command).await;
    let log = store.log();
    let warnings = || {
        let log = log.lock().unwrap();
        log.lines()
            .filter(|line| line.contains("traces cannot be exported"))
            .count()
    };
    let began = Instant::now();
    while warnings() == 0 {
        assert_eq!(store.get("/readyz").await.0, 200);
        assert!(began.elapsed() < DEADLINE, "{}", log.lock().unwrap());
    }
    for _ in 0..50 {
        assert_eq!(store.get("/readyz").await.0, 200);
    }
    assert_eq!(warnings(), 1, "{}", log.lock().unwrap());
    store.signal("TERM").await;
    assert_eq!(store.ended().await.code(), Some(0));
}
