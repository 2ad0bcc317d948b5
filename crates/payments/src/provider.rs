//! The interface of a payment provider: create a payment page, parse webhooks, query the status of a payment.

use chrono::{DateTime, Utc};
use futures_core::future::BoxFuture;
use lockstep_domain::Money;
use lockstep_domain::ids::TopUpId;
use lockstep_store::cards::PaymentRef;
use lockstep_store::cards::charges::ChargeReading;
use lockstep_store::cards::disputes::DisputeReading;
use lockstep_store::cards::inbox::ObjectEvent;
use lockstep_store::cards::incidents::WarningReading;
use lockstep_store::cards::refunds::RefundReading;
use lockstep_store::deliveries::Unused;
use lockstep_store::top_ups::{PaymentEvent, ProviderPaymentStatus, TopUp};
use uuid::Uuid;

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
    /// The provider refused; a retry does not help.
    #[error("the payment provider refused: {0}")]
    Refused(Refusal),
    /// Our credentials were rejected (invalid, or without permission). The effect of earlier requests is unknown.
    #[error("the payment provider does not accept the shop's key: {0}")]
    Denied(String),
    /// The response could not be parsed.
    #[error("the payment provider answered something unknown: {0}")]
    Unreadable(String),
}

/// A refusal in the provider's own words, which contain no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Refusal {
    /// Status, type and code.
    pub words: String,
    /// There is no such object.
    pub is_missing: bool,
    /// It answers the making of a refund, and says for good that this one is not made.
    pub ends_refund: bool,
}

impl ProviderError {
    /// Whether the provider says that there is no such object.
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.is_missing)
    }
}

/// The content of a signed delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// An event about one of our payments.
    PaymentEvent(PaymentEvent),
    /// An event about an object that has to be read at the provider.
    ObjectEvent(ObjectEvent),
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

    /// Parses a signed delivery: `signature` is its signature header, `body` the bytes as sent. To a provider that signs nothing
    /// ([`hints`](Self::hints)) no signature is valid.
    ///
    /// # Errors
    /// `DeliveryError`.
    fn read(&self, signature: &str, body: &[u8], now: DateTime<Utc>) -> Result<Delivered, DeliveryError>;

    /// What can be asked about cards; `None` for a provider without them.
    fn cards(&self) -> Option<&dyn CardProvider> {
        None
    }

    /// What its deliveries say, if it does not sign them.
    fn hints(&self) -> Option<&dyn HintProvider> {
        None
    }

    /// The payment page, if the shop itself shows it.
    fn own_page(&self) -> Option<&dyn OwnPage> {
        None
    }
}

/// A payment that was fetched because a delivery named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedPayment {
    /// The shop's id in its metadata; `None` for a payment of another program.
    pub top_up: Option<TopUpId>,
    /// Its status.
    pub status: ProviderPaymentStatus,
}

/// A provider whose deliveries are not signed. One only names a payment and proves nothing: the payment is fetched, and only
/// what was fetched is acted on.
pub trait HintProvider: Send + Sync {
    /// The payment that a delivery names; `None` if it is not in the provider's form.
    fn named(&self, body: &[u8]) -> Option<String>;

    /// Fetches a payment, whoever made it.
    fn fetch<'p>(&'p self, reference: &'p str) -> BoxFuture<'p, Result<FetchedPayment, ProviderError>>;
}

/// A part of a list of the provider's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPart<T> {
    /// The objects, the newest first.
    pub found: Vec<T>,
    /// Where the next part begins; `None` at the end.
    pub next: Option<String>,
}

/// A transfer of the provider's balance to the shop's bank account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutReading {
    /// The provider's name of it.
    pub reference: String,
    /// What was transferred, in units of `currency`.
    pub amount: Money,
    /// ISO code, upper case.
    pub currency: String,
    /// The provider's word.
    pub status: String,
}

/// The part of a provider that knows charges, refunds and disputes. Every call only reads, except
/// [`make_refund`](CardProvider::make_refund). `read_number` is drawn before the call
/// ([`reading`](lockstep_store::cards::reading)) and comes back in what was read.
pub trait CardProvider: Send + Sync {
    /// The charge of a paid checkout session; `None` if none was paid by card.
    fn charge_of_session<'p>(&'p self, session: &'p str)
    -> BoxFuture<'p, Result<Option<ChargeReading>, ProviderError>>;

    /// The charge of a payment, whoever made it; `None` if there is none.
    fn charge_of<'p>(&'p self, payment: &'p PaymentRef) -> BoxFuture<'p, Result<Option<ChargeReading>, ProviderError>>;

    /// A dispute.
    fn dispute<'p>(&'p self, id: &'p str, read_number: i64) -> BoxFuture<'p, Result<DisputeReading, ProviderError>>;

    /// A refund.
    fn refund<'p>(&'p self, id: &'p str, read_number: i64) -> BoxFuture<'p, Result<RefundReading, ProviderError>>;

    /// All refunds of a charge or of a payment.
    fn refunds_of<'p>(
        &'p self,
        payment: &'p PaymentRef,
        read_number: i64,
    ) -> BoxFuture<'p, Result<Vec<RefundReading>, ProviderError>>;

    /// All disputes of a payment. None by default: for a provider that reports each dispute by an event of its own.
    fn disputes_of<'p>(
        &'p self,
        _payment: &'p PaymentRef,
        _read_number: i64,
    ) -> BoxFuture<'p, Result<Vec<DisputeReading>, ProviderError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// A warning of fraud.
    fn warning<'p>(&'p self, id: &'p str) -> BoxFuture<'p, Result<WarningReading, ProviderError>>;

    /// Refunds `amount` of a payment to its card. The same `id` makes the same refund, also after a lost response.
    fn make_refund<'p>(
        &'p self,
        id: Uuid,
        intent: &'p str,
        amount: Money,
        read_number: i64,
    ) -> BoxFuture<'p, Result<RefundReading, ProviderError>>;

    /// Paid charges since a time: the part that begins after the object `after`.
    fn charges_since<'p>(
        &'p self,
        since: DateTime<Utc>,
        after: Option<&'p str>,
    ) -> BoxFuture<'p, Result<ListPart<ChargeReading>, ProviderError>>;

    /// Refunds since a time.
    fn refunds_since<'p>(
        &'p self,
        since: DateTime<Utc>,
        after: Option<&'p str>,
        read_number: i64,
    ) -> BoxFuture<'p, Result<ListPart<RefundReading>, ProviderError>>;

    /// Disputes since a time.
    fn disputes_since<'p>(
        &'p self,
        since: DateTime<Utc>,
        after: Option<&'p str>,
        read_number: i64,
    ) -> BoxFuture<'p, Result<ListPart<DisputeReading>, ProviderError>>;

    /// Warnings of fraud since a time.
    fn warnings_since<'p>(
        &'p self,
        since: DateTime<Utc>,
        after: Option<&'p str>,
    ) -> BoxFuture<'p, Result<ListPart<WarningReading>, ProviderError>>;

    /// Payouts since a time.
    fn payouts_since<'p>(
        &'p self,
        since: DateTime<Utc>,
        after: Option<&'p str>,
    ) -> BoxFuture<'p, Result<ListPart<PayoutReading>, ProviderError>>;

    /// What a payout consists of: the sum of the bookings in it, after fees, in units of its currency.
    fn paid_out<'p>(&'p self, payout: &'p str) -> BoxFuture<'p, Result<Money, ProviderError>>;

    /// Whether evidence about a dispute can be submitted as it stands.
    fn takes_evidence(&self, dispute: &DisputeReading) -> bool;

    /// Submits evidence about a dispute to the cardholder's bank, as form fields; returns the dispute. The same `id` submits it
    /// once, also after a lost response.
    fn submit_evidence<'p>(
        &'p self,
        id: Uuid,
        dispute: &'p str,
        fields: &'p [(String, String)],
        read_number: i64,
    ) -> BoxFuture<'p, Result<DisputeReading, ProviderError>>;

    /// Reads one object of each kind, and returns the kinds that cannot be read with the reason: a restricted key lacks a
    /// permission.
    fn probe(&self) -> BoxFuture<'_, Vec<(&'static str, ProviderError)>>;
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
