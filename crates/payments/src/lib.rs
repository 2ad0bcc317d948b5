//! Payments from outside: the providers through which users top up their balance, behind one interface.
//!
//! `user → [provider] → signed webhook → store.top_ups → store.transactions`
//!
//! A provider only reports "this amount was paid, under this reference"; the top-up in the database decides what is
//! credited, once. A top-up is stored before its provider is called. A provider's message is trusted when it is signed
//! ([`signature`]) or when it is the response to our own request: [`Payments::run`] queries top-ups without a final
//! status, so no credit depends on a webhook's arrival, and a delivery without a signature only has its payment fetched.
//!
//! Money that goes back to cards follows the same rule: an event about a refund or a dispute only names the object, which is
//! then read and applied by its state; and [`Payments::compare`] finds what no event reported.
//!
//! Nothing here logs a secret, a signature or a body.

mod http;
mod mollie;
mod payments;
mod provider;
mod relay;
pub mod signature;
mod stripe;
mod test_provider;

pub use http::ClientError;
pub use mollie::{MOLLIE, Mollie, MollieConfig};
pub use payments::{
    CheckoutError, CheckoutRequest, CompareError, Compared, Limits, ObjectOutcome, Payments, Started, TopUpError,
    WebhookError, WebhookOutcome, WithdrawalError,
};
pub use provider::{
    CardProvider, CheckoutSession, Decision, FetchedPayment, HintProvider, ListPart, OwnPage, PayoutReading, Provider,
    ProviderError, Refusal, TestPage,
};
pub use relay::{Relay, RelayError};
pub use stripe::{STRIPE, STRIPE_SANDBOX, Stripe, StripeConfig};
pub use test_provider::TestProvider;
