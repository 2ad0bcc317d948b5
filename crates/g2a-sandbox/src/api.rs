//! The HTTP interface of the buyer API: routes, parameters, errors, and the faults that apply to a call.

use std::sync::Arc;
use std::time::Duration;

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{ConnectInfo, Form, Json, Query, Request, State as Axum};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use lockstep_domain::Money;
use lockstep_domain::money::exact_decimal;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::catalogue::{Filter, later, loose_number, read_time};
use crate::faults::{Call, Fault, strike};
use crate::market::Refusal;
use crate::state::{RequestRecord, Shared, State};
use crate::wire::Connection;

/// Maximum size of a request body, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Maximum number of valid tokens; one more invalidates all earlier ones.
const MAX_TOKENS: usize = 1_000;

/// Lifetime of a bearer token, in seconds.
const TOKEN_SECONDS: u64 = 3_600;

/// The route of a request.
#[derive(Debug, Clone, Copy)]
enum Route<'a> {
    Listing,
    Product(&'a str),
    Order,
    Pay(&'a str),
    Details(&'a str),
    Key(&'a str),
    Nowhere,
}

impl<'a> Route<'a> {
    fn of(method: &Method, path: &'a str) -> Self {
        let Some(path) = path.strip_prefix("/v1/") else {
            return Self::Nowhere;
        };
        let parts: Vec<&str> = path.split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["products"]) => Self::Listing,
            ("GET", ["products", id]) => Self::Product(id),
            ("POST", ["order"]) => Self::Order,
            ("PUT", ["order", "pay", id]) => Self::Pay(id),
            ("GET", ["order", "details", id]) => Self::Details(id),
            ("GET", ["order", "key", id]) => Self::Key(id),
            _ => Self::Nowhere,
        }
    }

    fn call(self) -> Option<Call> {
        match self {
            Self::Listing | Self::Product(_) => Some(Call::Products),
            Self::Order => Some(Call::Order),
            Self::Pay(_) => Some(Call::Pay),
            Self::Details(_) => Some(Call::Details),
            Self::Key(_) => Some(Call::Key),
            Self::Nowhere => None,
        }
    }
}

/// An answer before it is sent.
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
    retry_after: Option<u64>,
}

impl Answer {
    fn json(status: StatusCode, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type: "application/json",
            body,
            retry_after: None,
        }
    }

    fn ok(value: &serde_json::Value) -> Self {
        Self::json(StatusCode::OK, value.to_string().into_bytes())
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status)
            .ok()
            .filter(|status| (200..600).contains(&status.as_u16()));
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({ "status": "ERROR", "message": refusal.message, "code": refusal.code });
        Self::json(status, body.to_string().into_bytes())
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The effect of the fault on an answer.
enum Outcome {
    Answer(Answer),
    Cut,
}

/// Handles every request except those to `/control` and `/oauth/token`.
pub(crate) async fn handle(
    Axum(shared): Axum<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
) -> Response {
    connection.mend();
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
        return Answer::from(Refusal::new(413, "BR02", "Request body is too large")).into_response();
    };
    let request = http::Request::from_parts(parts, body.as_ref());
    let (number, outcome, fault) = shared.answer(&request);
    let Outcome::Answer(answer) = outcome else {
        connection.cut_now();
        return StatusCode::NO_CONTENT.into_response();
    };
    match fault {
        Some(Fault::TruncateAt { bytes }) => connection.cut_in_body(bytes),
        Some(Fault::Slow { milliseconds }) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
        Some(Fault::Hold) => {
            let (release, released) = oneshot::channel();
            shared.lock().held.insert(number, release);
            // A reset releases it too.
            drop(released.await);
        }
        _ => {}
    }
    shared.lock().note_answered(number);
    answer.into_response()
}

impl Shared {
    /// Processes a request as far as the fault rules allow, and records it under the returned number.
    fn answer(&self, request: &http::Request<&[u8]>) -> (u64, Outcome, Option<Fault>) {
        let route = Route::of(request.method(), request.uri().path());
        let mut state = self.lock();
        let now = state.settle();
        let rule = strike(&mut state.rules, route.call());
        let mut process = || self.process(&mut state, now, route, request);
        let mut instead = |answer: Answer, process_first: bool| {
            if process_first {
                drop(process());
            }
            Outcome::Answer(answer)
        };
        let outcome = match &rule {
            None => Outcome::Answer(process()),
            Some(rule) => match &rule.fault {
                Fault::DropBefore => Outcome::Cut,
                Fault::DropAfter => {
                    drop(process());
                    Outcome::Cut
                }
                Fault::TruncateAt { .. } | Fault::Slow { .. } | Fault::Hold => Outcome::Answer(process()),
                Fault::Duplicate => {
                    drop(process());
                    Outcome::Answer(process())
                }
                Fault::Error { status, code, message } => {
                    instead(Refusal::new(*status, code, message).into(), rule.process_first)
                }
                Fault::EmptyBody502 => instead(Answer::json(StatusCode::BAD_GATEWAY, Vec::new()), rule.process_first),
                Fault::RateLimited { retry_after } => instead(too_many(*retry_after), rule.process_first),
                Fault::Nonsense => {
                    let page = b"<html><body><h1>We will be right back</h1></body></html>".to_vec();
                    let answer = Answer {
                        status: StatusCode::OK,
                        content_type: "text/html",
                        body: page,
                        retry_after: None,
                    };
                    instead(answer, rule.process_first)
                }
                Fault::WrongJson => {
                    let other = json!({ "data": { "items": [] }, "meta": { "lastPage": 1 } });
                    instead(Answer::ok(&other), rule.process_first)
                }
            },
        };
        let number = state.note(RequestRecord {
            number: 0,
            at: now,
            call: route.call(),
            method: request.method().to_string(),
            target: request
                .uri()
                .path_and_query()
                .map_or_else(String::new, ToString::to_string),
            traceparent: request
                .headers()
                .get("traceparent")
                .and_then(|sent| sent.to_str().ok())
                .map(str::to_owned),
            status: match &outcome {
                Outcome::Answer(answer) => Some(answer.status.as_u16()),
                Outcome::Cut => None,
            },
            answered_at: None,
            fault: rule.as_ref().and_then(|rule| kind_of(&rule.fault)),
        });
        (number, outcome, rule.map(|rule| rule.fault))
    }

    /// Processes a request without faults: rate limit, authorization, call.
    fn process(
        &self,
        state: &mut State,
        now: DateTime<Utc>,
        route: Route<'_>,
        request: &http::Request<&[u8]>,
    ) -> Answer {
        if let Err(wait) = state.admit(now) {
            return too_many(state.knobs.retry_after.then_some(wait));
        }
        let done = self
            .authorize(state, now, request.headers())
            .and_then(|()| match route {
                Route::Listing => list(state, request.uri()),
                Route::Product(id) => product(state, id),
                Route::Order => create(state, now, request),
                Route::Pay(id) => pay(state, now, id, request.headers()),
                Route::Details(id) => details(state, now, id),
                Route::Key(id) => key(state, now, id),
                Route::Nowhere => Err(Refusal::new(404, "WRONGURL", "Wrong url")),
            });
        done.unwrap_or_else(Answer::from)
    }

    /// Accepts `hash, key` and bearer tokens.
    fn authorize(&self, state: &State, now: DateTime<Utc>, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(header) = headers.get(header::AUTHORIZATION) else {
            let status = state.knobs.auth01_status.into();
            return Err(Refusal::new(status, "AUTH01", "Authorization header is required"));
        };
        let text = header.to_str().unwrap_or_default();
        let known = match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                state.tokens.get(token.trim()).is_some_and(|end| now < *end)
            }
            _ => text == self.config.credentials.authorization(),
        };
        if known {
            Ok(())
        } else {
            Err(Refusal::new(401, "AUTH02", "Wrong Authorization header"))
        }
    }
}

/// The `kind` of a fault in JSON.
fn kind_of(fault: &Fault) -> Option<String> {
    let value = serde_json::to_value(fault).ok()?;
    value.get("kind")?.as_str().map(ToOwned::to_owned)
}

fn too_many(retry_after: Option<u64>) -> Answer {
    Answer {
        retry_after,
        ..Refusal::new(429, "BR03", "Too many requests").into()
    }
}

/// `GET /v1/products`.
fn list(state: &mut State, uri: &Uri) -> Result<Answer, Refusal> {
    let bad = |code: &str, name: &str| Refusal::new(400, code, &format!("Parameter {name} is not valid"));
    let Ok(Query(parameters)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Err(bad("BR08", "query"));
    };
    let mut page = 1;
    let mut filter = Filter {
        include_out_of_stock: false,
        granularity_seconds: i64::from(state.knobs.updated_at_granularity_seconds.max(1)),
        ..Filter::everything()
    };
    for (name, text) in parameters {
        match name.as_str() {
            "page" => {
                let wished: Option<u32> = text.parse().ok();
                page = wished
                    .filter(|page| (1..=state.knobs.max_page).contains(page))
                    .ok_or_else(|| bad("PR02", &name))?;
            }
            "id" => filter.id = Some(number(&text).ok_or_else(|| bad("PR01", &name))?),
            "minQty" => {
                let quantity = number(&text).and_then(|quantity| i64::try_from(quantity).ok());
                filter.min_quantity = quantity.ok_or_else(|| bad("PR03", &name))?;
            }
            "minPriceFrom" => filter.min_price_from = Some(price(&text).ok_or_else(|| bad("PR04", &name))?),
            "minPriceTo" => filter.min_price_to = Some(price(&text).ok_or_else(|| bad("PR05", &name))?),
            "includeOutOfStock" => {
                filter.include_out_of_stock = match text.as_str() {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err(bad("BR08", &name)),
                }
            }
            "updatedAtFrom" => filter.updated_from = Some(read_time(&text).ok_or_else(|| bad("BR08", &name))?),
            "updatedAtTo" => filter.updated_to = Some(read_time(&text).ok_or_else(|| bad("BR08", &name))?),
            _ => {} // G2A ignores unknown parameters
        }
    }
    let size = usize::try_from(state.knobs.page_size).unwrap_or(usize::MAX);
    let at = usize::try_from(page).unwrap_or(usize::MAX);
    let (total, ids) = state.goods.page(&filter, at, size, state.knobs.live_total);
    let mut body = format!("{{\"total\":{total},\"page\":{page},\"docs\":[").into_bytes();
    body.reserve(ids.len() * 2_560);
    for (position, id) in ids.iter().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        state.goods.write_json(*id, &mut body);
    }
    body.extend_from_slice(b"]}");
    Ok(Answer::json(StatusCode::OK, body))
}

/// `GET /v1/products/{id}`: the same object as in a list, in stock or not.
fn product(state: &State, id: &str) -> Result<Answer, Refusal> {
    let id = number(id).ok_or_else(|| Refusal::new(400, "PR01", "Product id is not valid"))?;
    if state.goods.get(id).is_none() {
        return Err(Refusal::new(404, "BR04", "Product id is not valid"));
    }
    let mut body = Vec::new();
    state.goods.write_json(id, &mut body);
    Ok(Answer::json(StatusCode::OK, body))
}

/// The body of `POST /v1/order`.
#[derive(Deserialize)]
struct NewOrder {
    product_id: String,
    currency: Option<String>,
    max_price: Option<Box<RawValue>>,
    min_rating: Option<Box<RawValue>>,
}

/// `POST /v1/order`. The sandbox supports euros only, and ignores the rating of sellers.
fn create(state: &mut State, now: DateTime<Utc>, request: &http::Request<&[u8]>) -> Result<Answer, Refusal> {
    if !is_json(request.headers()) {
        return Err(Refusal::new(415, "CTTYPE", "Content-Type must be application/json"));
    }
    let data = |field: &str| Refusal::new(400, "BR02", &format!("Invalid JSON data: {field}"));
    let order: NewOrder = serde_json::from_slice(request.body()).map_err(|error| {
        if error.is_data() {
            data("wrong or missing field")
        } else {
            Refusal::new(400, "BR01", "Invalid JSON")
        }
    })?;
    if order.currency.is_some_and(|currency| currency != "EUR") {
        return Err(data("currency"));
    }
    let max_price = match order.max_price {
        Some(raw) => Some(price(raw.get()).ok_or_else(|| data("max_price"))?),
        None => None,
    };
    if let Some(raw) = order.min_rating {
        price(raw.get())
            .filter(|rating| *rating <= Decimal::ONE)
            .ok_or_else(|| data("min_rating"))?;
    }
    let product_id = number(&order.product_id).ok_or_else(|| Refusal::new(400, "BR04", "Product id is not valid"))?;
    if state.goods.get(product_id).is_some()
        && let Some(left) = state.sell_out_next.take()
    {
        state.goods.change(product_id, |product| {
            product.quantity = product.quantity.min(left.into());
            product.updated_at = Some(now);
        });
    }
    let created = state
        .market
        .create(&mut state.goods, &state.knobs, now, product_id, max_price)?;
    let body = format!(
        "{{\"order_id\":\"{}\",\"price\":{},\"currency\":\"EUR\"}}",
        created.order_id,
        loose_number(created.price)
    );
    Ok(Answer::json(StatusCode::OK, body.into_bytes()))
}

/// `PUT /v1/order/pay/{id}`. It has no body, and the headers must say so.
fn pay(state: &mut State, now: DateTime<Utc>, id: &str, headers: &HeaderMap) -> Result<Answer, Refusal> {
    if !headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Refusal::new(411, "BR02", "Content-Length is required"));
    }
    let transaction = state.market.pay(&state.knobs, now, order_id(id)?)?;
    Ok(Answer::ok(&json!({ "status": true, "transaction_id": transaction })))
}

/// `GET /v1/order/details/{id}`.
fn details(state: &State, now: DateTime<Utc>, id: &str) -> Result<Answer, Refusal> {
    let (status, price): (String, Money) = state.market.details(&state.knobs, now, order_id(id)?)?;
    let body = format!(
        "{{\"status\":{},\"price\":{},\"currency\":\"EUR\"}}",
        json!(status),
        loose_number(price)
    );
    Ok(Answer::json(StatusCode::OK, body.into_bytes()))
}

/// `GET /v1/order/key/{id}`.
fn key(state: &mut State, now: DateTime<Utc>, id: &str) -> Result<Answer, Refusal> {
    let key = state.market.key(&state.knobs, now, order_id(id)?)?;
    Ok(Answer::ok(&json!({ "key": key.text, "isFile": key.is_file })))
}

fn order_id(text: &str) -> Result<u64, Refusal> {
    number(text).ok_or_else(|| Refusal::new(400, "ORD01", "Order id is not valid"))
}

/// Parses a whole number of digits only.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

/// Parses a non-negative decimal.
fn price(text: &str) -> Option<Decimal> {
    exact_decimal(text).filter(|amount| *amount >= Decimal::ZERO)
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    content_type
        .split(';')
        .next()
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// The body of `POST /oauth/token`, as a form or as JSON.
#[derive(Deserialize)]
struct TokenRequest {
    grant_type: String,
    client_id: String,
    client_secret: String,
}

/// `POST /oauth/token`: issues a bearer token for an hour. The sandbox accepts it on all of `/v1`; G2A is known to
/// accept it on the product list, and for orders it is unknown.
pub(crate) async fn token(Axum(shared): Axum<Arc<Shared>>, request: Request) -> Response {
    let asked = if is_json(request.headers()) {
        request
            .extract::<Json<TokenRequest>, _>()
            .await
            .map(|Json(asked)| asked)
            .ok()
    } else {
        request
            .extract::<Form<TokenRequest>, _>()
            .await
            .map(|Form(asked)| asked)
            .ok()
    };
    let error =
        |status, code: &str| Answer::json(status, json!({ "error": code }).to_string().into_bytes()).into_response();
    let Some(asked) = asked else {
        return error(StatusCode::BAD_REQUEST, "invalid_request");
    };
    if asked.grant_type != "client_credentials" {
        return error(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let credentials = &shared.config.credentials;
    if asked.client_id != credentials.hash || asked.client_secret != credentials.secret {
        return error(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let mut state = shared.lock();
    let now = state.clock.now();
    state.tokens.retain(|_, end| now < *end);
    if state.tokens.len() >= MAX_TOKENS {
        state.tokens.clear();
    }
    let token = Uuid::new_v4().simple().to_string();
    state.tokens.insert(token.clone(), later(now, TOKEN_SECONDS));
    Answer::ok(&json!({ "access_token": token, "token_type": "bearer", "expires_in": TOKEN_SECONDS })).into_response()
}
