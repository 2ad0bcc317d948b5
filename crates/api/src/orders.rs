//! `/api/orders…`: placing orders, reading them, and watching an order until its keys are delivered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use futures::Stream;
use http::StatusCode;
use http::header::{self, HeaderValue};
use lockstep_domain::Money;
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::{KeyId, OrderId};
use lockstep_domain::purchase::OrderView;
use lockstep_shop::{OrderWatch, Seen, Slice};
use utoipa::OpenApi;

use crate::answer::{self, Answered};
use crate::body::{Body, NewOrderItem, request_body, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;
use crate::visit::{Key, SignedInUser};
use crate::{Api, ApiState};

/// Interval of keep-alive comments; proxies cut idle streams after longer.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Maximum page size.
const MAX_LIMIT: u32 = 100;
/// Highest page number.
const MAX_PAGE: u32 = 100_000;

#[derive(OpenApi)]
#[openapi(
    tags((name = "orders", description = "Orders of the signed-in user and their keys")),
    paths(place, list, show, watch, key_file, list_as_user)
)]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/orders", get(list).post(place)),
        ("/api/orders/{id}", get(show)),
        ("/api/orders/{id}/events", get(watch)),
        ("/api/orders/{id}/keys/{keyId}/file", get(key_file)),
        ("/api/user/orders", get(list_as_user)),
    ]
}

request_body! {
    /// An order to place.
    struct NewOrder {
        /// Games to order. Repeated games are merged into one item with the sum of their quantities.
        items: Vec<NewOrderItem> = "items",
        promo_code: Option<String> = "promoCode",
        /// Total that the client showed to the user, in EUR. If the price has risen since, nothing is ordered (409).
        #[schema(value_type = Option<f64>)]
        expected_total: Option<Money> = "expectedTotal",
    }
}

/// Places an order at current prices and pays it from the balance.
///
/// Either the whole order is placed and paid, or nothing changes.
#[utoipa::path(post, path = "/api/orders", tag = "orders", operation_id = "placeOrder", security(("bearer" = [])), request_body = NewOrder, params(
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "A repeated key with the same body returns the same order; with another body it is refused (409)")),
    responses((status = 201, body = Answer<OrderView>),
    (status = 400, description = "Invalid fields, `empty_order`, `quantity_not_positive`, `out_of_stock`, `invalid_promo_code`, `insufficient_balance`, or the order is too large"),
    (status = 401, description = "Not signed in"), (status = 404, description = "There is no such game"),
    (status = 409, description = "`price_risen`, with the new price in `details.total`; or `idempotency_key_reused`"),
    (status = 429, description = "More than 30 requests per minute; retry after `Retry-After` seconds")))]
pub(crate) async fn place(State(api): Api, member: SignedInUser, Key(key): Key, body: Body) -> Answered {
    let sent: NewOrder = body.valid()?;
    let games = sent.items.iter().map(|item| (item.game_id, item.quantity));
    let checkout = api
        .shop
        .checkout(games, sent.promo_code.as_deref(), sent.expected_total)?;
    let order = api
        .shop
        .place_order(&member.caller, &member.device, &checkout, key.as_ref())
        .await?;
    answer::data(StatusCode::CREATED, &order)
}

/// Returns the orders of the user, newest first, without the content of keys.
#[utoipa::path(get, path = "/api/orders", tag = "orders", operation_id = "listOrders", security(("bearer" = [])), params(
    ("page" = Option<u32>, Query, minimum = 1, maximum = 100_000, description = "Page number, from 1 (default 1)"),
    ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Page size, 1–100 (default 100)")),
    responses((status = 200, body = Answer<Vec<OrderView>>), (status = 400, description = "`page` or `limit` is invalid"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn list(member: SignedInUser, ask: Ask) -> Answered {
    answer::data(StatusCode::OK, &member.context.orders(slice(&ask)?).await?)
}

/// Returns the orders of the user (alias of `/api/orders`).
#[utoipa::path(get, path = "/api/user/orders", tag = "orders", operation_id = "listOrdersAsUser", security(("bearer" = [])), params(
    ("page" = Option<u32>, Query, minimum = 1, maximum = 100_000, description = "Page number, from 1 (default 1)"),
    ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Page size, 1–100 (default 100)")),
    responses((status = 200, body = Answer<Vec<OrderView>>), (status = 400, description = "`page` or `limit` is invalid"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn list_as_user(member: SignedInUser, ask: Ask) -> Answered {
    list(member, ask).await
}

/// Reads the requested page from the query.
pub(crate) fn slice(ask: &Ask) -> Result<Slice, ApiError> {
    let page = ask.number("page", 1, 1, MAX_PAGE)?;
    Ok(Slice::page(page, ask.number("limit", MAX_LIMIT, 1, MAX_LIMIT)?))
}

/// Returns an order of the user with its keys.
///
/// Each access to a key is recorded.
#[utoipa::path(get, path = "/api/orders/{id}", tag = "orders", operation_id = "getOrder", security(("bearer" = [])), params(("id" = Uuid, Path, description = "ID of the order")),
    responses((status = 200, body = Answer<OrderView>), (status = 400, description = "`id` is not a UUID"),
    (status = 401, description = "Not signed in"), (status = 404, description = "No such order, or it belongs to another user")))]
pub(crate) async fn show(Path(id): Path<String>, member: SignedInUser) -> Answered {
    let order = member.context.order(order_id(&id)?, Seen::Api).await?;
    answer::data(StatusCode::OK, &order)
}

/// Streams an order and its changes until it is complete.
///
/// Sends server-sent events named `order`, each with the whole order as data but without the content of keys: one with
/// the current state, then one for each change. The stream also ends with the user's session.
#[utoipa::path(get, path = "/api/orders/{id}/events", tag = "orders", operation_id = "watchOrder", security(("bearer" = [])), params(("id" = Uuid, Path, description = "ID of the order")),
    responses((status = 200, description = "A stream of `order` events", body = String, content_type = "text/event-stream"), (status = 400, description = "`id` is not a UUID"),
    (status = 401, description = "Not signed in"), (status = 404, description = "No such order, or it belongs to another user"),
    (status = 503, description = "Too many concurrent streams; try again later")))]
pub(crate) async fn watch(Path(id): Path<String>, member: SignedInUser) -> Answered {
    let watch = member.context.watch_order(order_id(&id)?).await?;
    let mut response = Sse::new(events(watch))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT))
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Buffering proxies would delay the events.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn events(watch: OrderWatch) -> impl Stream<Item = Result<Event, Infallible>> {
    futures::stream::unfold(watch, |mut watch| async move {
        let order = watch.next().await?;
        // Our own plain structs always serialise to JSON.
        let event = Event::default().event("order").json_data(&order).unwrap_or_default();
        Some((Ok(event), watch))
    })
}

/// Returns a key of the user as a file.
///
/// Each access to a key is recorded.
#[utoipa::path(get, path = "/api/orders/{id}/keys/{keyId}/file", tag = "orders", operation_id = "getKeyFile", security(("bearer" = [])), params(
    ("id" = Uuid, Path, description = "ID of the order"), ("keyId" = Uuid, Path, description = "ID of the key")),
    responses((status = 200, description = "The file", content((String = "text/plain"), (Vec<u8> = "application/octet-stream"))), (status = 400, description = "An ID is not a UUID"),
    (status = 401, description = "Not signed in"), (status = 404, description = "No such key, or it belongs to another user")))]
pub(crate) async fn key_file(Path((order, key)): Path<(String, String)>, member: SignedInUser) -> Answered {
    let key = KeyId(uuid_in("keyId", &key)?);
    let file = member.context.key_file(order_id(&order)?, key).await?;
    let mut response = Response::new(HttpBody::from(file.bytes));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(if file.is_text {
            "text/plain; charset=utf-8"
        } else {
            "application/octet-stream"
        }),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The name consists of an ID and an extension.
    if let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"{}\"", file.name)) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// Parses the UUID of an order.
fn order_id(text: &str) -> Result<OrderId, ApiError> {
    uuid_in("id", text).map(OrderId)
}
