//! The interface of a payment provider: invite to pay, read what it sends, ask how a payment stands.

use chrono::{DateTime, Utc};
use futures_core::future::BoxFuture;
use lockstep_store::deliveries::Unused;
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
    /// It is still busy with the same request: ask again in a moment.
    #[error("the payment provider is still busy with the same request: {0}")]
    InProgress(String),
    /// It said no; asking again does not help. The text is the provider's own and holds no secret.
    #[error("the payment provider refused: {0}")]
    Refused(String),
    /// It does not let us ask (the key is wrong or may not). This says nothing about what it was asked before.
    #[error("the payment provider does not accept the shop's key: {0}")]
    Denied(String),
    /// It answered something that cannot be understood.
    #[error("the payment provider answered something unknown: {0}")]
    Unreadable(String),
}

/// What a signed delivery turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// Something about a payment of ours.
    Said(Said),
    /// Signed, and nothing can be done with it.
    Unused(Unused),
}

/// Why a delivery was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Not signed by the provider.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// Signed, and not even a JSON object.
    #[error("the delivery is not JSON")]
    Unreadable,
}

/// A payment provider.
pub trait Provider: Send + Sync {
    /// Its name in the database; never changed.
    fn name(&self) -> &'static str;

    /// Invites a shopper to pay an intent that is already in the database. May be repeated, also after an answer that was
    /// lost: called again for the same intent it gives the same invitation. Only [`ProviderError::Refused`] says that
    /// there is none.
    fn invite<'p>(&'p self, top_up: &'p TopUp) -> BoxFuture<'p, Result<Invited, ProviderError>>;

    /// How the payment of an intent stands, asked of the provider itself. May be repeated.
    fn look_up<'p>(&'p self, top_up: &'p TopUp, reference: &'p str) -> BoxFuture<'p, Result<Word, ProviderError>>;

    /// Whether the provider answers and takes our credentials. Changes nothing there.
    fn reach(&self) -> BoxFuture<'_, Result<(), ProviderError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Closes what [`Provider::invite`] opened, so that it can no longer be paid, and gives how it stands then: it may have
    /// been paid before. May be repeated. A provider without such a call gives how it stands.
    fn close<'p>(&'p self, top_up: &'p TopUp, reference: &'p str) -> BoxFuture<'p, Result<Word, ProviderError>> {
        self.look_up(top_up, reference)
    }

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
