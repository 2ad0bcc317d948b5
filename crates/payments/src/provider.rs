//! The interface of a payment provider: create a payment page, parse webhooks, query the status of a payment.

use chrono::{DateTime, Utc};
use futures_core::future::BoxFuture;
use lockstep_domain::Money;
use lockstep_store::deliveries::Unused;
use lockstep_store::top_ups::{PaymentEvent, ProviderPaymentStatus, TopUp};

use crate::signature::NotSigned;

/// A created payment page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutSession {
    /// The provider's reference for the payment.
    pub reference: String,
    /// The URL of the page, to which the browser is redirected.
    pub url: String,
}

/// Why a call to the provider failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No response, or temporarily unavailable. A later retry may succeed.
    #[error("the payment provider does not answer: {0}")]
    Unavailable(String),
    /// The provider is still processing the same request: retry in a moment.
    #[error("the payment provider is still busy with the same request: {0}")]
    InProgress(String),
    /// The provider refused; a retry does not help. The text is the provider's own and contains no secret.
    #[error("the payment provider refused: {0}")]
    Refused(String),
    /// Our credentials were rejected (invalid, or without permission). The effect of earlier requests is unknown.
    #[error("the payment provider does not accept the shop's key: {0}")]
    Denied(String),
    /// The response could not be parsed.
    #[error("the payment provider answered something unknown: {0}")]
    Unreadable(String),
}

/// The content of a signed delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// An event about one of our payments.
    PaymentEvent(PaymentEvent),
    /// A signed delivery without use.
    Unused(Unused),
}

/// Why a delivery was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Not signed by the provider.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// Signed, but not a JSON object.
    #[error("the delivery is not JSON")]
    Unreadable,
}

/// A payment provider.
pub trait Provider: Send + Sync {
    /// Its name in the database; it must never change.
    fn name(&self) -> &'static str;

    /// Creates the payment page of a stored top-up. Idempotent: a repeated call for the same top-up returns the same
    /// page, also after a lost response. Only [`ProviderError::Refused`] means that there is none.
    fn create_checkout<'p>(&'p self, top_up: &'p TopUp) -> BoxFuture<'p, Result<CheckoutSession, ProviderError>>;

    /// Queries the provider for the status of a top-up's payment. Idempotent.
    fn look_up<'p>(
        &'p self,
        top_up: &'p TopUp,
        reference: &'p str,
    ) -> BoxFuture<'p, Result<ProviderPaymentStatus, ProviderError>>;

    /// Checks that the provider responds and accepts our credentials. Changes nothing there.
    fn reach(&self) -> BoxFuture<'_, Result<(), ProviderError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Closes the page that [`Provider::create_checkout`] created, so that it can no longer be paid, and returns the final
    /// status: it may have been paid before. Idempotent. A provider without such a call returns the current status.
    fn close<'p>(
        &'p self,
        top_up: &'p TopUp,
        reference: &'p str,
    ) -> BoxFuture<'p, Result<ProviderPaymentStatus, ProviderError>> {
        self.look_up(top_up, reference)
    }

    /// Parses a delivery: `signature` is its signature header, `body` the bytes as sent.
    ///
    /// # Errors
    /// `DeliveryError`.
    fn read(&self, signature: &str, body: &[u8], now: DateTime<Utc>) -> Result<Delivered, DeliveryError>;

    /// The payment page, if the shop itself shows it.
    fn own_page(&self) -> Option<&dyn OwnPage> {
        None
    }
}

/// A decision made on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Pay.
    Pay,
    /// Decline.
    Decline,
}

/// The content of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestPage {
    /// Amount to pay, EUR.
    pub amount: Money,
    /// Whether it can still be decided.
    pub is_open: bool,
    /// URL to return to.
    pub return_url: String,
}

/// A provider whose payment page is part of the shop.
pub trait OwnPage: Send + Sync {
    /// The page of a payment.
    fn page(&self, top_up: &TopUp) -> TestPage;

    /// The event that reports a decision: its signature and its body.
    fn event(&self, top_up: &TopUp, decision: Decision, now: DateTime<Utc>) -> (String, Vec<u8>);
}
