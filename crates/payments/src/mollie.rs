//! Mollie: payments of its API v2 in JSON, created under an idempotency key, fetched by id
//! (docs.mollie.com/reference/payments-api). Its webhooks are not signed and only name a payment.

mod cards;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_core::future::BoxFuture;
use lockstep_clock::Clock;
use lockstep_domain::ids::TopUpId;
use lockstep_domain::{Money, Secret};
use lockstep_store::top_ups::{ProviderPaymentStatus, TopUp};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::http::{self, Answer, ClientError, cancelled, is_name};
use crate::provider::{
    CardProvider, CheckoutSession, Delivered, DeliveryError, FetchedPayment, HintProvider, Provider, ProviderError,
    Refusal,
};
use crate::signature::NotSigned;

/// Mollie's name in the database.
pub const MOLLIE: &str = "mollie";
/// How long a repeated request certainly makes nothing new: Mollie keeps idempotency keys for an hour.
const KEY_LIFE: TimeDelta = TimeDelta::minutes(50);
/// Difference between the clocks here and at Mollie.
const SKEW: TimeDelta = TimeDelta::minutes(10);
/// Objects in one part of a list; Mollie's maximum.
const PART: &str = "250";
/// The most parts of a list in which one payment is searched.
const MOST_PARTS: usize = 40;

/// Configuration of Mollie.
#[derive(Debug, Clone)]
pub struct MollieConfig {
    /// Base URL, `https://api.mollie.com`, without a path.
    pub api_url: String,
    /// `live_…` or `test_…`.
    pub api_key: Secret,
    /// Where Mollie reports news of a payment; `None` if it cannot reach the shop, which then asks.
    pub webhook_url: Option<String>,
    /// Text on the payment page and on the shopper's statement.
    pub description: String,
    /// Return URL of the browser; `{id}` is replaced by the top-up's id.
    pub return_url: String,
    /// Time limit of a request.
    pub timeout: Duration,
    /// The time of day.
    pub clock: Clock,
}

/// The Mollie provider.
pub struct Mollie {
    config: MollieConfig,
    http: reqwest::Client,
}

impl std::fmt::Debug for Mollie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mollie")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Mollie {
    /// Creates the client; sends nothing yet.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn new(config: MollieConfig) -> Result<Self, ClientError> {
        let http = http::client(config.timeout)?;
        Ok(Self { config, http })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v2/{path}", self.config.api_url.trim_end_matches('/'))
    }

    /// Sends a request in a span named `mollie.{call}`.
    async fn send<T: DeserializeOwned>(
        &self,
        call: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ProviderError> {
        self.send_reading(call, request, false).await
    }

    /// The same; `is_refund`: the request makes a refund.
    async fn send_reading<T: DeserializeOwned>(
        &self,
        call: &str,
        request: reqwest::RequestBuilder,
        is_refund: bool,
    ) -> Result<T, ProviderError> {
        let request = request.bearer_auth(self.config.api_key.expose());
        http::send(format!("mollie.{call}"), request, |answer| {
            if answer.status.is_success() {
                answer.object()
            } else {
                Err(failure(answer, is_refund))
            }
        })
        .await
    }

    /// Reads a payment by its id.
    async fn payment(&self, id: &str) -> Result<Payment, ProviderError> {
        if !is_payment(id) {
            return Err(unreadable("a reference that cannot be one"));
        }
        self.send("read_payment", self.http.get(self.url(&format!("payments/{id}"))))
            .await
    }

    /// A part of a list, which begins at the object `from`.
    async fn part<L: DeserializeOwned>(
        &self,
        call: &str,
        path: &str,
        from: Option<&str>,
    ) -> Result<List<L>, ProviderError> {
        let mut query = vec![("limit", PART)];
        query.extend(from.map(|from| ("from", from)));
        self.send(call, self.http.get(self.url(path)).query(&query)).await
    }

    async fn create_payment(&self, top_up: &TopUp) -> Result<CheckoutSession, ProviderError> {
        let id = top_up.id.to_string();
        let come_back = self.config.return_url.replace("{id}", &id);
        let known = if self.config.clock.now() - top_up.created_at > KEY_LIFE {
            // The key is forgotten, and the same request would make a second payment.
            self.search(top_up).await?.ok_or_else(|| {
                ProviderError::Refused(Refusal {
                    words: "no payment was made within the hour".into(),
                    is_missing: false,
                    ends_refund: false,
                })
            })?
        } else {
            let mut body = json!({
                "amount": {"currency": "EUR", "value": top_up.amount.to_string()},
                "description": self.config.description,
                "redirectUrl": come_back,
                "cancelUrl": cancelled(&come_back),
                "metadata": {"top_up": id},
            });
            if let Some(webhook_url) = &self.config.webhook_url {
                body["webhookUrl"] = json!(webhook_url);
            }
            let request = self
                .http
                .post(self.url("payments"))
                .header("Idempotency-Key", format!("top-up-{id}"))
                .json(&body);
            self.send("create_payment", request).await?
        };
        if known.top_up() != Some(top_up.id) || !is_payment(&known.id) {
            return Err(unreadable("a payment of another top-up"));
        }
        // One that was paid meanwhile has no page any more; the next query learns of it.
        let url = known.links.checkout.map_or(come_back, |page| page.href);
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(unreadable("a payment without an address"));
        }
        Ok(CheckoutSession {
            reference: known.id,
            url,
        })
    }

    /// Searches the payment of a top-up, whose response was lost, among those made since.
    async fn search(&self, top_up: &TopUp) -> Result<Option<Payment>, ProviderError> {
        let mut from: Option<String> = None;
        for _ in 0..MOST_PARTS {
            let part: List<Payments> = self.part("search_payment", "payments", from.as_deref()).await?;
            let next = part.next();
            let payments = part.embedded.payments;
            let is_past = payments
                .last()
                .is_none_or(|last| last.created_at < top_up.created_at - SKEW);
            if let Some(found) = payments.into_iter().find(|payment| payment.top_up() == Some(top_up.id)) {
                return Ok(Some(found));
            }
            from = next.filter(|_| !is_past);
            if from.is_none() {
                return Ok(None);
            }
        }
        // What is not read to its end must not look like all of it.
        Err(unreadable("a list without an end"))
    }
}

/// What a response that is no success says.
fn failure(answer: &Answer, is_refund: bool) -> ProviderError {
    let status = answer.status;
    let told = match serde_json::from_slice::<Failure>(&answer.body) {
        Ok(failure) => format!("{status} {}", failure.words()),
        Err(_) => status.to_string(),
    };
    match status {
        // The same idempotency key is under way, or Mollie takes this refund for a repeated one.
        StatusCode::CONFLICT => ProviderError::InProgress(told),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ProviderError::Denied(told),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => ProviderError::Unavailable(told),
        status if status.is_client_error() => ProviderError::Refused(Refusal {
            words: told,
            is_missing: matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE),
            ends_refund: is_refund && status == StatusCode::UNPROCESSABLE_ENTITY,
        }),
        _ => ProviderError::Unavailable(told),
    }
}

fn unreadable(what: &str) -> ProviderError {
    ProviderError::Unreadable(what.to_owned())
}

/// Whether a text can be the id of a payment, and so a part of a path.
fn is_payment(text: &str) -> bool {
    text.len() <= 64 && text.strip_prefix("tr_").is_some_and(is_name)
}

impl Provider for Mollie {
    fn name(&self) -> &'static str {
        MOLLIE
    }

    fn create_checkout<'p>(&'p self, top_up: &'p TopUp) -> BoxFuture<'p, Result<CheckoutSession, ProviderError>> {
        Box::pin(self.create_payment(top_up))
    }

    fn look_up<'p>(
        &'p self,
        top_up: &'p TopUp,
        reference: &'p str,
    ) -> BoxFuture<'p, Result<ProviderPaymentStatus, ProviderError>> {
        Box::pin(async move {
            let payment = self.payment(reference).await?;
            if payment.top_up().is_some_and(|id| id != top_up.id) {
                return Err(unreadable("a payment of another top-up"));
            }
            payment.status()
        })
    }

    fn reach(&self) -> BoxFuture<'_, Result<(), ProviderError>> {
        Box::pin(async move {
            let request = self.http.get(self.url("payments")).query(&[("limit", "1")]);
            self.send::<List<Payments>>("reach", request).await.map(drop)
        })
    }

    fn close<'p>(
        &'p self,
        top_up: &'p TopUp,
        reference: &'p str,
    ) -> BoxFuture<'p, Result<ProviderPaymentStatus, ProviderError>> {
        Box::pin(async move {
            if !is_payment(reference) {
                return Err(unreadable("a reference that cannot be one"));
            }
            let request = self.http.delete(self.url(&format!("payments/{reference}")));
            match self.send::<Payment>("cancel_payment", request).await {
                Ok(payment) => payment.status(),
                // It has ended, or its method cannot be cancelled: then it lapses within minutes.
                Err(ProviderError::Refused(_)) => self.look_up(top_up, reference).await,
                Err(error) => Err(error),
            }
        })
    }

    fn read(&self, _signature: &str, _body: &[u8], _now: DateTime<Utc>) -> Result<Delivered, DeliveryError> {
        Err(NotSigned.into())
    }

    fn cards(&self) -> Option<&dyn CardProvider> {
        Some(self)
    }

    fn hints(&self) -> Option<&dyn HintProvider> {
        Some(self)
    }
}

impl HintProvider for Mollie {
    fn named(&self, body: &[u8]) -> Option<String> {
        let (_, id) = form_urlencoded::parse(body).find(|(name, _)| name == "id")?;
        Some(id.into_owned()).filter(|id| is_payment(id))
    }

    fn fetch<'p>(&'p self, reference: &'p str) -> BoxFuture<'p, Result<FetchedPayment, ProviderError>> {
        Box::pin(async move {
            let payment = self.payment(reference).await?;
            Ok(FetchedPayment {
                top_up: payment.top_up(),
                status: payment.status()?,
            })
        })
    }
}

/// An amount: a currency in upper case and a decimal number as text.
#[derive(Deserialize)]
struct Amount {
    currency: String,
    value: String,
}

impl Amount {
    fn money(&self) -> Result<Money, ProviderError> {
        self.value
            .parse()
            .map_err(|_| unreadable("an amount that cannot be one"))
    }

    /// In euro; `None` in another currency.
    fn euro(&self) -> Result<Option<Money>, ProviderError> {
        if self.currency == "EUR" {
            self.money().map(Some)
        } else {
            Ok(None)
        }
    }
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

#[derive(Deserialize, Default)]
struct Links {
    /// The payment page, while the payment is open.
    #[serde(default)]
    checkout: Option<Link>,
    /// The next part of a list.
    #[serde(default)]
    next: Option<Link>,
}

/// The relevant fields of a payment.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payment {
    id: String,
    status: String,
    amount: Amount,
    created_at: DateTime<Utc>,
    #[serde(default)]
    paid_at: Option<DateTime<Utc>>,
    /// Whatever its maker stored with it.
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    details: Option<Details>,
    #[serde(rename = "_links", default)]
    links: Links,
}

/// What is known of the card.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(default)]
    card_country_code: Option<String>,
    #[serde(default)]
    card_fingerprint: Option<String>,
}

impl Payment {
    fn top_up(&self) -> Option<TopUpId> {
        self.metadata.get("top_up")?.as_str()?.parse().ok()
    }

    fn is_paid(&self) -> bool {
        self.status == "paid"
    }

    fn status(&self) -> Result<ProviderPaymentStatus, ProviderError> {
        Ok(match self.status.as_str() {
            "paid" => ProviderPaymentStatus::Paid {
                amount: self.amount.money()?,
                currency: self.amount.currency.clone(),
            },
            "pending" | "authorized" => ProviderPaymentStatus::Processing,
            "open" => ProviderPaymentStatus::Open,
            "failed" => ProviderPaymentStatus::Declined,
            "canceled" | "expired" => ProviderPaymentStatus::Lapsed,
            _ => return Err(unreadable("an unknown status of a payment")),
        })
    }
}

/// A part of a list, the newest objects first.
#[derive(Deserialize)]
struct List<L> {
    #[serde(rename = "_embedded")]
    embedded: L,
    #[serde(rename = "_links", default)]
    links: Links,
}

impl<L> List<L> {
    /// The object with which the next part begins.
    fn next(&self) -> Option<String> {
        let next = Url::parse(&self.links.next.as_ref()?.href).ok()?;
        let (_, from) = next.query_pairs().find(|(name, _)| name == "from")?;
        Some(from.into_owned())
    }
}

#[derive(Deserialize)]
struct Payments {
    payments: Vec<Payment>,
}

/// The body of an error.
#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    field: Option<String>,
}

impl Failure {
    /// Title and field; the detail may repeat what was sent.
    fn words(&self) -> String {
        [self.title.as_deref(), self.field.as_deref()]
            .into_iter()
            .flatten()
            .map(|word| {
                word.chars()
                    .filter(|c| c.is_ascii_graphic() || *c == ' ')
                    .take(60)
                    .collect::<String>()
            })
            .collect::<Vec<_>>()
            .join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(status: &str, amount: &Value) -> Payment {
        serde_json::from_value(json!({
            "id": "tr_1", "status": status, "amount": amount, "createdAt": "2026-01-02T03:04:05+00:00", "metadata": null,
        }))
        .unwrap()
    }

    #[test]
    fn every_documented_status_has_a_meaning_and_amounts_are_exact() {
        let ten = json!({"currency": "EUR", "value": "10.00"});
        for (word, status) in [
            (
                "paid",
                ProviderPaymentStatus::Paid {
                    amount: Money::from_cents(1000).unwrap(),
                    currency: "EUR".into(),
                },
            ),
            ("pending", ProviderPaymentStatus::Processing),
            ("authorized", ProviderPaymentStatus::Processing),
            ("open", ProviderPaymentStatus::Open),
            ("failed", ProviderPaymentStatus::Declined),
            ("canceled", ProviderPaymentStatus::Lapsed),
            ("expired", ProviderPaymentStatus::Lapsed),
        ] {
            assert_eq!(payment(word, &ten).status(), Ok(status), "{word}");
        }
        assert!(payment("a_word_of_tomorrow", &ten).status().is_err());
        for value in ["10.001", "ten", ""] {
            let odd = json!({"currency": "EUR", "value": value});
            assert!(payment("paid", &odd).status().is_err(), "{value}");
        }
    }

    #[test]
    fn only_an_id_of_a_payment_is_a_hint() {
        let mollie = Mollie::new(MollieConfig {
            api_url: "https://api.example".into(),
            api_key: Secret::new("test_1"),
            webhook_url: None,
            description: "Balance".into(),
            return_url: "https://shop.example/{id}".into(),
            timeout: Duration::from_secs(1),
            clock: Clock::system(),
        })
        .unwrap();
        assert_eq!(mollie.named(b"id=tr_5B8cwPMGnU").as_deref(), Some("tr_5B8cwPMGnU"));
        for body in [
            &b""[..],
            b"id=",
            b"id=tr_",
            b"id=ord_1",
            b"id=tr_1/../x",
            b"id=tr_%2F",
            b"name=tr_1",
            b"{\"id\":\"tr_1\"}",
            b"\xff\xfe",
        ] {
            assert_eq!(mollie.named(body), None, "{body:?}");
        }
        assert_eq!(mollie.named(format!("id=tr_{}", "a".repeat(70)).as_bytes()), None);
    }
}
