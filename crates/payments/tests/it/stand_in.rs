//! A fake Stripe that implements Checkout Sessions as documented: form posts with a bearer key, idempotency keys whose
//! reuse with other parameters is rejected, sessions by id, a payment page on another site, and signed events.
//! Concurrent requests with one idempotency key conflict (409). It can be configured to fail or to respond slowly; it
//! finishes what it has started even if the client disconnects.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::Utc;
use lockstep_domain::Secret;
use lockstep_payments::signature;
use serde_json::{Value, json};

pub(crate) const API_KEY: &str = "sk_test_stand_in";
pub(crate) const WEBHOOK_SECRET: &str = "whsec_stand_in";

/// How the next responses fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Normal responses.
    None,
    /// This status, with Stripe's error body.
    Status(u16),
    /// Processes the request and responds with an unparsable body.
    Garbled,
    /// Processes the request and never responds.
    Silent,
    /// Processes the request and closes the connection in the middle of the response.
    Broken,
}

struct Inner {
    sessions: BTreeMap<String, Value>,
    by_key: HashMap<String, (String, String)>,
    /// Idempotency keys of requests in progress.
    busy: HashSet<String>,
    fault: Fault,
    takes: Duration,
    events: u32,
    /// Received calls: method and path.
    calls: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct StandIn {
    inner: Arc<Mutex<Inner>>,
    pub(crate) url: String,
    /// Base URL of the payment pages. For a browser it is a different site from a shop at 127.0.0.1.
    pub(crate) pages: String,
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            inner: Arc::new(Mutex::new(Inner {
                sessions: BTreeMap::new(),
                by_key: HashMap::new(),
                busy: HashSet::new(),
                fault: Fault::None,
                takes: Duration::ZERO,
                events: 0,
                calls: Vec::new(),
            })),
            url: format!("http://{}", listener.local_addr().unwrap()),
            pages: format!("http://localhost:{}/c/pay", listener.local_addr().unwrap().port()),
        };
        let router = Router::new()
            .route("/v1/checkout/sessions", post(create))
            .route("/v1/checkout/sessions/{id}", get(retrieve))
            .route("/v1/checkout/sessions/{id}/expire", post(expire))
            .route("/c/pay/{id}", get(show).post(pay))
            .with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        this
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        self.inner.lock().unwrap().fault = fault;
    }

    /// Sets the processing time for a new session.
    pub(crate) fn set_takes(&self, takes: Duration) {
        self.inner.lock().unwrap().takes = takes;
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.inner.lock().unwrap().calls.clone()
    }

    pub(crate) fn sessions(&self) -> Vec<Value> {
        self.inner.lock().unwrap().sessions.values().cloned().collect()
    }

    /// Sets the status of a session as a customer's payment would.
    pub(crate) fn set(&self, id: &str, status: &str, payment_status: &str) {
        let mut inner = self.inner.lock().unwrap();
        let session = inner.sessions.get_mut(id).unwrap();
        session["status"] = json!(status);
        session["payment_status"] = json!(payment_status);
    }

    pub(crate) fn change(&self, id: &str, field: &str, value: Value) {
        self.inner.lock().unwrap().sessions.get_mut(id).unwrap()[field] = value;
    }

    /// An event about the session's current state: its signature header and its body.
    pub(crate) fn event(&self, kind: &str, id: &str) -> (String, Vec<u8>) {
        let mut inner = self.inner.lock().unwrap();
        inner.events += 1;
        let body = json!({
            "id": format!("evt_{}", inner.events), "object": "event", "api_version": "2024-06-20", "type": kind,
            "created": Utc::now().timestamp(), "livemode": false, "pending_webhooks": 1,
            "data": {"object": inner.sessions[id]},
        })
        .to_string();
        self.sign(body.as_bytes())
    }

    /// Signs any bytes as Stripe does.
    #[expect(clippy::unused_self, reason = "it is this Stripe that signs")]
    pub(crate) fn sign(&self, body: &[u8]) -> (String, Vec<u8>) {
        (
            signature::sign(body, &Secret::new(WEBHOOK_SECRET), Utc::now()),
            body.to_vec(),
        )
    }
}

fn refuse(status: u16, kind: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, Json(json!({"error": {"type": kind, "message": message}}))).into_response()
}

async fn spoilt(stand_in: &StandIn, answer: Value) -> Response {
    let fault = stand_in.inner.lock().unwrap().fault;
    match fault {
        Fault::Garbled => "{\"id\": \"cs_".into_response(),
        Fault::Silent => std::future::pending().await,
        Fault::Broken => {
            let parts = [Ok("{\"id\": "), Err(std::io::Error::other("hung up"))];
            let stream = futures::stream::iter(parts);
            Response::new(axum::body::Body::from_stream(stream))
        }
        Fault::None | Fault::Status(_) => Json(answer).into_response(),
    }
}

/// Checks key and faults, before any processing.
fn check(stand_in: &StandIn, call: &str, headers: &HeaderMap) -> Option<Response> {
    let mut inner = stand_in.inner.lock().unwrap();
    inner.calls.push(call.to_owned());
    if headers
        .get("authorization")
        .is_none_or(|value| value != &format!("Bearer {API_KEY}"))
    {
        return Some(refuse(401, "invalid_request_error", "Invalid API Key provided"));
    }
    if !headers.contains_key("stripe-version") {
        return Some(refuse(400, "invalid_request_error", "the stand-in wants a version"));
    }
    match inner.fault {
        Fault::Status(status) => Some(refuse(status, "api_error", "as told")),
        _ => None,
    }
}

async fn create(State(stand_in): State<StandIn>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refused) = check(&stand_in, "POST /v1/checkout/sessions", &headers) {
        return refused;
    }
    if headers
        .get("content-type")
        .is_none_or(|kind| kind != "application/x-www-form-urlencoded")
    {
        return refuse(400, "invalid_request_error", "not a form");
    }
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    for field in [
        "mode",
        "client_reference_id",
        "line_items[0][quantity]",
        "line_items[0][price_data][currency]",
        "line_items[0][price_data][unit_amount]",
        "line_items[0][price_data][product_data][name]",
        "success_url",
    ] {
        if !form.contains_key(field) {
            return refuse(
                400,
                "invalid_request_error",
                &format!("Missing required param: {field}"),
            );
        }
    }
    let lasts = form["expires_at"].parse::<i64>().unwrap() - Utc::now().timestamp();
    if !(30 * 60..=24 * 3600).contains(&lasts) {
        return refuse(
            400,
            "invalid_request_error",
            "expires_at must be between 30 minutes and 24 hours from now",
        );
    }
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let text = String::from_utf8(body.to_vec()).unwrap();
    {
        let mut inner = stand_in.inner.lock().unwrap();
        if !inner.busy.insert(key.clone()) {
            return refuse(
                409,
                "idempotency_error",
                "There is another in-progress request using this key",
            );
        }
    }
    let done = tokio::spawn(async move {
        let takes = stand_in.inner.lock().unwrap().takes;
        tokio::time::sleep(takes).await;
        let made = make(&stand_in, &key, text, &form);
        stand_in.inner.lock().unwrap().busy.remove(&key);
        match made {
            Some(session) => spoilt(&stand_in, session).await,
            None => refuse(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used with the same parameters",
            ),
        }
    });
    done.await.unwrap()
}

/// Creates the session, or finds the one created under this key; `None` when the parameters differ.
fn make(stand_in: &StandIn, key: &str, text: String, form: &HashMap<String, String>) -> Option<Value> {
    let mut inner = stand_in.inner.lock().unwrap();
    let known = inner.by_key.get(key).cloned();
    match known {
        Some((before, _)) if before != text => None,
        Some((_, id)) => Some(inner.sessions[&id].clone()),
        None => {
            let id = format!("cs_test_{}", inner.sessions.len() + 1);
            let session = json!({
                "id": id, "object": "checkout.session", "url": format!("{}/{id}", stand_in.pages),
                "client_reference_id": form["client_reference_id"], "metadata": {"top_up": form["metadata[top_up]"]},
                "mode": form["mode"], "status": "open", "payment_status": "unpaid",
                "amount_total": form["line_items[0][price_data][unit_amount]"].parse::<i64>().unwrap(),
                "currency": form["line_items[0][price_data][currency]"], "success_url": form["success_url"],
                "cancel_url": form.get("cancel_url"),
            });
            inner.sessions.insert(id.clone(), session.clone());
            inner.by_key.insert(key.to_owned(), (text, id));
            Some(session)
        }
    }
}

/// Only an open session can be expired.
async fn expire(State(stand_in): State<StandIn>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refused) = check(&stand_in, "POST /v1/checkout/sessions/expire", &headers) {
        return refused;
    }
    let expired = {
        let mut inner = stand_in.inner.lock().unwrap();
        match inner.sessions.get_mut(&id) {
            Some(session) if session["status"] == "open" => {
                session["status"] = json!("expired");
                Some(session.clone())
            }
            _ => None,
        }
    };
    match expired {
        Some(session) => spoilt(&stand_in, session).await,
        None => refuse(
            400,
            "invalid_request_error",
            "Only Checkout Sessions with a status in [\"open\"] can be expired",
        ),
    }
}

async fn retrieve(State(stand_in): State<StandIn>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refused) = check(&stand_in, "GET /v1/checkout/sessions", &headers) {
        return refused;
    }
    let found = stand_in.inner.lock().unwrap().sessions.get(&id).cloned();
    match found {
        Some(session) => spoilt(&stand_in, session).await,
        None => refuse(404, "invalid_request_error", "No such checkout.session"),
    }
}

/// The payment page of a session.
async fn show(State(stand_in): State<StandIn>, Path(id): Path<String>) -> Html<String> {
    let cancel = stand_in.inner.lock().unwrap().sessions[&id]["cancel_url"].clone();
    let cancel = cancel.as_str().unwrap_or_default().replace('&', "&amp;");
    Html(format!(
        "<!doctype html><html lang=en><link rel=icon href='data:,'><title>Pay</title><form method=post><button>Pay</button></form>
         <a href=\"{cancel}\">Back to the shop</a>"
    ))
}

/// Pays the session; the webhook to the shop follows shortly, and the browser returns at once.
async fn pay(State(stand_in): State<StandIn>, Path(id): Path<String>) -> Redirect {
    stand_in.set(&id, "complete", "paid");
    let (signature, body) = stand_in.event("checkout.session.completed", &id);
    let back = stand_in.inner.lock().unwrap().sessions[&id]["success_url"].clone();
    let back = back.as_str().unwrap();
    let shop: Vec<&str> = back.splitn(4, '/').take(3).collect();
    // Another test may have installed it first; either way it is installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let sending = http
        .post(format!("{}/api/payment/webhook", shop.join("/")))
        .header("Stripe-Signature", signature)
        .body(body)
        .send();
    tokio::spawn(async move { sending.await.unwrap().error_for_status().unwrap() });
    Redirect::to(back)
}
