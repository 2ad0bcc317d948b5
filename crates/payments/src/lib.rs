//! Money from outside: the providers through which a shopper tops up a balance, behind one interface.
//!
//! `shopper → [provider] → signed webhook → store.top_ups → store.transactions`
//!
//! A provider only ever says "this much was paid, under this reference"; what is credited is decided by the intent in the
//! database, once. An intent is written before its provider is asked. What the provider says is believed when it is signed
//! ([`signature`]) or when we asked for it ourselves: intents without a last word are asked about by [`Payments::run`], so
//! no money waits for a webhook that was lost.
//!
//! Nothing here logs a secret, a signature or a body.

mod payments;
mod provider;
mod relay;
pub mod signature;
mod stripe;
mod test_provider;

pub use payments::{Limits, Payments, TopUpError, WebhookError, WebhookOutcome};
pub use provider::{Invited, Provider, ProviderError};
pub use relay::{Relay, RelayError};
pub use stripe::{Stripe, StripeConfig, StripeConfigError};
pub use test_provider::{Decision, TestPage, TestProvider};
