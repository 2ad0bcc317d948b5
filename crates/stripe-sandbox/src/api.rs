//! The API: what each path does, in Stripe's form. Parameters are forms, answers JSON; lists are the newest first.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use crate::faults::{Fault, answer, refuse, replay};
use crate::state::{cents, text};
use crate::{Ledger, Shared, VERSION};

type Sandbox = State<Arc<Shared>>;

/// Checks key, version and faults before anything is done.
fn check(shared: &Shared, call: String, headers: &HeaderMap) -> Result<(), (u16, Value)> {
    let mut state = shared.lock();
    state.calls.push(call);
    let bearer = format!("Bearer {}", state.api_key);
    if headers.get("authorization").is_none_or(|value| value != &bearer) {
        return Err(refuse(401, "invalid_request_error", None, "Invalid API Key provided"));
    }
    if headers.get("stripe-version").is_none_or(|value| value != VERSION) {
        return Err(refuse(
            400,
            "invalid_request_error",
            None,
            "the sandbox speaks one version only",
        ));
    }
    let call = state.calls.last().cloned().unwrap_or_default();
    if state.denied.iter().any(|denied| call.starts_with(denied.as_str())) {
        return Err(refuse(
            403,
            "invalid_request_error",
            None,
            "The provided key does not have the required permissions",
        ));
    }
    match state.fault {
        Fault::Status(status) => Err(refuse(status, "api_error", None, "as told")),
        _ => Ok(()),
    }
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

/// A request that reads: checked, answered, and spoilt by the fault.
async fn read(
    shared: &Shared,
    call: String,
    headers: &HeaderMap,
    look: impl FnOnce(&crate::state::State) -> (u16, Value),
) -> Response {
    let (fault, answered) = if let Err(refused) = check(shared, call, headers) {
        (Fault::None, refused)
    } else {
        let state = shared.lock();
        (state.fault, look(&state))
    };
    answer(fault, answered).await
}

async fn one(
    shared: Arc<Shared>,
    kind: &str,
    path: &str,
    id: &str,
    query: Option<String>,
    headers: &HeaderMap,
) -> Response {
    let expand: Vec<String> = pairs(query.unwrap_or_default().as_bytes())
        .into_iter()
        .filter(|(name, _)| name.starts_with("expand["))
        .map(|(_, path)| path)
        .collect();
    read(&shared, format!("GET /v1/{path}"), headers, |state| {
        match state.objects.get(id).filter(|found| text(found, "object") == kind) {
            Some(found) => (200, state.expanded(found.clone(), &expand)),
            None => refuse(
                404,
                "invalid_request_error",
                Some("resource_missing"),
                &format!("No such {kind}: '{id}'"),
            ),
        }
    })
    .await
}

async fn list(shared: Arc<Shared>, kind: &str, path: &str, query: Option<String>, headers: &HeaderMap) -> Response {
    let pairs = pairs(query.unwrap_or_default().as_bytes());
    let named = |name: &str| {
        pairs
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    };
    let expand: Vec<String> = (pairs.iter().filter(|(name, _)| name.starts_with("expand[")))
        .map(|(_, path)| path.clone())
        .collect();
    let limit = named("limit")
        .and_then(|text| text.parse::<usize>().ok())
        .unwrap_or(10)
        .clamp(1, 100);
    let since = named("created[gte]")
        .and_then(|text| text.parse::<i64>().ok())
        .unwrap_or(i64::MIN);
    read(&shared, format!("GET /v1/{path}"), headers, |state| {
        let mut found = state.all(kind);
        found.reverse();
        found.retain(|object| cents(object, "created") >= since);
        for field in ["payment_intent", "charge", "payout"] {
            if let Some(wanted) = named(field) {
                found.retain(|object| text(object, field) == wanted);
            }
        }
        if let Some(after) = named("starting_after") {
            let skipped = found
                .iter()
                .position(|object| text(object, "id") == after)
                .map_or(0, |at| at + 1);
            found.drain(..skipped);
        }
        let has_more = found.len() > limit;
        found.truncate(limit);
        let page = json!({"object": "list", "url": format!("/v1/{path}"), "has_more": has_more, "data": found});
        (200, state.expanded(page, &expand))
    })
    .await
}

/// A request that changes something, once for each idempotency key. It is finished even when the client has gone.
async fn write(
    shared: Arc<Shared>,
    path: &'static str,
    headers: &HeaderMap,
    body: Bytes,
    act: impl FnOnce(&Shared, &HashMap<String, String>) -> (u16, Value) + Send + 'static,
) -> Response {
    if let Err(refused) = check(&shared, format!("POST /v1/{path}"), headers) {
        return answer(Fault::None, refused).await;
    }
    let key = headers
        .get("idempotency-key")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let parameters = format!("{path}?{}", String::from_utf8_lossy(&body));
    if let Some(key) = &key {
        let before = {
            let mut state = shared.lock();
            match state.answered.get(key).cloned() {
                Some((known, _)) if known != parameters => Some((
                    false,
                    refuse(
                        400,
                        "idempotency_error",
                        None,
                        "Keys for idempotent requests can only be used with the same parameters",
                    ),
                )),
                Some((_, answered)) => Some((true, answered)),
                None if !state.busy.insert(key.clone()) => Some((
                    false,
                    refuse(
                        409,
                        "idempotency_error",
                        None,
                        "There is another in-progress request using this key",
                    ),
                )),
                None => None,
            }
        };
        if let Some((is_known, before)) = before {
            let fault = shared.lock().fault;
            return if is_known {
                replay(fault, before).await
            } else {
                answer(fault, before).await
            };
        }
    }
    let done = tokio::spawn(async move {
        let takes = shared.lock().takes;
        tokio::time::sleep(takes).await;
        let form: HashMap<String, String> = pairs(&body).into_iter().collect();
        let answered = act(&shared, &form);
        shared.news.notify_one();
        let mut state = shared.lock();
        if let Some(key) = key {
            state.busy.remove(&key);
            state.answered.insert(key, (parameters, answered.clone()));
        }
        (state.fault, answered)
    });
    match done.await {
        Ok((fault, answered)) => answer(fault, answered).await,
        Err(_) => answer(Fault::None, refuse(500, "api_error", None, "the sandbox failed")).await,
    }
}

pub(crate) async fn create_session(State(shared): Sandbox, headers: HeaderMap, body: Bytes) -> Response {
    write(shared, "checkout/sessions", &headers, body, |shared, form| {
        let pages = shared.pages();
        match shared.lock().create_session(form, &pages) {
            Ok(session) => (200, session),
            Err(refused) => refused,
        }
    })
    .await
}

pub(crate) async fn session(
    State(shared): Sandbox,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    one(shared, "checkout.session", "checkout/sessions", &id, query, &headers).await
}

pub(crate) async fn expire_session(
    State(shared): Sandbox,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    write(shared, "checkout/sessions/expire", &headers, body, move |shared, _| {
        shared
            .lock()
            .expire(&id)
            .map_or_else(|refused| refused, |session| (200, session))
    })
    .await
}

pub(crate) async fn create_refund(State(shared): Sandbox, headers: HeaderMap, body: Bytes) -> Response {
    write(shared, "refunds", &headers, body, |shared, form| {
        let mut state = shared.lock();
        let charge = match (form.get("charge"), form.get("payment_intent")) {
            (Some(charge), _) => charge.clone(),
            (None, Some(intent)) => state
                .objects
                .get(intent)
                .map(|found| text(found, "latest_charge").to_owned())
                .unwrap_or_default(),
            (None, None) => return refuse(400, "invalid_request_error", None, "Missing required param: charge"),
        };
        let whole = state
            .objects
            .get(&charge)
            .map_or(0, |found| cents(found, "amount") - cents(found, "amount_refunded"));
        let amount = match form.get("amount").map(|text| text.parse::<i64>()) {
            None => whole,
            Some(Ok(amount)) => amount,
            Some(Err(_)) => return refuse(400, "invalid_request_error", None, "Invalid integer: amount"),
        };
        let metadata: serde_json::Map<String, Value> = form
            .iter()
            .filter_map(|(field, value)| {
                let name = field.strip_prefix("metadata[")?.strip_suffix(']')?;
                Some((name.to_owned(), Value::from(value.as_str())))
            })
            .collect();
        match state.make_refund(&charge, amount, &Value::Object(metadata)) {
            Ok(id) => (200, state.objects.get(&id).cloned().unwrap_or_default()),
            Err(refused) => refused,
        }
    })
    .await
}

pub(crate) async fn update_dispute(
    State(shared): Sandbox,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    write(shared, "disputes/update", &headers, body, move |shared, form| {
        shared
            .lock()
            .update_dispute(&id, form)
            .map_or_else(|refused| refused, |dispute| (200, dispute))
    })
    .await
}

/// A path that answers one object, and one that answers the list of them.
macro_rules! objects {
    ($($one:ident, $list:ident, $kind:literal, $path:literal;)*) => {$(
        pub(crate) async fn $one(
            State(shared): Sandbox,
            Path(id): Path<String>,
            RawQuery(query): RawQuery,
            headers: HeaderMap,
        ) -> Response {
            one(shared, $kind, $path, &id, query, &headers).await
        }

        pub(crate) async fn $list(State(shared): Sandbox, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
            list(shared, $kind, $path, query, &headers).await
        }
    )*};
}

objects! {
    charge, charges, "charge", "charges";
    refund, refunds, "refund", "refunds";
    dispute, disputes, "dispute", "disputes";
    warning, warnings, "radar.early_fraud_warning", "radar/early_fraud_warnings";
}

pub(crate) async fn payment_intent(
    State(shared): Sandbox,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    one(shared, "payment_intent", "payment_intents", &id, query, &headers).await
}

pub(crate) async fn balance_transactions(
    State(shared): Sandbox,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    list(shared, "balance_transaction", "balance_transactions", query, &headers).await
}

pub(crate) async fn payouts(State(shared): Sandbox, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    list(shared, "payout", "payouts", query, &headers).await
}

/// What money really moved, in cents; for people.
pub(crate) async fn ledger(State(shared): Sandbox) -> Json<Value> {
    let sums = Ledger::of(&shared.lock());
    Json(json!({
        "charged": sums.charged, "refunded": sums.refunded, "disputed": sums.disputed, "fees": sums.fees, "balance": sums.balance,
    }))
}
