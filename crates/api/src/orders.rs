//! `/api/orders…`: placing orders, reading them, and watching an order until its keys are delivered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use futures::Stream;
use http::StatusCode;
use http::header::{self, HeaderValue};
use lockstep_auth::ClientInfo;
use lockstep_domain::Money;
use lockstep_domain::catalogue::Answer;
use lockstep_domain::consent::{AgreedWording, Consent};
use lockstep_domain::ids::{KeyId, OrderId, TopUpId};
use lockstep_domain::pending_checkout::CheckoutView;
use lockstep_domain::purchase::OrderView;
use lockstep_shop::{CheckoutWish, OrderWatch, Seen, Shop};
use utoipa::OpenApi;

use crate::answer::{self, Answered};
use crate::body::{Body, NewOrderItem, request_body, uuid_in};
use crate::error::ApiError;
use crate::money::Method;
use crate::params::{Ask, slice};
use crate::visit::{Key, SignedInUser};
use crate::{Api, ApiState};

/// Interval of keep-alive comments; proxies cut idle streams after longer.
const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(OpenApi)]
#[openapi(
    tags((name = "orders", description = "Orders of the signed-in user and their keys")),
    paths(place, pay_directly, checkout, list, show, consent, watch, key_file, list_as_user)
)]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/orders", get(list).post(place)),
        ("/api/checkout", post(pay_directly)),
        ("/api/checkout/{id}", get(checkout)),
        ("/api/orders/{id}", get(show)),
        ("/api/orders/{id}/consent", post(consent)),
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
        /// Version of the wording (`GET /api/consent`) that the user agreed to: the keys are delivered at once. Without it they
        /// may wait for it (`needsConsent` of the order).
        #[schema(max_length = 40)]
        consent: Option<String> = "consent",
        /// Language in which the wording was shown, ISO 639-1; by default `en`.
        #[schema(max_length = 10)]
        consent_language: Option<String> = "consentLanguage",
    }
}

/// What the user has agreed to.
fn agreed(version: &str, language: Option<&str>, device: &ClientInfo) -> Result<AgreedWording, ApiError> {
    Shop::agreed(version, language.unwrap_or("en"), device).ok_or_else(|| {
        ApiError::refused(
            StatusCode::BAD_REQUEST,
            "unknown_consent_wording",
            &"There is no such wording in this language. GET /api/consent returns the current one.",
        )
    })
}

/// Places an order at current prices and pays it from the balance.
///
/// Either the whole order is placed and paid, or nothing changes.
#[utoipa::path(post, path = "/api/orders", tag = "orders", operation_id = "placeOrder", security(("bearer" = [])), request_body = NewOrder, params(
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "A repeated key with the same body returns the same order; with another body it is refused (409)")),
    responses((status = 201, body = Answer<OrderView>),
    (status = 400, description = "Invalid fields, `empty_order`, `quantity_not_positive`, `out_of_stock`, `invalid_promo_code`, `insufficient_balance`, `unknown_consent_wording`, or the order is too large"),
    (status = 401, description = "Not signed in"), (status = 404, description = "There is no such game"),
    (status = 409, description = "`price_risen`, with the new price in `details.total`; or `idempotency_key_reused`"),
    (status = 429, description = "More than 30 requests per minute; retry after `Retry-After` seconds")))]
pub(crate) async fn place(State(api): Api, member: SignedInUser, Key(key): Key, body: Body) -> Answered {
    let sent: NewOrder = body.valid()?;
    let games = sent.items.iter().map(|item| (item.game_id, item.quantity));
    let mut checkout = api
        .shop
        .checkout(games, sent.promo_code.as_deref(), sent.expected_total)?;
    if let Some(version) = &sent.consent {
        let wording = agreed(version, sent.consent_language.as_deref(), &member.device)?;
        checkout = checkout.with_consent(Some(Consent::Shopper(wording)));
    }
    let order = api
        .shop
        .place_order(&member.caller, &member.device, &checkout, key.as_ref())
        .await?;
    answer::data(StatusCode::CREATED, &order)
}

request_body! {
    /// An order to place and pay directly.
    struct NewCheckout {
        /// Games to order. Repeated games are merged into one item with the sum of their quantities.
        items: Vec<NewOrderItem> = "items",
        promo_code: Option<String> = "promoCode",
        /// Total that the client showed to the user, in EUR. If the price has risen since, nothing is ordered (409).
        #[schema(value_type = Option<f64>)]
        expected_total: Option<Money> = "expectedTotal",
        /// Version of the wording (`GET /api/consent`) that the user agreed to, as for `POST /api/orders`.
        #[schema(max_length = 40)]
        consent: Option<String> = "consent",
        /// Language in which the wording was shown, ISO 639-1; by default `en`.
        #[schema(max_length = 10)]
        consent_language: Option<String> = "consentLanguage",
        #[schema(value_type = Option<Method>, inline, default = "card")]
        payment_method: Option<String> = "paymentMethod",
        /// Highest payment that the client showed to the user, in EUR: what the balance lacks. If more is missing, nothing is
        /// ordered (400 `insufficient_balance`).
        #[schema(value_type = Option<f64>)]
        expected_payment: Option<Money> = "expectedPayment",
    }
}

/// Places an order, or begins the payment of what the balance lacks for it.
///
/// With `status` `PLACED` the balance has paid, and `orderId` is the order. With `WAITING` the browser is redirected to
/// `redirectUrl`; once the payment has come, the order is placed by itself, for at most the total that was shown. Otherwise the
/// money is on the balance, and `GET /api/checkout/{id}` says why.
#[utoipa::path(post, path = "/api/checkout", tag = "orders", operation_id = "beginCheckout", security(("bearer" = [])), request_body = NewCheckout, params(
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "A repeated key with the same body returns the same checkout; with another body it is refused (409)")),
    responses((status = 200, body = Answer<CheckoutView>),
    (status = 400, description = "Those of `POST /api/orders`, `amount_out_of_range`, `unknown_payment_method`"),
    (status = 401, description = "Not signed in"), (status = 404, description = "There is no such game"),
    (status = 409, description = "`price_risen`, with the new price in `details.total`; `too_many_open_payments`, `top_up_limited`, or `idempotency_key_reused`"),
    (status = 429, description = "More than 30 requests per minute; retry after `Retry-After` seconds"),
    (status = 503, description = "The payment provider does not respond or is not configured")))]
pub(crate) async fn pay_directly(State(api): Api, member: SignedInUser, Key(key): Key, body: Body) -> Answered {
    let sent: NewCheckout = body.valid()?;
    let method = sent.payment_method.as_deref().map_or(Ok(Method::Card), str::parse)?;
    let games = sent.items.iter().map(|item| (item.game_id, item.quantity));
    let mut checkout = api
        .shop
        .checkout(games, sent.promo_code.as_deref(), sent.expected_total)?;
    if let Some(version) = &sent.consent {
        let wording = agreed(version, sent.consent_language.as_deref(), &member.device)?;
        checkout = checkout.with_consent(Some(Consent::Shopper(wording)));
    }
    let wish = CheckoutWish {
        method: method.name(),
        agreed: sent.expected_payment,
        after: None,
        key: key.as_ref(),
    };
    let view = api
        .shop
        .begin_checkout(&member.caller, &member.device, &checkout, wish)
        .await?;
    answer::data(StatusCode::OK, &view)
}

/// Returns what has become of a checkout of the user.
#[utoipa::path(get, path = "/api/checkout/{id}", tag = "orders", operation_id = "getCheckout", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the checkout, which is that of its top-up")),
    responses((status = 200, body = Answer<CheckoutView>), (status = 400, description = "`id` is not a UUID"),
    (status = 401, description = "Not signed in"), (status = 404, description = "No such checkout, or it belongs to another user")))]
pub(crate) async fn checkout(Path(id): Path<String>, member: SignedInUser) -> Answered {
    let id = TopUpId(uuid_in("id", &id)?);
    answer::data(StatusCode::OK, &member.context.pending_checkout(id).await?)
}

/// Returns the orders of the user, newest first, with their keys.
///
/// Each access to a key is recorded; those within a minute count as one.
#[utoipa::path(get, path = "/api/orders", tag = "orders", operation_id = "listOrders", security(("bearer" = [])), params(
    ("page" = Option<u32>, Query, minimum = 1, maximum = 100_000, description = "Page number, from 1 (default 1)"),
    ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Page size, 1–100 (default 100)")),
    responses((status = 200, body = Answer<Vec<OrderView>>), (status = 400, description = "`page` or `limit` is invalid"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn list(member: SignedInUser, ask: Ask) -> Answered {
    answer::data(
        StatusCode::OK,
        &member.context.orders_with_keys(slice(&ask)?, Seen::Api).await?,
    )
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

request_body! {
    /// Consent to deliver the keys of an order at once.
    struct OrderConsent {
        /// Version of the wording (`GET /api/consent`).
        #[schema(min_length = 1, max_length = 40)]
        consent: String = "consent",
        /// Language in which the wording was shown, ISO 639-1; by default `en`.
        #[schema(max_length = 10)]
        consent_language: Option<String> = "consentLanguage",
    }
}

/// Records the user's consent to deliver the keys of an order at once, and returns the order with its keys.
///
/// The consent is confirmed by e-mail. An order that has one keeps it.
#[utoipa::path(post, path = "/api/orders/{id}/consent", tag = "orders", operation_id = "consentToDelivery", security(("bearer" = [])), request_body = OrderConsent,
    params(("id" = Uuid, Path, description = "ID of the order")),
    responses((status = 200, body = Answer<OrderView>), (status = 400, description = "`id` is not a UUID, or `unknown_consent_wording`"),
    (status = 401, description = "Not signed in"), (status = 404, description = "No such order, or it belongs to another user"),
    (status = 429, description = "More than 30 requests per minute; retry after `Retry-After` seconds")))]
pub(crate) async fn consent(State(api): Api, Path(id): Path<String>, member: SignedInUser, body: Body) -> Answered {
    let id = order_id(&id)?;
    let sent: OrderConsent = body.valid()?;
    let wording = agreed(&sent.consent, sent.consent_language.as_deref(), &member.device)?;
    api.shop.consent(&member.caller, id, &wording).await?;
    answer::data(StatusCode::OK, &member.context.order(id, Seen::Api).await?)
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
    (status = 401, description = "Not signed in"), (status = 404, description = "No such key, or it belongs to another user"),
    (status = 409, description = "`consent_needed`: the keys wait for the user's consent")))]
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
