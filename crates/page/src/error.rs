//! Errors of pages.
//!
//! A handler returns a [`PageError`]; the edge of the pages, which knows the reader's language and theme, renders its
//! page.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lockstep_auth::{AccountError, AuthError};
use lockstep_shop::{BeginError, PlaceError, ReadError, ShopError, ShopperError, StoreError, TopUpError, shopper_code};

use crate::i18n::Language;

/// The page to which a reader without an account is sent.
const LOG_IN: HeaderValue = HeaderValue::from_static("/login");

/// Why a page cannot be shown.
#[derive(Debug, Clone)]
pub enum PageError {
    /// Nothing exists at this address.
    NotFound,
    /// The address or the form is invalid.
    BadRequest,
    /// The form came from another site, or the reader lacks permission.
    Forbidden,
    /// Staff who act as a customer may not do this.
    Impersonation,
    /// The account was deleted while its page was being made: the reader is sent to the log-in.
    SignedOut,
    /// The address does not accept this method.
    WrongMethod,
    /// Too many requests; the reader may retry after this time.
    TooMany(Duration),
    /// Another transaction holds the rows to be changed.
    Locked,
    /// The database does not answer, or not in time.
    Offline,
    /// A bug; it has been logged.
    Internal,
}

impl PageError {
    /// The status of its page.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Forbidden | Self::Impersonation => StatusCode::FORBIDDEN,
            Self::SignedOut => StatusCode::SEE_OTHER,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Locked | Self::Offline => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl PageError {
    /// Title of its page, and what to do.
    pub fn texts(&self, words: Language) -> (&'static str, String) {
        let text = |title, advice| (words.text(title), words.text(advice).to_owned());
        match self {
            Self::NotFound => text("error.404.title", "error.404.advice"),
            Self::BadRequest => text("error.400.title", "error.400.advice"),
            Self::Forbidden | Self::SignedOut => text("error.403.title", "error.403.advice"),
            Self::Impersonation => text("error.impersonation.title", "error.impersonation.advice"),
            Self::WrongMethod => text("error.405.title", "error.405.advice"),
            Self::TooMany(wait) => (
                words.text("error.429.title"),
                words.count("error.429.advice", wait.as_secs().div_ceil(60).max(1)),
            ),
            Self::Locked => text("error.locked.title", "error.locked.advice"),
            Self::Offline => text("error.503.title", "error.503.advice"),
            Self::Internal => text("error.500.title", "error.500.advice"),
        }
    }

    /// Whether a retry may help.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Locked | Self::Offline | Self::Internal | Self::TooMany(_))
    }

    /// After how many seconds a retry may help, for `Retry-After`.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooMany(wait) => Some(wait.as_secs().max(1)),
            Self::Locked => Some(2),
            Self::Offline => Some(5),
            _ => None,
        }
    }
}

impl IntoResponse for PageError {
    /// A bare status that carries the reason; the `edge` replaces it by a page.
    fn into_response(self) -> Response {
        if matches!(self, Self::SignedOut) {
            return (StatusCode::SEE_OTHER, [(header::LOCATION, LOG_IN)]).into_response();
        }
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ReadError> for PageError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable => Self::Offline,
            ReadError::Load(error) => Self::from_store(&error),
            ReadError::Unreadable(error) => {
                tracing::error!(
                    error = &*error as &dyn std::error::Error,
                    "a cached answer has another form than expected"
                );
                Self::Internal
            }
        }
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        Self::from_store(&Arc::new(error))
    }
}

impl PageError {
    fn from_store(error: &Arc<StoreError>) -> Self {
        if error.is_locked() {
            return Self::Locked;
        }
        if matches!(**error, StoreError::Unavailable(_)) {
            return Self::Offline;
        }
        if error.is_account_deleted() {
            return Self::SignedOut;
        }
        tracing::error!(
            error = &**error as &dyn std::error::Error,
            "a page could not be rendered"
        );
        Self::Internal
    }
}

impl From<ShopError> for PageError {
    fn from(error: ShopError) -> Self {
        match error {
            ShopError::Refused(error) => error.into(),
            ShopError::Read(error) => error.into(),
            ShopError::Shopper(error) => error.into(),
            ShopError::NotFound(_) => Self::NotFound,
            ShopError::Busy => Self::Offline,
            // No page leads there.
            ShopError::ConsentNeeded => Self::Forbidden,
            ShopError::Store(error)
            | ShopError::Place(PlaceError::Store(error))
            | ShopError::TopUp(TopUpError::Begin(BeginError::Store(error))) => error.into(),
            // Forms show all other errors themselves; an error that gets here was unexpected.
            error => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a page got an unexpected refusal"
                );
                Self::Internal
            }
        }
    }
}

impl From<AuthError> for PageError {
    /// For the errors that no form shows: see [`Form::refuse`](crate::forms::Form::refuse).
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::RateLimited { retry_after } => Self::TooMany(retry_after),
            AuthError::Busy => Self::Offline,
            AuthError::Store(error) | AuthError::Account(AccountError::Store(error)) => error.into(),
            AuthError::NotSignedIn | AuthError::Account(AccountError::NotFound) => Self::SignedOut,
            AuthError::Impersonation => Self::Impersonation,
            AuthError::Forbidden | AuthError::AdminNeedsSecondFactor | AuthError::NotConfirmed => Self::Forbidden,
            error => {
                tracing::error!(code = error.code(), "a page got an unexpected {}", error.code());
                Self::Internal
            }
        }
    }
}

impl From<ShopperError> for PageError {
    /// For the errors that no form shows: see [`Form::refuse_shop`](crate::forms::Form::refuse_shop).
    fn from(error: ShopperError) -> Self {
        match error {
            ShopperError::Store(error) => error.into(),
            ShopperError::NoSuchShopper => Self::SignedOut,
            ShopperError::NoSuchGame => Self::NotFound,
            ShopperError::TooManyGames { .. } => Self::BadRequest,
            error => {
                let code = shopper_code(&error);
                tracing::error!(code, "a page did not expect {code}");
                Self::Internal
            }
        }
    }
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a template failed");
        Self::Internal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One tab is still open while another deletes the account.
    #[test]
    fn deleted_accounts_are_redirected_to_the_login() {
        for error in [
            AuthError::NotSignedIn.into(),
            AuthError::Account(AccountError::NotFound).into(),
            PageError::from(ShopperError::NoSuchShopper),
        ] {
            let answer = error.into_response();
            assert_eq!(answer.status(), StatusCode::SEE_OTHER);
            assert_eq!(answer.headers()[header::LOCATION], "/login");
        }
    }
}
