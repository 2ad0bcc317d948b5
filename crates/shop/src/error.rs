//! Why a use case did not happen, for each face to tell in its own way.

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

/// Why something did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// It was not allowed, or did not fit; [`AuthError::code`] is its stable name.
    #[error(transparent)]
    Refused(#[from] AuthError),
    /// Nothing can be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no such thing, or it is somebody else's.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// What is asked for cannot be an order.
    #[error(transparent)]
    Checkout(#[from] CheckoutFault),
    /// The order was not placed.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The top-up was not begun.
    #[error(transparent)]
    TopUp(#[from] TopUpError),
    /// Nothing was refunded.
    #[error(transparent)]
    Refund(#[from] GoodwillError),
    /// The order was not taken back.
    #[error(transparent)]
    Cancel(#[from] NotRefundable),
    /// The balance was not changed.
    #[error(transparent)]
    Adjust(#[from] AdjustError),
    /// Too many at once.
    #[error("Too many at once, try again later")]
    Busy,
    /// A remembered answer has another form than it was written in (a bug).
    #[error("a remembered answer cannot be understood")]
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
