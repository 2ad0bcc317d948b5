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
    /// The cart, wishlist or stock alert was not changed; [`shopper_code`] is the stable name.
    #[error(transparent)]
    Shopper(ShopperError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    /// The keys of the order wait for its customer's consent.
    #[error("The keys of this order wait for your consent. Give it on the order's page.")]
    ConsentNeeded,
    /// Too many requests at once.
    #[error("Too many of these requests are in progress. Try again in a few seconds.")]
    Busy,
}

/// The stable code of a refused change to a cart, wishlist or stock alert, for programs.
pub const fn shopper_code(error: &ShopperError) -> &'static str {
    match error {
        ShopperError::NoSuchGame => "game_not_found",
        ShopperError::OutOfStock => "out_of_stock",
        ShopperError::InStock => "in_stock",
        ShopperError::NotPositive => "quantity_not_positive",
        ShopperError::TooManyCopies { .. } => "too_many_copies",
        ShopperError::TooManyGames { .. } => "too_many_games",
        ShopperError::KeyReused => "idempotency_key_reused",
        ShopperError::NoSuchShopper => "account_not_found",
        ShopperError::Refused(_) => "has_more_permissions",
        ShopperError::Store(_) => "unavailable",
    }
}

impl From<ShopperError> for ShopError {
    fn from(error: ShopperError) -> Self {
        match error {
            ShopperError::Store(error) => Self::Store(error),
            error => Self::Shopper(error),
        }
    }
}

impl From<AccountError> for ShopError {
    fn from(error: AccountError) -> Self {
        Self::Refused(error.into())
    }
}
