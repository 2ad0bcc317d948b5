//! `/api/orders…`: ordering, looking, and watching an order until its keys are there.

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
use lockstep_domain::GameId;
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::{KeyId, OrderId};
use lockstep_domain::purchase::OrderView;
use lockstep_shop::{OrderWatch, Seen, Slice};
use utoipa::{OpenApi, ToSchema};

use crate::answer::{self, Answered};
use crate::body::{Body, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;
use crate::visit::{Key, Member};
use crate::{Api, ApiState};

/// A stream that says nothing for longer would be cut by proxies.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The most rows of a page.
const MAX_LIMIT: u32 = 100;
/// The furthest page.
const MAX_PAGE: u32 = 100_000;

#[derive(OpenApi)]
#[openapi(
    tags((name = "orders", description = "One's own orders and their keys")),
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

/// What to order.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct NewOrder {
    /// A game that is named twice is one line with the sum.
    items: Vec<NewOrderItem>,
    promo_code: Option<String>,
    /// The total that the caller saw; when it has risen since then, nothing is ordered (409).
    expected_total: Option<f64>,
}

/// One game and how often.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct NewOrderItem {
    game_id: GameId,
    /// Copies, at least 1.
    #[schema(minimum = 1, maximum = 10_000)]
    quantity: u32,
}

/// Orders at the prices of now and pays from the balance, all or nothing.
#[utoipa::path(post, path = "/api/orders", tag = "orders", operation_id = "placeOrder", security(("bearer" = [])), request_body = NewOrder, params(
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "The same key and body is the same order; the same key with another body is refused (409)")),
    responses((status = 201, body = Answer<OrderView>),
    (status = 400, description = "Fields that are wrong, `empty_order`, `quantity_not_positive`, `out_of_stock`, `invalid_promo_code`, `insufficient_balance`, or more than can be ordered at once"),
    (status = 401, description = "Not signed in"), (status = 404, description = "There is no such game"),
    (status = 409, description = "`price_risen`, with `details.total`; or `idempotency_key_reused`"),
    (status = 429, description = "More than thirty a minute; `Retry-After` says when again")))]
pub(crate) async fn place(State(api): Api, member: Member, Key(key): Key, body: Body) -> Answered {
    let mut form = body.form();
    let games = form.games("items");
    let promo = form.optional_text("promoCode");
    let expected = form.money("expectedTotal");
    form.finish(Ok(()))?;
    let checkout = api.shop.checkout(games, promo, expected)?;
    let order = api
        .shop
        .place_order(&member.caller, &member.device, &checkout, key.as_ref())
        .await?;
    answer::data(StatusCode::CREATED, &order)
}

/// The caller's orders, newest first, without what their keys say.
#[utoipa::path(get, path = "/api/orders", tag = "orders", operation_id = "listOrders", security(("bearer" = [])), params(
    ("page" = Option<u32>, Query, minimum = 1, maximum = 100_000, description = "From 1 (default 1)"),
    ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "1–100 (default 100)")),
    responses((status = 200, body = Answer<Vec<OrderView>>), (status = 400, description = "page or limit cannot be used"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn list(member: Member, ask: Ask) -> Answered {
    answer::data(StatusCode::OK, &member.arrival.orders(slice(&ask)?).await?)
}

/// The same as `/api/orders`.
#[utoipa::path(get, path = "/api/user/orders", tag = "orders", operation_id = "listOrdersAsUser", security(("bearer" = [])), params(
    ("page" = Option<u32>, Query, minimum = 1, maximum = 100_000, description = "From 1 (default 1)"),
    ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "1–100 (default 100)")),
    responses((status = 200, body = Answer<Vec<OrderView>>), (status = 400, description = "page or limit cannot be used"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn list_as_user(member: Member, ask: Ask) -> Answered {
    list(member, ask).await
}

/// The asked part of a list.
pub(crate) fn slice(ask: &Ask) -> Result<Slice, ApiError> {
    let page = ask.number("page", 1, 1, MAX_PAGE)?;
    Ok(Slice::page(page, ask.number("limit", MAX_LIMIT, 1, MAX_LIMIT)?))
}

/// One of the caller's orders with its keys; that they were shown is put on record.
#[utoipa::path(get, path = "/api/orders/{id}", tag = "orders", operation_id = "getOrder", security(("bearer" = [])), params(("id" = Uuid, Path, description = "Identifier")),
    responses((status = 200, body = Answer<OrderView>), (status = 400, description = "id is not a UUID"),
    (status = 401, description = "Not signed in"), (status = 404, description = "There is none, or it is somebody else's")))]
pub(crate) async fn show(Path(id): Path<String>, member: Member) -> Answered {
    let order = member.arrival.order(order_id(&id)?, Seen::Api).await?;
    answer::data(StatusCode::OK, &order)
}

/// The order as it is now and whenever it changes, until it is over: server-sent events named `order` with the order as
/// data, without what its keys say. It ends with the caller's session as well.
#[utoipa::path(get, path = "/api/orders/{id}/events", tag = "orders", operation_id = "watchOrder", security(("bearer" = [])), params(("id" = Uuid, Path, description = "Identifier")),
    responses((status = 200, description = "A stream of events", body = String, content_type = "text/event-stream"), (status = 400, description = "id is not a UUID"),
    (status = 401, description = "Not signed in"), (status = 404, description = "There is none, or it is somebody else's"),
    (status = 503, description = "Too many streams; try again later")))]
pub(crate) async fn watch(Path(id): Path<String>, member: Member) -> Answered {
    let watch = member.arrival.watch_order(order_id(&id)?).await?;
    let mut response = Sse::new(events(watch))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT))
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers before they pass them on would hold the news back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn events(watch: OrderWatch) -> impl Stream<Item = Result<Event, Infallible>> {
    futures::stream::unfold(watch, |mut watch| async move {
        let order = watch.next().await?;
        // Plain structs of ours always have a JSON form.
        let event = Event::default().event("order").json_data(&order).unwrap_or_default();
        Some((Ok(event), watch))
    })
}

/// One of the caller's keys as a file; that it was shown is put on record.
#[utoipa::path(get, path = "/api/orders/{id}/keys/{keyId}/file", tag = "orders", operation_id = "getKeyFile", security(("bearer" = [])), params(
    ("id" = Uuid, Path, description = "The order"), ("keyId" = Uuid, Path, description = "The key")),
    responses((status = 200, description = "The file", content((String = "text/plain"), (Vec<u8> = "application/octet-stream"))), (status = 400, description = "An id is not a UUID"),
    (status = 401, description = "Not signed in"), (status = 404, description = "There is none, or it is somebody else's")))]
pub(crate) async fn key_file(Path((order, key)): Path<(String, String)>, member: Member) -> Answered {
    let key = KeyId(uuid_in("keyId", &key)?);
    let file = member.arrival.key_file(order_id(&order)?, key).await?;
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
    // The name is made of an id and an ending.
    if let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"{}\"", file.name)) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// A UUID in its usual form of 36 characters.
fn order_id(text: &str) -> Result<OrderId, ApiError> {
    uuid_in("id", text).map(OrderId)
}
