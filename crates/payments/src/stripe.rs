//! Stripe: Checkout Sessions by form post, signed events, and the session asked for by its id
//! (docs.stripe.com/api/checkout/sessions, docs.stripe.com/webhooks).

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_core::future::BoxFuture;
use lockstep_domain::ids::TopUpId;
use lockstep_domain::{Money, Secret};
use lockstep_store::top_ups::{Said, TopUp, Which, Word};
use reqwest::StatusCode;
use rustls_platform_verifier::BuilderVerifierExt;
use serde::Deserialize;

use crate::provider::{Delivered, DeliveryError, Invited, Provider, ProviderError};
use crate::signature::verify;

/// Stripe's name in the database.
const NAME: &str = "stripe";
/// The version of the API that this speaks, whatever the account's default is.
const VERSION: &str = "2024-06-20";
/// No answer of interest is longer.
const MAX_ANSWER: usize = 256 * 1024;
/// An invitation that nobody took is over after this; Stripe allows half an hour to a day.
const LIFETIME: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// How to reach Stripe.
#[derive(Debug, Clone)]
pub struct StripeConfig {
    /// `https://api.stripe.com`, without a path.
    pub api_url: String,
    /// `sk_…` or a restricted key that may write Checkout Sessions.
    pub secret_key: Secret,
    /// `whsec_…`; several while one is being changed.
    pub webhook_secrets: Vec<Secret>,
    /// What the shopper sees as bought.
    pub product: String,
    /// Where the shopper's browser comes back to; `{id}` stands for the intent.
    pub return_url: String,
    /// An answer that takes longer is none.
    pub timeout: Duration,
}

/// Stripe cannot be talked to with these settings.
#[derive(Debug, thiserror::Error)]
pub enum StripeConfigError {
    /// The HTTP client cannot be set up.
    #[error("cannot set up HTTP for Stripe")]
    Http(#[source] reqwest::Error),
    /// The system's certificates cannot be used.
    #[error("cannot set up TLS for Stripe")]
    Tls(#[source] rustls::Error),
}

/// Stripe as a provider.
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
    /// Prepares to talk to Stripe; nothing is sent yet.
    ///
    /// # Errors
    /// [`StripeConfigError`].
    pub fn new(config: StripeConfig) -> Result<Self, StripeConfigError> {
        let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(StripeConfigError::Tls)?
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .user_agent(concat!("lockstep/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(config.timeout)
            .timeout(config.timeout)
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(StripeConfigError::Http)?;
        Ok(Self { config, http })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.config.api_url.trim_end_matches('/'))
    }

    async fn create_session(&self, top_up: &TopUp) -> Result<Invited, ProviderError> {
        let id = top_up.id.to_string();
        let come_back = self.config.return_url.replace("{id}", &id);
        let form = [
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
        let request = self
            .http
            .post(self.url("/v1/checkout/sessions"))
            // The same intent is the same session, however often it is asked for.
            .header("Idempotency-Key", format!("top-up-{id}"))
            .form(&form);
        let session = self.send(request).await?;
        let url = session
            .url
            .filter(|url| url.starts_with("https://") || url.starts_with("http://"))
            .ok_or_else(|| ProviderError::Unreadable("a session without an address".into()))?;
        Ok(Invited {
            reference: session.id,
            url,
        })
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Session, ProviderError> {
        let lost = |error: reqwest::Error| ProviderError::Unavailable(error.without_url().to_string());
        let mut response = request
            .bearer_auth(self.config.secret_key.expose())
            .header("Stripe-Version", VERSION)
            .send()
            .await
            .map_err(lost)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(lost)? {
            if body.len() + part.len() > MAX_ANSWER {
                return Err(ProviderError::Unreadable("an answer without an end".into()));
            }
            body.extend_from_slice(&part);
        }
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|_| ProviderError::Unreadable(format!("{status} with something else than a session")));
        }
        let failure = serde_json::from_slice::<Failure>(&body).map(|failure| failure.error);
        let words = failure.as_ref().map_or_else(|_| String::new(), FailureBody::words);
        let told = format!("{status} {words}");
        // docs.stripe.com/error-low-level: what was refused before it was begun may be repeated under the same key, and so
        // may whatever has no answer; 5xx leaves open what was done.
        Err(match status {
            StatusCode::CONFLICT => ProviderError::InProgress(told),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ProviderError::Denied(told),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => ProviderError::Unavailable(told),
            // The same key with other parameters: settings have changed since, and something may have been made before.
            _ if failure.is_ok_and(|failure| failure.kind.as_deref() == Some("idempotency_error")) => {
                ProviderError::Unreadable(told)
            }
            status if status.is_client_error() => ProviderError::Refused(told),
            _ => ProviderError::Unavailable(told),
        })
    }

    fn session_url(&self, reference: &str) -> Result<String, ProviderError> {
        if !reference.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(ProviderError::Unreadable("a reference that cannot be one".into()));
        }
        Ok(self.url(&format!("/v1/checkout/sessions/{reference}")))
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Word, ProviderError> {
        self.send(request)
            .await?
            .word()
            .ok_or_else(|| ProviderError::Unreadable("an unknown state of a session".into()))
    }
}

/// Where a shopper comes back to who has not paid: the same address, which then says so.
fn cancelled(address: &str) -> String {
    let separator = if address.contains('?') { '&' } else { '?' };
    format!("{address}{separator}cancelled=1")
}

impl Provider for Stripe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn invite<'p>(&'p self, top_up: &'p TopUp) -> BoxFuture<'p, Result<Invited, ProviderError>> {
        Box::pin(self.create_session(top_up))
    }

    fn look_up<'p>(&'p self, _top_up: &'p TopUp, reference: &'p str) -> BoxFuture<'p, Result<Word, ProviderError>> {
        Box::pin(async move { self.ask(self.http.get(self.session_url(reference)?)).await })
    }

    fn reach(&self) -> BoxFuture<'_, Result<(), ProviderError>> {
        Box::pin(async move {
            // There is no such session, and whoever is told so was let in.
            match self.send(self.http.get(self.session_url("cs_none")?)).await {
                Ok(_) | Err(ProviderError::Refused(_)) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn close<'p>(&'p self, top_up: &'p TopUp, reference: &'p str) -> BoxFuture<'p, Result<Word, ProviderError>> {
        Box::pin(async move {
            let request = self.http.post(format!("{}/expire", self.session_url(reference)?));
            match self.ask(request).await {
                // Only an open session can be closed: this one has had its end.
                Err(ProviderError::Refused(_)) => self.look_up(top_up, reference).await,
                answer => answer,
            }
        })
    }

    fn read(&self, signature: &str, body: &[u8], now: DateTime<Utc>) -> Result<Delivered, DeliveryError> {
        verify(signature, body, &self.config.webhook_secrets, now)?;
        read_event(NAME, body)
    }
}

/// Reads an event in Stripe's form, whose signature was checked.
pub(crate) fn read_event(provider: &'static str, body: &[u8]) -> Result<Delivered, DeliveryError> {
    let event: Event = serde_json::from_slice(body).map_err(|_| DeliveryError::Unreadable)?;
    let fits = |text: &str, most| (1..=most).contains(&text.len()) && !text.contains('\0');
    if !fits(&event.id, 300) || !fits(&event.kind, 100) {
        return Err(DeliveryError::Unreadable);
    }
    if !event.kind.starts_with("checkout.session.") {
        return Ok(Delivered::Else);
    }
    let session: Session = serde_json::from_value(event.data.object).map_err(|_| DeliveryError::Unreadable)?;
    // Our own name for it comes back in the metadata, which only the shop can set. (A shopper can put whatever they like
    // into the `client_reference_id` of a payment link at the same account.) Somebody else's session has none, and is
    // looked for by Stripe's name in vain.
    let id = session
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.top_up.as_ref()?.parse::<TopUpId>().ok());
    // One of a kind that we never make, of another program at the same account: a card put on file, for example. Were it
    // refused, it would be sent again for days, and then nothing at all.
    if id.is_none() && session.word().is_none() {
        return Ok(Delivered::Else);
    }
    let word = match event.kind.as_str() {
        "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
            session.word().ok_or(DeliveryError::Unreadable)?
        }
        "checkout.session.async_payment_failed" => Word::Declined,
        "checkout.session.expired" => Word::Lapsed,
        _ => return Ok(Delivered::Else),
    };
    let which = match id {
        Some(id) => Which::Named {
            id,
            reference: session.id,
        },
        None => Which::Reference(session.id),
    };
    Ok(Delivered::Said(Said {
        provider,
        event: Some(event.id),
        kind: event.kind,
        which,
        word,
    }))
}

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: EventData,
}

#[derive(Deserialize)]
struct EventData {
    object: serde_json::Value,
}

/// A Checkout Session, as far as it matters here.
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
    /// In the currency's smallest unit.
    #[serde(default)]
    amount_total: Option<i64>,
    #[serde(default)]
    currency: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    top_up: Option<String>,
}

impl Session {
    /// `None`: Stripe says something that it has no documented word for.
    fn word(&self) -> Option<Word> {
        match (self.status.as_deref(), self.payment_status.as_deref()) {
            (_, Some("paid")) => Some(Word::Paid {
                amount: Money::from_cents(self.amount_total?).ok()?,
                currency: self.currency.as_deref()?.to_uppercase(),
            }),
            (Some("expired"), _) => Some(Word::Lapsed),
            (Some("complete"), Some("unpaid")) => Some(Word::Processing),
            (Some("open"), Some("unpaid")) => Some(Word::Open),
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
