//! Errors of the use cases, for the API and the pages to present.

use lockstep_auth::AuthError;
use lockstep_cache::ReadError;
use lockstep_domain::checkout::CheckoutFault;
use lockstep_payments::TopUpError;
use lockstep_store::StoreError;
use lockstep_store::accounts::AccountError;
use lockstep_store::fulfilment::NotRefundable;
use lockstep_store::guests::ShopperError;
use lockstep_store::ledger::AdjustError;
use lockstep_store::orders::{GoodwillError, PlaceError};

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// Not allowed, or invalid; [`AuthError::code`] is its stable name.
    #[error(transparent)]
    Refused(#[from] AuthError),
    /// The data cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It does not exist, or it belongs to another user.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The request is not a valid order.
    #[error(transparent)]
    Checkout(#[from] CheckoutFault),
    /// The order was not placed.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The top-up was not started.
    #[error(transparent)]
    TopUp(#[from] TopUpError),
    /// Nothing was refunded.
    #[error(transparent)]
    Refund(#[from] GoodwillError),
    /// The order was not cancelled.
    #[error(transparent)]
    Cancel(#[from] NotRefundable),
    /// The balance was not changed.
    #[error(transparent)]
    Adjust(#[from] AdjustError),
    /// Too many requests at once.
    #[error("Too many of these requests are in progress. Try again in a few seconds.")]
    Busy,
    /// A cached answer does not have the expected form (a bug).
    #[error("a stored answer cannot be read")]
    Unreadable(#[from] serde_json::Error),
}

impl From<StoreError> for ShopError {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<ShopperError> for ShopError {
    fn from(error: ShopperError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<AccountError> for ShopError {
    fn from(error: AccountError) -> Self {
        Self::Refused(error.into())
    }
}
