//! Payments from outside: the providers through which users top up their balance, behind one interface.
//!
//! `user → [provider] → signed webhook → store.top_ups → store.transactions`
//!
//! A provider only reports "this amount was paid, under this reference"; the top-up in the database decides what is
//! credited, once. A top-up is stored before its provider is called. A provider's message is trusted when it is signed
//! ([`signature`]) or when it is the response to our own request: [`Payments::run`] queries top-ups without a final
//! status, so no credit depends on a webhook's arrival.
//!
//! Nothing here logs a secret, a signature or a body.

mod payments;
mod provider;
mod relay;
pub mod signature;
mod stripe;
mod test_provider;

pub use payments::{Limits, Payments, TopUpError, WebhookError, WebhookOutcome};
pub use provider::{CheckoutSession, Decision, OwnPage, Provider, ProviderError, TestPage};
pub use relay::{Relay, RelayError};
pub use stripe::{Stripe, StripeConfig, StripeConfigError};
pub use test_provider::TestProvider;
