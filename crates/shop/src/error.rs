//! Why a use case did not happen, for each face to tell in its own way.

use lockstep_auth::AuthError;
use lockstep_cache::ReadError;
use lockstep_store::StoreError;
use lockstep_store::accounts::AccountError;
use lockstep_store::guests::ShopperError;

/// Why something did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// It was not allowed, or did not fit; [`AuthError::code`] is its stable name.
    #[error(transparent)]
    Refused(#[from] AuthError),
    /// Nothing can be read.
    #[error(transparent)]
    Read(#[from] ReadError),
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
