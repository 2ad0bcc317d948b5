//! Stripe: Checkout Sessions created by form post, signed events, and sessions queried by id
//! (docs.stripe.com/api/checkout/sessions, docs.stripe.com/webhooks).

mod cards;

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_core::future::BoxFuture;
use lockstep_domain::ids::TopUpId;
use lockstep_domain::json::mended;
use lockstep_domain::{Money, Secret};
use lockstep_store::cards::inbox::{ObjectEvent, ObjectKind};
use lockstep_store::deliveries::{Reason, Source, Unused};
use lockstep_store::top_ups::{PaymentEvent, ProviderPaymentStatus, TopUp, Which};
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::http::{self, Answer, ClientError, cancelled, is_name};
use crate::provider::{CardProvider, CheckoutSession, Delivered, DeliveryError, Provider, ProviderError, Refusal};
use crate::signature::verify;

/// Stripe's name in the database.
pub const STRIPE: &str = "stripe";
/// The name of the built-in sandbox of Stripe in the database: its payments are none of the real Stripe's.
pub const STRIPE_SANDBOX: &str = "stripe-sandbox";
/// The API version that this client uses, independent of the account's default.
const VERSION: &str = "2026-10-28.endive";
/// Codes by which Stripe refuses to make a refund, for good. They answer the making of a refund alone.
const NEVER_MADE: [&str; 3] = ["charge_already_refunded", "charge_disputed", "amount_too_large"];
/// Lifetime of a session; Stripe allows 30 minutes to 24 hours.
const LIFETIME: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// Configuration of Stripe.
#[derive(Debug, Clone)]
pub struct StripeConfig {
    /// Its name in the database: [`STRIPE`] or [`STRIPE_SANDBOX`].
    pub name: &'static str,
    /// Base URL, `https://api.stripe.com`, without a path.
    pub api_url: String,
    /// `sk_…`, or a restricted key with the permissions in `docs/payments.md`.
    pub secret_key: Secret,
    /// `whsec_…`; several during a rotation.
    pub webhook_secrets: Vec<Secret>,
    /// Product name on the payment page.
    pub product: String,
    /// Return URL of the browser; `{id}` is replaced by the top-up's id.
    pub return_url: String,
    /// Time limit of a request.
    pub timeout: Duration,
}

/// The Stripe provider.
pub struct Stripe {
    config: StripeConfig,
    http: reqwest::Client,
}

impl std::fmt::Debug for Stripe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stripe")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Stripe {
    /// Creates the client; sends nothing yet.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn new(config: StripeConfig) -> Result<Self, ClientError> {
        let http = http::client(config.timeout)?;
        Ok(Self { config, http })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.config.api_url.trim_end_matches('/'))
    }

    async fn create_session(&self, top_up: &TopUp) -> Result<CheckoutSession, ProviderError> {
        let id = top_up.id.to_string();
        let come_back = self.config.return_url.replace("{id}", &id);
        let mut form = vec![
            ("mode", "payment".to_owned()),
            ("client_reference_id", id.clone()),
            ("metadata[top_up]", id.clone()),
            ("payment_intent_data[metadata][top_up]", id.clone()),
            ("line_items[0][quantity]", "1".to_owned()),
            ("line_items[0][price_data][currency]", "eur".to_owned()),
            (
                "line_items[0][price_data][unit_amount]",
                top_up.amount.cents().to_string(),
            ),
            (
                "line_items[0][price_data][product_data][name]",
                self.config.product.clone(),
            ),
            ("expires_at", (top_up.created_at + LIFETIME).timestamp().to_string()),
            ("cancel_url", cancelled(&come_back)),
            ("success_url", come_back),
        ];
        if top_up.authenticate {
            // Fixed with the top-up, because a repeated request has to have the same parameters.
            form.push(("payment_method_options[card][request_three_d_secure]", "any".to_owned()));
        }
        let request = self
            .http
            .post(self.url("/v1/checkout/sessions"))
            // The same top-up always gets the same session.
            .header("Idempotency-Key", format!("top-up-{id}"))
            .form(&form);
        let session: Session = self.send("create_session", request).await?;
        let url = session
            .url
            .filter(|url| url.starts_with("https://") || url.starts_with("http://"))
            .ok_or_else(|| ProviderError::Unreadable("a session without an address".into()))?;
        Ok(CheckoutSession {
            reference: session.id,
            url,
        })
    }

    /// Sends a request in a span named `stripe.{call}`, which Stripe is told of.
    async fn send<T: DeserializeOwned>(
        &self,
        call: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ProviderError> {
        Ok(self.send_noting(call, request).await?.0)
    }

    /// The same, and whether the answer is a repeated one of an earlier request with this idempotency key, so of then.
    async fn send_noting<T: DeserializeOwned>(
        &self,
        call: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<(T, bool), ProviderError> {
        let request = request
            .bearer_auth(self.config.secret_key.expose())
            .header("Stripe-Version", VERSION);
        http::send(format!("stripe.{call}"), request, read_answer).await
    }

    fn session_url(&self, reference: &str) -> Result<String, ProviderError> {
        if !is_name(reference) {
            return Err(ProviderError::Unreadable("a reference that cannot be one".into()));
        }
        Ok(self.url(&format!("/v1/checkout/sessions/{reference}")))
    }

    async fn ask(&self, call: &str, request: reqwest::RequestBuilder) -> Result<ProviderPaymentStatus, ProviderError> {
        self.send::<Session>(call, request)
            .await?
            .word()
            .ok_or_else(|| ProviderError::Unreadable("an unknown state of a session".into()))
    }
}

/// The object of an answer, and whether it is a repeated one.
fn read_answer<T: DeserializeOwned>(answer: &Answer) -> Result<(T, bool), ProviderError> {
    let status = answer.status;
    if status.is_success() {
        let is_repeated = (answer.headers.get("idempotent-replayed")).is_some_and(|value| value == "true");
        return Ok((answer.object()?, is_repeated));
    }
    let failure = serde_json::from_slice::<Failure>(&answer.body).map(|failure| failure.error);
    let words = failure.as_ref().map_or_else(|_| String::new(), FailureBody::words);
    let code = failure.as_ref().ok().and_then(|failure| failure.code.clone());
    let told = format!("{status} {words}");
    // docs.stripe.com/error-low-level: a request rejected before it was processed may be repeated under the same
    // key, and so may one without a response; a 5xx response leaves the effect unknown.
    Err(match status {
        StatusCode::CONFLICT => ProviderError::InProgress(told),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ProviderError::Denied(told),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => ProviderError::Unavailable(told),
        // The same key with other parameters: the settings have changed since, and an earlier request may have had
        // an effect.
        _ if failure.is_ok_and(|failure| failure.kind.as_deref() == Some("idempotency_error")) => {
            ProviderError::Unreadable(told)
        }
        status if status.is_client_error() => ProviderError::Refused(Refusal {
            words: told,
            is_missing: status == StatusCode::NOT_FOUND && code.as_deref() == Some("resource_missing"),
            ends_refund: code.as_deref().is_some_and(|code| NEVER_MADE.contains(&code)),
        }),
        _ => ProviderError::Unavailable(told),
    })
}

impl Provider for Stripe {
    fn name(&self) -> &'static str {
        self.config.name
    }

    fn create_checkout<'p>(&'p self, top_up: &'p TopUp) -> BoxFuture<'p, Result<CheckoutSession, ProviderError>> {
        Box::pin(self.create_session(top_up))
    }

    fn look_up<'p>(
        &'p self,
        _top_up: &'p TopUp,
        reference: &'p str,
    ) -> BoxFuture<'p, Result<ProviderPaymentStatus, ProviderError>> {
        Box::pin(async move {
            let request = self.http.get(self.session_url(reference)?);
            self.ask("read_session", request).await
        })
    }

    fn reach(&self) -> BoxFuture<'_, Result<(), ProviderError>> {
        Box::pin(async move {
            // No such session exists; a response that says so proves that the credentials were accepted.
            match self
                .send::<Session>("reach", self.http.get(self.session_url("cs_none")?))
                .await
            {
                Ok(_) | Err(ProviderError::Refused(_)) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn close<'p>(
        &'p self,
        top_up: &'p TopUp,
        reference: &'p str,
    ) -> BoxFuture<'p, Result<ProviderPaymentStatus, ProviderError>> {
        Box::pin(async move {
            let request = self.http.post(format!("{}/expire", self.session_url(reference)?));
            match self.ask("expire_session", request).await {
                // Only an open session can be expired: this one already has its final status.
                Err(ProviderError::Refused(_)) => self.look_up(top_up, reference).await,
                answer => answer,
            }
        })
    }

    fn read(&self, signature: &str, body: &[u8], now: DateTime<Utc>) -> Result<Delivered, DeliveryError> {
        verify(signature, body, &self.config.webhook_secrets, now)?;
        read_event(self.config.name, body)
    }

    fn cards(&self) -> Option<&dyn CardProvider> {
        Some(self)
    }
}

/// Parses an event in Stripe's format whose signature was verified.
pub(crate) fn read_event(provider: &'static str, body: &[u8]) -> Result<Delivered, DeliveryError> {
    let text = std::str::from_utf8(body).map_err(|_| DeliveryError::Unreadable)?;
    // An invalid escape in a customer's name must not hide a payment.
    let Ok(event) = serde_json::from_str::<Value>(&mended(text)) else {
        // Valid JSON that cannot be represented (out-of-range numbers, a thousand levels of nesting).
        let is_object = serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().starts_with('{'));
        return if is_object {
            Ok(unused(
                Reason::NotReadable,
                "it holds what cannot be read",
                &Value::Null,
            ))
        } else {
            Err(DeliveryError::Unreadable)
        };
    };
    if !event.is_object() {
        return Err(DeliveryError::Unreadable);
    }
    let named = |field: &str, most: usize| {
        let text = event.get(field).and_then(Value::as_str);
        text.filter(|text| (1..=most).contains(&text.len())).map(str::to_owned)
    };
    let (Some(name), Some(kind)) = (named("id", 300), named("type", 100)) else {
        return Ok(unused(Reason::NotReadable, "id or type is missing or too long", &event));
    };
    if let Some(object) = object_of(&kind) {
        let named = |field: &str, most: usize| {
            let text = event.pointer(&format!("/data/object/{field}")).and_then(Value::as_str);
            text.filter(|text| (1..=most).contains(&text.len())).map(str::to_owned)
        };
        let Some(reference) = named("id", 100).filter(|id| is_name(id)) else {
            return Ok(unused(Reason::NotReadable, "data.object has no id", &event));
        };
        return Ok(Delivered::ObjectEvent(ObjectEvent {
            event: name,
            kind,
            object,
            reference,
            status: named("status", 100),
        }));
    }
    // This also covers events of the second version (`v2.…`), which only reference their object.
    if !SESSION_EVENTS.contains(&kind.as_str()) {
        return Ok(unused(Reason::KindNotHandled, "", &event));
    }
    let object = event.pointer("/data/object").cloned().unwrap_or_default();
    let session: Session = match serde_json::from_value(object) {
        Ok(session) => session,
        Err(_) => return Ok(unused(Reason::NotReadable, "data.object is not a session", &event)),
    };
    // Our own id comes back in the metadata, which only the shop can set. (A customer can put any text into the
    // `client_reference_id` of a payment link of the same account.) Sessions of other programs have none, and the
    // lookup by Stripe's id finds nothing.
    let id = session
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.top_up.as_ref()?.parse::<TopUpId>().ok());
    let said = session.word();
    // A kind of session that we never create, made by another program on the same account, for example to save a card.
    if id.is_none() && said.is_none() {
        return Ok(unused(Reason::NotOurs, &format!("session {}", session.id), &event));
    }
    let word = match (kind.as_str(), said) {
        ("checkout.session.async_payment_failed", _) => ProviderPaymentStatus::Declined,
        ("checkout.session.expired", _) => ProviderPaymentStatus::Lapsed,
        (_, Some(word)) => word,
        (_, None) => {
            let about = id.map_or_else(|| session.id.clone(), |id| format!("top-up {id}"));
            let (reason, words) = match session.payment_status.as_deref() {
                Some("no_payment_required") => (Reason::NoPaymentRequired, "ended without a payment"),
                _ => (Reason::NotReadable, "amount, currency or status cannot be read"),
            };
            return Ok(unused(reason, &format!("{about}: {words}"), &event));
        }
    };
    let which = match id {
        Some(id) => Which::Named {
            id,
            reference: session.id,
        },
        None => Which::Reference(session.id),
    };
    Ok(Delivered::PaymentEvent(PaymentEvent {
        provider,
        event: Some(name),
        kind,
        which,
        word,
    }))
}

/// The event types about sessions that concern a payment.
const SESSION_EVENTS: [&str; 4] = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
];

/// What an event is about whose object is read before anything is done.
fn object_of(kind: &str) -> Option<ObjectKind> {
    match kind {
        "charge.dispute.created"
        | "charge.dispute.updated"
        | "charge.dispute.closed"
        | "charge.dispute.funds_withdrawn"
        | "charge.dispute.funds_reinstated" => Some(ObjectKind::Dispute),
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => Some(ObjectKind::Refund),
        "charge.refunded" => Some(ObjectKind::Charge),
        "radar.early_fraud_warning.created" | "radar.early_fraud_warning.updated" => Some(ObjectKind::Warning),
        _ => None,
    }
}

fn unused(reason: Reason, detail: &str, event: &Value) -> Delivered {
    let text = |field: &str| event.get(field).and_then(Value::as_str).map(str::to_owned);
    Delivered::Unused(Unused {
        source: Source::Payments,
        reason,
        detail: (!detail.is_empty()).then(|| detail.to_owned()),
        event_id: text("id"),
        kind: text("type"),
    })
}

/// The relevant fields of a Checkout Session.
#[derive(Deserialize)]
struct Session {
    id: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
    /// `open`, `complete`, `expired`.
    #[serde(default)]
    status: Option<String>,
    /// `paid`, `unpaid`, `no_payment_required`.
    #[serde(default)]
    payment_status: Option<String>,
    /// Amount in the currency's smallest unit.
    #[serde(default)]
    amount_total: Option<i64>,
    #[serde(default)]
    currency: Option<String>,
    /// Only in the old form of adaptive pricing (sessions made before 2025-03-31): `amount_total` and `currency` are
    /// then in the customer's currency, and the requested amount is here.
    #[serde(default)]
    currency_conversion: Option<Conversion>,
}

/// Amount of a session in the currency that it was created with.
#[derive(Deserialize)]
struct Conversion {
    amount_total: i64,
    source_currency: String,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    top_up: Option<String>,
}

impl Session {
    /// `None` when Stripe reports an undocumented status.
    fn word(&self) -> Option<ProviderPaymentStatus> {
        match (self.status.as_deref(), self.payment_status.as_deref()) {
            (_, Some("paid")) => {
                let (cents, currency) = match &self.currency_conversion {
                    Some(asked) => (asked.amount_total, asked.source_currency.as_str()),
                    None => (self.amount_total?, self.currency.as_deref()?),
                };
                Some(ProviderPaymentStatus::Paid {
                    amount: Money::from_cents(cents).ok()?,
                    currency: currency.to_uppercase(),
                })
            }
            (Some("expired"), _) => Some(ProviderPaymentStatus::Lapsed),
            (Some("complete"), Some("unpaid")) => Some(ProviderPaymentStatus::Processing),
            (Some("open"), Some("unpaid")) => Some(ProviderPaymentStatus::Open),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Failure {
    error: FailureBody,
}

#[derive(Deserialize)]
struct FailureBody {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    code: Option<String>,
}

impl FailureBody {
    /// Type and code; the message may repeat what was sent.
    fn words(&self) -> String {
        [self.kind.as_deref(), self.code.as_deref()]
            .into_iter()
            .flatten()
            .map(|word| word.chars().filter(char::is_ascii_graphic).take(60).collect::<String>())
            .collect::<Vec<_>>()
            .join(" ")
    }
}
