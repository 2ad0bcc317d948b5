//! Errors of authentication and accounts, as distinct as endpoints need them.

use std::time::Duration;

use lockstep_domain::account::{FieldError, PasswordFault};
use lockstep_domain::staff::Refused;
use lockstep_store::StoreError;
use lockstep_store::accounts::AccountError;

use crate::password::HashError;

/// The reason why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Too many attempts from this address or on this account (429).
    #[error("Too many attempts. Try again later.")]
    RateLimited {
        /// Wait before the next attempt, for `Retry-After`; whole seconds, at least one.
        retry_after: Duration,
    },
    /// More logins than the hashing threads can process (503).
    #[error("Too many users are logging in at the moment. Try again in a few seconds.")]
    Busy,
    /// Invalid fields (400; message of the HTTP contract, `docs/http-api.md`).
    #[error("Validation failed")]
    Invalid(Vec<FieldError>),
    /// Wrong e-mail address or password, without revealing which (401; the front-end matches the first word).
    #[error("Unauthorized: wrong e-mail or password")]
    WrongCredentials,
    /// The password is right, and a second factor is required (401).
    #[error("Unauthorized: enter the code of your authenticator app")]
    SecondFactorNeeded,
    /// The code of the second factor is wrong or was used before (401).
    #[error("Unauthorized: the code of the authenticator app is wrong")]
    SecondFactorWrong,
    /// No valid token: missing, forged, expired, or of an ended session (401).
    #[error("Unauthorized")]
    NotSignedIn,
    /// Signed in but not allowed (403).
    #[error("Forbidden")]
    Forbidden,
    /// An administrator who must set up or give a second factor first (403).
    #[error("Forbidden: administrators need two-factor authentication. Set it up, then log in with it.")]
    AdminNeedsSecondFactor,
    /// A member of staff who must give their password again first (403).
    #[error("Forbidden: give your password again first. Log in anew, then repeat this.")]
    NotConfirmed,
    /// Staff who act as a customer may not do this (403).
    #[error("Forbidden: not possible while you act as a customer. End that first.")]
    Impersonation,
    /// An account with this address exists (409; the front-end matches `already exists`).
    #[error("User with this email already exists")]
    EmailTaken,
    /// The current password, requested as a confirmation, is wrong (400).
    #[error("Current password is incorrect")]
    WrongPassword,
    /// The reset link is invalid or has expired (400).
    #[error("This link is no longer valid. Request a new one.")]
    LinkNotValid,
    /// The verification code is wrong (400).
    #[error("This code is wrong. Check it and enter it again.")]
    WrongCode {
        /// Remaining attempts; at zero, a new code must be requested.
        left: u32,
    },
    /// There is no valid verification code: expired, used, or never requested (400).
    #[error("This code is no longer valid. Request a new one.")]
    CodeNotValid,
    /// A change to an account is refused.
    #[error(transparent)]
    Account(AccountError),
    /// The database failed (503 if it is unavailable).
    #[error(transparent)]
    Store(StoreError),
    /// A bug (500).
    #[error("internal error")]
    Internal,
}

impl AuthError {
    /// Returns the stable error code, for programs.
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
            Self::NotConfirmed => "confirmation_needed",
            Self::Impersonation => "impersonation",
            Self::EmailTaken => "email_taken",
            Self::WrongPassword => "wrong_password",
            Self::LinkNotValid => "link_not_valid",
            Self::WrongCode { .. } => "wrong_code",
            Self::CodeNotValid => "code_not_valid",
            Self::Account(error) => match error {
                AccountError::EmailTaken => "email_taken",
                AccountError::NotFound => "account_not_found",
                AccountError::Outdated => "account_changed",
                AccountError::AlreadyVerified => "already_verified",
                AccountError::SecondFactorExists => "second_factor_exists",
                AccountError::LastAdmin => "last_admin",
                AccountError::NotVerified => "email_not_verified",
                AccountError::Refused(Refused::Lacks(_)) => "forbidden",
                AccountError::Refused(Refused::HasMore) => "has_more_permissions",
                AccountError::Refused(Refused::GivesMore) => "gives_more_permissions",
                AccountError::UnknownRole => "unknown_role",
                AccountError::HasOrders => "has_orders",
                AccountError::OrdersUnderWay => "orders_under_way",
                AccountError::PaymentUnderWay => "payment_under_way",
                AccountError::HasBalance => "has_balance",
                AccountError::Store(_) => "unavailable",
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

impl From<HashError> for AuthError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Failed => Self::Internal,
        }
    }
}

/// Builds the error of a refused new password, at the field that contained it.
pub(crate) fn refused(fault: PasswordFault, path: &'static str) -> AuthError {
    AuthError::Invalid(vec![fault.at(path)])
}
