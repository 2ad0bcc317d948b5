//! Why something was not allowed, as endpoints need to tell it apart.

use std::time::Duration;

use lockstep_domain::account::{FieldError, PasswordFault};
use lockstep_store::StoreError;
use lockstep_store::accounts::AccountError;
use lockstep_store::guests::ShopperError;

use crate::password::HashError;

/// Why something did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Too many attempts from this address or on this account (429).
    #[error("Too many attempts, try again later")]
    RateLimited {
        /// For `Retry-After`; whole seconds, at least one.
        retry_after: Duration,
    },
    /// More log-ins than can be worked on (503).
    #[error("Too many log-ins at the moment, try again")]
    Busy,
    /// Fields that are wrong (400; the contract's message).
    #[error("Validation failed")]
    Invalid(Vec<FieldError>),
    /// E-mail or password is wrong; never which (401; the front-end looks for the first word).
    #[error("Unauthorized: wrong e-mail or password")]
    WrongCredentials,
    /// The password was right, and a code of the authenticator is needed too (401).
    #[error("Unauthorized: a code of the authenticator is needed")]
    SecondFactorNeeded,
    /// The code of the authenticator was wrong, or was used before (401).
    #[error("Unauthorized: wrong code of the authenticator")]
    SecondFactorWrong,
    /// No token, or one that says nothing: forged, expired, of an ended session (401).
    #[error("Unauthorized")]
    NotSignedIn,
    /// Signed in, and not allowed (403).
    #[error("Forbidden")]
    Forbidden,
    /// An admin who has to set up, or give, a second factor first (403).
    #[error("Forbidden: an admin needs a second factor")]
    AdminNeedsSecondFactor,
    /// There is an account with this address (409; the front-end looks for `already exists`).
    #[error("User with this email already exists")]
    EmailTaken,
    /// The current password, asked for once more, is wrong (400).
    #[error("Current password is incorrect")]
    WrongPassword,
    /// A reset link that is not good (any more) (400).
    #[error("This link is not valid any more, ask for a new one")]
    LinkNotValid,
    /// A verification code that is wrong (400).
    #[error("Wrong code")]
    WrongCode {
        /// Attempts that are left; with none, a new code has to be asked for.
        left: u32,
    },
    /// No verification code is good: run out, used up, or never asked for (400).
    #[error("This code is not valid any more, ask for a new one")]
    CodeNotValid,
    /// What stands in the way of a change to an account.
    #[error(transparent)]
    Account(AccountError),
    /// What stands in the way of a change to a cart or wishlist.
    #[error(transparent)]
    Shopper(ShopperError),
    /// The database (503 when it is away).
    #[error(transparent)]
    Store(StoreError),
    /// A bug (500).
    #[error("internal error")]
    Internal,
}

impl AuthError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate_limited",
            Self::Busy => "busy",
            Self::Invalid(_) => "validation_failed",
            Self::WrongCredentials => "wrong_credentials",
            Self::SecondFactorNeeded => "second_factor_needed",
            Self::SecondFactorWrong => "second_factor_wrong",
            Self::NotSignedIn => "not_signed_in",
            Self::Forbidden => "forbidden",
            Self::AdminNeedsSecondFactor => "admin_needs_second_factor",
            Self::EmailTaken => "email_taken",
            Self::WrongPassword => "wrong_password",
            Self::LinkNotValid => "link_not_valid",
            Self::WrongCode { .. } => "wrong_code",
            Self::CodeNotValid => "code_not_valid",
            Self::Account(error) => match error {
                AccountError::EmailTaken => "email_taken",
                AccountError::NotFound => "account_not_found",
                AccountError::Outdated => "try_again",
                AccountError::AlreadyVerified => "already_verified",
                AccountError::SecondFactorExists => "second_factor_exists",
                AccountError::LastAdmin => "last_admin",
                AccountError::OrdersUnderWay => "orders_under_way",
                AccountError::PaymentUnderWay => "payment_under_way",
                AccountError::HasBalance => "has_balance",
                AccountError::Store(_) => "unavailable",
            },
            Self::Shopper(error) => match error {
                ShopperError::NoSuchGame => "game_not_found",
                ShopperError::OutOfStock => "out_of_stock",
                ShopperError::InStock => "in_stock",
                ShopperError::NotPositive => "quantity_not_positive",
                ShopperError::TooManyCopies { .. } => "too_many_copies",
                ShopperError::TooManyGames { .. } => "too_many_games",
                ShopperError::KeyReused => "idempotency_key_reused",
                ShopperError::NoSuchShopper => "account_not_found",
                ShopperError::Store(_) => "unavailable",
            },
            Self::Store(_) => "unavailable",
            Self::Internal => "internal",
        }
    }
}

impl From<StoreError> for AuthError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<AccountError> for AuthError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::EmailTaken => Self::EmailTaken,
            AccountError::Store(error) => Self::Store(error),
            error => Self::Account(error),
        }
    }
}

impl From<ShopperError> for AuthError {
    fn from(error: ShopperError) -> Self {
        match error {
            ShopperError::Store(error) => Self::Store(error),
            error => Self::Shopper(error),
        }
    }
}

impl From<HashError> for AuthError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Failed => Self::Internal,
        }
    }
}

/// A new password that was refused, at the field it was sent in.
pub(crate) fn refused(fault: PasswordFault, path: &'static str) -> AuthError {
    AuthError::Invalid(vec![fault.at(path)])
}
