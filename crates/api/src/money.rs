//! Balance, transactions, top-ups, and the webhook of the payment provider.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get, post};
use http::{HeaderMap, StatusCode};
use lockstep_domain::Money;
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::TopUpId;
use lockstep_domain::purchase::{Balance, TopUpView, TransactionView};
use utoipa::{OpenApi, ToSchema};

use crate::answer::{self, Answered, Message};
use crate::body::{Body, RawBody, request_body, uuid_in};
use crate::error::ApiError;
use crate::params::{Ask, slice};
use crate::visit::{Key, SignedInUser};
use crate::{Api, ApiState};

/// Header with the payment provider's signature.
const STRIPE_SIGNATURE: &str = "stripe-signature";
/// Header with a relay's signature, in the same format.
const PAYMENT_SIGNATURE: &str = "x-payment-signature";

#[derive(OpenApi)]
#[openapi(
    tags((name = "money", description = "Balance, transactions and top-ups of the signed-in user")),
    paths(balance, transactions, top_up, top_up_status, webhook, mollie_webhook, terminal_webhook)
)]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/user/balance", get(balance)),
        ("/api/user/transactions", get(transactions)),
        ("/api/payment/balance-top-up", post(top_up)),
        ("/api/payment/top-ups/{id}", get(top_up_status)),
        ("/api/payment/webhook", post(webhook)),
        ("/api/payment/webhook/mollie", post(mollie_webhook)),
        ("/api/payment/terminal-webhook", post(terminal_webhook)),
    ]
}

request_body! {
    /// A top-up of the balance.
    struct NewTopUp {
        /// Amount in EUR, at most two decimals.
        #[schema(value_type = f64, exclusive_minimum = 0)]
        amount: Money = "amount",
        #[schema(value_type = Option<Currency>, inline, default = "EUR")]
        currency: Option<String> = "currency",
        #[schema(value_type = Option<Method>, inline, default = "card")]
        payment_method: Option<String> = "paymentMethod",
    }
}

/// What Mollie sends.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes a body that the provider's module reads")]
pub(crate) struct MollieNotice {
    /// Mollie's id of the payment that has news.
    #[schema(pattern = "^tr_[A-Za-z0-9_]+$", min_length = 4, max_length = 64)]
    id: String,
}

/// Currency of balances.
#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
enum Currency {
    Eur,
}

impl FromStr for Currency {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        if text.eq_ignore_ascii_case("EUR") {
            return Ok(Self::Eur);
        }
        Err(ApiError::refused(
            StatusCode::BAD_REQUEST,
            "currency_not_supported",
            &"Balances are kept in EUR",
        ))
    }
}

/// Payment method.
#[derive(Clone, Copy, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Method {
    Card,
    Trustly,
    Klarna,
    Apple,
}

impl Method {
    const ALL: [Self; 4] = [Self::Card, Self::Trustly, Self::Klarna, Self::Apple];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Trustly => "trustly",
            Self::Klarna => "klarna",
            Self::Apple => "apple",
        }
    }
}

impl FromStr for Method {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let known = Self::ALL.into_iter().find(|method| method.name() == text);
        known.ok_or_else(|| lockstep_shop::TopUpError::Method.into())
    }
}

/// Returns the balance of the user.
#[utoipa::path(get, path = "/api/user/balance", tag = "money", operation_id = "getBalance", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Balance>), (status = 401, description = "Not signed in")))]
pub(crate) async fn balance(member: SignedInUser) -> Answered {
    answer::data(StatusCode::OK, &member.context.balance().await?)
}

/// Returns the transactions of the user, newest first.
#[utoipa::path(get, path = "/api/user/transactions", tag = "money", operation_id = "listTransactions", security(("bearer" = [])), params(
    ("page" = Option<u32>, Query, minimum = 1, maximum = 100_000, description = "Page number, from 1 (default 1)"),
    ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Page size, 1–100 (default 100)")), responses(
    (status = 200, body = Answer<Vec<TransactionView>>), (status = 400, description = "`page` or `limit` is invalid"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn transactions(member: SignedInUser, ask: Ask) -> Answered {
    answer::data(StatusCode::OK, &member.context.transactions(slice(&ask)?).await?)
}

/// Starts a top-up of the balance.
///
/// The response contains `redirectUrl`, the payment page to which the browser is redirected.
#[utoipa::path(post, path = "/api/payment/balance-top-up", tag = "money", operation_id = "beginTopUp", security(("bearer" = [])), request_body = NewTopUp, params(
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "A repeated key with the same body returns the same top-up")), responses(
    (status = 200, body = Answer<TopUpView>), (status = 400, description = "The amount, currency or method is invalid"),
    (status = 401, description = "Not signed in"), (status = 409, description = "Too many open top-ups, or the key was used with another body"),
    (status = 429, description = "More than 30 requests per minute; retry after `Retry-After` seconds"),
    (status = 503, description = "The payment provider does not respond or is not configured")))]
pub(crate) async fn top_up(State(api): Api, member: SignedInUser, Key(key): Key, body: Body) -> Answered {
    let sent: NewTopUp = body.valid()?;
    let Currency::Eur = sent.currency.as_deref().map_or(Ok(Currency::Eur), str::parse)?;
    let method = sent.payment_method.as_deref().map_or(Ok(Method::Card), str::parse)?;
    let view = api
        .shop
        .begin_top_up(&member.caller, &member.device, sent.amount, method.name(), key.as_ref())
        .await?;
    answer::data(StatusCode::OK, &view)
}

/// Returns the status of a top-up of the user.
#[utoipa::path(get, path = "/api/payment/top-ups/{id}", tag = "money", operation_id = "getTopUp", security(("bearer" = [])), params(("id" = Uuid, Path, description = "ID of the top-up")),
    responses((status = 200, body = Answer<TopUpView>), (status = 400, description = "`id` is not a UUID"),
    (status = 401, description = "Not signed in"), (status = 404, description = "No such top-up, or it belongs to another user")))]
pub(crate) async fn top_up_status(Path(id): Path<String>, member: SignedInUser) -> Answered {
    let id = TopUpId(uuid_in("id", &id)?);
    answer::data(StatusCode::OK, &member.context.top_up(id).await?)
}

/// Receives an event of the payment provider or a report of a relay.
///
/// The provider signs with `Stripe-Signature`. A relay signs with `X-Payment-Signature`, the same scheme with its own
/// secret, and sends the report format of the existing shop. A repeated event has no effect. A signed event without
/// effect is answered with 200 and kept unchanged for review by staff.
#[utoipa::path(post, path = "/api/payment/webhook", tag = "money", operation_id = "receivePaymentEvent",
    security(("stripeSignature" = []), ("paymentSignature" = [])), request_body = Object, responses(
    (status = 200, body = Message), (status = 400, description = "Signed, but not JSON, or a relay's report that is not in the documented form"),
    (status = 401, description = "No signature, or a wrong one"), (status = 404, description = "A relay's report names an e-mail address without an account"),
    (status = 409, description = "A relay's `transactionId` was used for another payment")))]
pub(crate) async fn webhook(State(api): Api, headers: HeaderMap, RawBody(body): RawBody) -> Answered {
    let signature = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let (payments, now) = (api.shop.payments(), api.now());
    match (signature(STRIPE_SIGNATURE), signature(PAYMENT_SIGNATURE)) {
        (Some(signature), _) => payments.handle_webhook(signature, &body, now).await,
        (None, Some(signature)) => payments.take_report(signature, &body, now).await,
        (None, None) => Err(lockstep_shop::WebhookError::NotSigned),
    }?;
    answer::message(StatusCode::OK, "Taken")
}

/// Receives Mollie's notice that a payment has news.
///
/// The notice is not signed and only names the payment (`id=tr_…`): it proves nothing. The payment is fetched from Mollie, and
/// what was fetched is acted on. A payment that is not the shop's is answered with 200 and has no effect.
#[utoipa::path(post, path = "/api/payment/webhook/mollie", tag = "money", operation_id = "receiveMollieNotice",
    request_body(content = MollieNotice, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, body = Message), (status = 400, description = "It names no payment"),
    (status = 404, description = "The shop does not use Mollie"),
    (status = 503, description = "The payment cannot be fetched now; deliver again")))]
pub(crate) async fn mollie_webhook(State(api): Api, RawBody(body): RawBody) -> Answered {
    api.shop.payments().handle_hint("mollie", &body).await?;
    answer::message(StatusCode::OK, "Taken")
}

/// Answers that unsigned reports of payment terminals are not taken: `POST /api/payment/webhook` takes signed ones.
#[utoipa::path(post, path = "/api/payment/terminal-webhook", tag = "money", operation_id = "receiveTerminalEvent", responses(
    (status = 200, description = "Never", body = Message), (status = 410, description = "Unsigned reports are not taken")))]
pub(crate) async fn terminal_webhook() -> Answered {
    Err(ApiError::refused(
        StatusCode::GONE,
        "gone",
        &"Unsigned reports are not taken. Send signed ones to /api/payment/webhook.",
    ))
}
