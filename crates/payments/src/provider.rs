//! The interface of a payment provider: invite to pay, read what it sends, ask how a payment stands.

use chrono::{DateTime, Utc};
use futures_core::future::BoxFuture;
use lockstep_store::top_ups::{Said, TopUp, Word};

use crate::signature::NotSigned;
use crate::test_provider::TestProvider;

/// Where a shopper pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    /// The provider's name for the payment.
    pub reference: String,
    /// Where the browser is sent.
    pub url: String,
}

/// Why a provider did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It did not answer, or said that it cannot now. Asking again later may help.
    #[error("the payment provider does not answer: {0}")]
    Unavailable(String),
    /// It said no; asking again does not help. The text is the provider's own and holds no secret.
    #[error("the payment provider refused: {0}")]
    Refused(String),
    /// It answered something that cannot be understood.
    #[error("the payment provider answered something unknown: {0}")]
    Unreadable(String),
}

/// What a signed delivery turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// Something about a payment of ours.
    Said(Said),
    /// Signed, and nothing that concerns us.
    Else,
}

/// Why a delivery was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Not signed by the provider.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// Signed, and not in the documented form.
    #[error("the delivery is not in the documented form")]
    Unreadable,
}

/// A payment provider.
pub trait Provider: Send + Sync {
    /// Its name in the database; never changed.
    fn name(&self) -> &'static str;

    /// Invites a shopper to pay an intent that is already in the database. Called again for the same intent it gives
    /// the same invitation.
    fn invite<'p>(&'p self, top_up: &'p TopUp) -> BoxFuture<'p, Result<Invited, ProviderError>>;

    /// How the payment of an intent stands, asked of the provider itself.
    fn look_up<'p>(&'p self, top_up: &'p TopUp, reference: &'p str) -> BoxFuture<'p, Result<Word, ProviderError>>;

    /// Reads a delivery: `signature` is the header it came with, `body` the bytes as sent.
    ///
    /// # Errors
    /// `DeliveryError`.
    fn read(&self, signature: &str, body: &[u8], now: DateTime<Utc>) -> Result<Delivered, DeliveryError>;

    /// The built-in provider, if this is it: its page needs more than the interface has.
    fn as_test(&self) -> Option<&TestProvider> {
        None
    }
}
