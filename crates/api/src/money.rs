//! One's balance and bookings, topping up, and the payment provider's webhook.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get, post};
use chrono::Utc;
use http::{HeaderMap, StatusCode};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::TopUpId;
use lockstep_domain::purchase::{Balance, TopUpView, TransactionView};
use utoipa::{OpenApi, ToSchema};

use crate::answer::{self, Answered, Message};
use crate::body::{Body, RawBody, uuid_in};
use crate::error::ApiError;
use crate::orders::slice;
use crate::params::Ask;
use crate::visit::{Key, Member};
use crate::{Api, ApiState};

/// What the provider signs its deliveries with.
const STRIPE_SIGNATURE: &str = "stripe-signature";
/// What a relay signs its reports with, in the same form.
const PAYMENT_SIGNATURE: &str = "x-payment-signature";

#[derive(OpenApi)]
#[openapi(
    tags((name = "money", description = "One's own balance")),
    paths(balance, transactions, top_up, top_up_status, webhook)
)]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/user/balance", get(balance)),
        ("/api/user/transactions", get(transactions)),
        ("/api/payment/balance-top-up", post(top_up)),
        ("/api/payment/top-ups/{id}", get(top_up_status)),
        ("/api/payment/webhook", post(webhook)),
    ]
}

/// What to top up.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct NewTopUp {
    /// Euro, at most two decimals.
    #[schema(exclusive_minimum = 0)]
    amount: f64,
    #[schema(inline, default = "EUR")]
    currency: Option<Currency>,
    #[schema(inline, default = "card")]
    payment_method: Option<Method>,
}

/// Of balances.
#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
#[expect(dead_code, reason = "describes what `Body` reads")]
enum Currency {
    Eur,
}

/// How to pay.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what `Body` reads")]
enum Method {
    Card,
    Trustly,
    Klarna,
    Apple,
}

/// What the caller has to spend.
#[utoipa::path(get, path = "/api/user/balance", tag = "money", operation_id = "getBalance", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Balance>), (status = 401, description = "Not signed in")))]
pub(crate) async fn balance(member: Member) -> Answered {
    answer::data(StatusCode::OK, &member.arrival.balance().await?)
}

/// The caller's bookings, newest first.
#[utoipa::path(get, path = "/api/user/transactions", tag = "money", operation_id = "listTransactions", security(("bearer" = [])), params(
    ("page" = Option<u32>, Query, minimum = 1, maximum = 100_000, description = "From 1 (default 1)"),
    ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "1–100 (default 100)")), responses(
    (status = 200, body = Answer<Vec<TransactionView>>), (status = 400, description = "page or limit cannot be used"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn transactions(member: Member, ask: Ask) -> Answered {
    answer::data(StatusCode::OK, &member.arrival.transactions(slice(&ask)?).await?)
}

/// Begins to top up the balance; the browser goes on to `redirectUrl`.
#[utoipa::path(post, path = "/api/payment/balance-top-up", tag = "money", operation_id = "beginTopUp", security(("bearer" = [])), request_body = NewTopUp, params(
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "The same key and body is the same top-up")), responses(
    (status = 200, body = Answer<TopUpView>), (status = 400, description = "The amount, currency or method cannot be used"),
    (status = 401, description = "Not signed in"), (status = 409, description = "Too many are open, or the key was used for another"),
    (status = 429, description = "More than thirty a minute; `Retry-After` says when again"),
    (status = 503, description = "The payment provider does not answer, or there is none")))]
pub(crate) async fn top_up(State(api): Api, member: Member, Key(key): Key, body: Body) -> Answered {
    let mut form = body.form();
    let amount = form.required_money("amount");
    let currency = form.optional_text("currency").unwrap_or("EUR");
    let method = form.optional_text("paymentMethod").unwrap_or("card");
    form.finish(Ok(()))?;
    if !currency.eq_ignore_ascii_case("EUR") {
        return Err(ApiError::refused(
            StatusCode::BAD_REQUEST,
            "currency_not_supported",
            &"Balances are kept in EUR",
        ));
    }
    let view = api
        .shop
        .begin_top_up(&member.caller, amount, method, key.as_ref())
        .await?;
    answer::data(StatusCode::OK, &view)
}

/// How one of the caller's top-ups stands.
#[utoipa::path(get, path = "/api/payment/top-ups/{id}", tag = "money", operation_id = "getTopUp", security(("bearer" = [])), params(("id" = Uuid, Path, description = "Identifier")),
    responses((status = 200, body = Answer<TopUpView>), (status = 400, description = "id is not a UUID"),
    (status = 401, description = "Not signed in"), (status = 404, description = "There is none, or it is somebody else's")))]
pub(crate) async fn top_up_status(Path(id): Path<String>, member: Member) -> Answered {
    let id = TopUpId(uuid_in("id", &id)?);
    answer::data(StatusCode::OK, &member.arrival.top_up(id).await?)
}

/// Takes what the payment provider says (`Stripe-Signature`), or a relay in the old store's form
/// (`X-Payment-Signature`, the same scheme with its own secret). What was taken before has no effect. A
/// signed event that has none is answered with 200 and kept for staff, as it came.
#[utoipa::path(post, path = "/api/payment/webhook", tag = "money", operation_id = "receivePaymentEvent",
    security(("stripeSignature" = []), ("paymentSignature" = [])), request_body = Object, responses(
    (status = 200, body = Message), (status = 400, description = "Signed, and not JSON, or a relay's report that is not in the documented form"),
    (status = 401, description = "Not signed, or not by whom it has to be"), (status = 404, description = "A relay's payment for an address without an account"),
    (status = 409, description = "A relay's transactionId was used for another payment")))]
pub(crate) async fn webhook(State(api): Api, headers: HeaderMap, RawBody(body): RawBody) -> Answered {
    let signature = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let (payments, now) = (api.shop.payments(), Utc::now());
    match (signature(STRIPE_SIGNATURE), signature(PAYMENT_SIGNATURE)) {
        (Some(signature), _) => payments.take_event(signature, &body, now).await,
        (None, Some(signature)) => payments.take_report(signature, &body, now).await,
        (None, None) => Err(lockstep_shop::WebhookError::NotSigned),
    }?;
    answer::message(StatusCode::OK, "Taken")
}
