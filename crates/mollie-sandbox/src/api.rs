//! The API: what each path does, in Mollie's form. Bodies and answers are JSON; lists are the newest first, in parts.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::Shared;
use crate::faults::{Fault, refuse};
use crate::state::{API_KEY, Chargeback, Refund, cents_of};

type Sandbox = State<Arc<Shared>>;
type Parameters = Query<HashMap<String, String>>;

/// Sends an answer as the fault has it.
async fn answer(fault: Fault, (status, body): (u16, Value)) -> Response {
    match fault {
        Fault::Garbled => "{\"id\": \"tr_".into_response(),
        Fault::Silent => std::future::pending().await,
        Fault::Broken => {
            let parts = [Ok("{\"id\": "), Err(std::io::Error::other("hung up"))];
            Response::new(Body::from_stream(futures::stream::iter(parts)))
        }
        Fault::None | Fault::Status(_) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (
                status,
                [("content-type", "application/hal+json")],
                Json(body).into_response().into_body(),
            )
                .into_response()
        }
    }
}

/// Checks key and faults before anything is done.
fn check(shared: &Shared, call: String, headers: &HeaderMap) -> Result<(), (u16, Value)> {
    let mut state = shared.lock();
    state.calls.push(call);
    let bearer = format!("Bearer {API_KEY}");
    if headers.get("authorization").is_none_or(|value| value != &bearer) {
        return Err(refuse(401, "Missing authentication, or failed to authenticate", None));
    }
    match state.fault {
        Fault::Status(status) => Err(refuse(status, "as told", None)),
        _ => Ok(()),
    }
}

/// A request that reads.
async fn read(
    shared: &Shared,
    path: String,
    headers: &HeaderMap,
    look: impl FnOnce(&crate::state::State) -> (u16, Value),
) -> Response {
    let (fault, answered) = if let Err(refused) = check(shared, format!("GET {path}"), headers) {
        (Fault::None, refused)
    } else {
        let state = shared.lock();
        (state.fault, look(&state))
    };
    answer(fault, answered).await
}

/// A request that changes something, once for each idempotency key. It is finished even when the client has gone.
async fn write(
    shared: Arc<Shared>,
    path: String,
    headers: &HeaderMap,
    body: Bytes,
    act: impl FnOnce(&Shared, &Value) -> (u16, Value) + Send + 'static,
) -> Response {
    if let Err(refused) = check(&shared, format!("POST {path}"), headers) {
        return answer(Fault::None, refused).await;
    }
    let Ok(sent) = serde_json::from_slice::<Value>(&body) else {
        return answer(Fault::None, refuse(400, "The request body is not JSON", None)).await;
    };
    let key = headers
        .get("idempotency-key")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let request = format!("{path} {sent}");
    if let Some(key) = &key {
        let before = {
            let mut state = shared.lock();
            match state.answered.get(key).cloned() {
                Some((known, _)) if known != request => {
                    Some(refuse(400, "The idempotency key was used for another request", None))
                }
                Some((_, answered)) => Some(answered),
                None if !state.busy.insert(key.clone()) => Some(refuse(
                    409,
                    "A request with this idempotency key is being processed",
                    None,
                )),
                None => None,
            }
        };
        if let Some(before) = before {
            let fault = shared.lock().fault;
            return answer(fault, before).await;
        }
    }
    let done = tokio::spawn(async move {
        let takes = shared.lock().takes;
        tokio::time::sleep(takes).await;
        let answered = act(&shared, &sent);
        shared.news.notify_one();
        let mut state = shared.lock();
        if let Some(key) = key {
            state.busy.remove(&key);
            state.answered.insert(key, (request, answered.clone()));
        }
        (state.fault, answered)
    });
    match done.await {
        Ok((fault, answered)) => answer(fault, answered).await,
        Err(_) => answer(Fault::None, refuse(500, "the sandbox failed", None)).await,
    }
}

/// A part of a list, from the object `from` on, which is in it.
fn part(shared: &Shared, most: usize, path: &str, name: &str, mut all: Vec<Value>, query: &Parameters) -> (u16, Value) {
    let limit = match query.get("limit").map_or(Ok(50), |text| text.parse::<usize>()) {
        Ok(limit @ 1..=250) => limit.min(most),
        _ => return refuse(400, "The limit is invalid", Some("limit")),
    };
    all.reverse();
    if let Some(from) = query.get("from") {
        match all.iter().position(|object| object["id"] == from.as_str()) {
            Some(at) => drop(all.drain(..at)),
            None => return refuse(404, "No such object", Some("from")),
        }
    }
    let next = all.get(limit).map(|object| {
        let from = object["id"].as_str().unwrap_or_default();
        json!({"href": format!("{}{path}?from={from}&limit={limit}", shared.url()), "type": "application/hal+json"})
    });
    all.truncate(limit);
    (
        200,
        json!({"count": all.len(), "_embedded": {name: all}, "_links": {"previous": null, "next": next}}),
    )
}

fn missing(what: &str) -> (u16, Value) {
    refuse(404, &format!("No {what} exists with this token."), None)
}

pub(crate) async fn create_payment(State(shared): Sandbox, headers: HeaderMap, body: Bytes) -> Response {
    write(shared, "/v2/payments".into(), &headers, body, |shared, sent| {
        let mut state = shared.lock();
        match state.create(sent) {
            Ok(id) => {
                let made = state.payments.iter().find(|one| one.id == id);
                (201, made.map_or(Value::Null, |one| state.payment_json(one, shared)))
            }
            Err(field) => refuse(422, &format!("The {field} is missing or invalid"), Some(field)),
        }
    })
    .await
}

pub(crate) async fn payment(State(shared): Sandbox, Path(id): Path<String>, headers: HeaderMap) -> Response {
    read(&shared, format!("/v2/payments/{id}"), &headers, |state| {
        let found = state.payments.iter().find(|one| one.id == id);
        found.map_or_else(|| missing("payment"), |one| (200, state.payment_json(one, &shared)))
    })
    .await
}

pub(crate) async fn cancel_payment(State(shared): Sandbox, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = check(&shared, format!("DELETE /v2/payments/{id}"), &headers) {
        return answer(Fault::None, refused).await;
    }
    let (fault, answered) = {
        let mut state = shared.lock();
        let may = state.is_cancelable;
        let answered = match state.find(&id).map(|one| one.status.clone()) {
            None => missing("payment"),
            Some(status) if status == "open" && may => {
                state.set_status(&id, "canceled");
                let found = state.payments.iter().find(|one| one.id == id);
                (200, found.map_or(Value::Null, |one| state.payment_json(one, &shared)))
            }
            Some(_) => refuse(422, "The payment cannot be canceled", None),
        };
        (state.fault, answered)
    };
    shared.news.notify_one();
    answer(fault, answered).await
}

pub(crate) async fn payments(State(shared): Sandbox, query: Parameters, headers: HeaderMap) -> Response {
    read(&shared, "/v2/payments".into(), &headers, |state| {
        let all = state
            .payments
            .iter()
            .map(|one| state.payment_json(one, &shared))
            .collect();
        part(&shared, state.most_in_part, "/v2/payments", "payments", all, &query)
    })
    .await
}

pub(crate) async fn create_refund(
    State(shared): Sandbox,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = format!("/v2/payments/{id}/refunds");
    write(shared, path, &headers, body, move |shared, sent| {
        let Some((cents, currency)) = sent.get("amount").and_then(cents_of) else {
            return refuse(422, "The amount is missing or invalid", Some("amount"));
        };
        if currency != "EUR" {
            return refuse(422, "The currency is not that of the payment", Some("amount"));
        }
        let metadata = sent.get("metadata").cloned().unwrap_or_default();
        let mut state = shared.lock();
        let made = match state.refund(&id, cents, metadata) {
            Ok(refund) => refund,
            Err(refused) => return refused,
        };
        let found = state.refunds.iter().find(|one| one.id == made);
        let (answered, status) = (
            found.map_or(Value::Null, Refund::json),
            found.map(|one| one.json()["status"].clone()),
        );
        // Taken, and failed a moment later.
        if status == Some(json!("pending")) {
            state.set_refund_status(&made, "failed");
        }
        (201, answered)
    })
    .await
}

pub(crate) async fn refund(
    State(shared): Sandbox,
    Path((id, refund)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    read(
        &shared,
        format!("/v2/payments/{id}/refunds/{refund}"),
        &headers,
        |state| {
            let found = state.refunds.iter().find(|one| one.id == refund && one.payment == id);
            found.map_or_else(|| missing("refund"), |one| (200, one.json()))
        },
    )
    .await
}

pub(crate) async fn refunds_of(
    State(shared): Sandbox,
    Path(id): Path<String>,
    query: Parameters,
    headers: HeaderMap,
) -> Response {
    let path = format!("/v2/payments/{id}/refunds");
    read(&shared, path.clone(), &headers, |state| {
        let all = state
            .refunds
            .iter()
            .filter(|one| one.payment == id)
            .map(Refund::json)
            .collect();
        part(&shared, state.most_in_part, &path, "refunds", all, &query)
    })
    .await
}

pub(crate) async fn refunds(State(shared): Sandbox, query: Parameters, headers: HeaderMap) -> Response {
    read(&shared, "/v2/refunds".into(), &headers, |state| {
        let all = state.refunds.iter().map(Refund::json).collect();
        part(&shared, state.most_in_part, "/v2/refunds", "refunds", all, &query)
    })
    .await
}

pub(crate) async fn chargeback(
    State(shared): Sandbox,
    Path((id, chargeback)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let path = format!("/v2/payments/{id}/chargebacks/{chargeback}");
    read(&shared, path, &headers, |state| {
        let mut of = state.chargebacks.iter().filter(|one| one.payment == id);
        of.find(|one| one.id == chargeback)
            .map_or_else(|| missing("chargeback"), |one| (200, one.json()))
    })
    .await
}

pub(crate) async fn chargebacks_of(
    State(shared): Sandbox,
    Path(id): Path<String>,
    query: Parameters,
    headers: HeaderMap,
) -> Response {
    let path = format!("/v2/payments/{id}/chargebacks");
    read(&shared, path.clone(), &headers, |state| {
        let of = state.chargebacks.iter().filter(|one| one.payment == id);
        let all = of.map(Chargeback::json).collect();
        part(&shared, state.most_in_part, &path, "chargebacks", all, &query)
    })
    .await
}

pub(crate) async fn chargebacks(State(shared): Sandbox, query: Parameters, headers: HeaderMap) -> Response {
    read(&shared, "/v2/chargebacks".into(), &headers, |state| {
        let all = state.chargebacks.iter().map(Chargeback::json).collect();
        part(
            &shared,
            state.most_in_part,
            "/v2/chargebacks",
            "chargebacks",
            all,
            &query,
        )
    })
    .await
}
