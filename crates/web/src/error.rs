//! Errors of pages.
//!
//! A handler returns a [`PageError`]; the `edge`, which knows the reader's language and theme, renders its page
//! ([`crate::error_page`]).

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lockstep_auth::{AccountError, AuthError};
use lockstep_shop::{BeginError, PlaceError, ReadError, ShopError, ShopperError, StoreError, TopUpError, shopper_code};

/// The page to which a reader without an account is sent.
const LOG_IN: HeaderValue = HeaderValue::from_static("/login");

/// Why a page cannot be shown.
#[derive(Debug, Clone)]
pub(crate) enum PageError {
    /// Nothing exists at this address.
    NotFound,
    /// The address or the form is invalid.
    BadRequest,
    /// The form came from another site, or the reader lacks permission.
    Forbidden,
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
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::SignedOut => StatusCode::SEE_OTHER,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Locked | Self::Offline => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
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
            AuthError::Forbidden | AuthError::AdminNeedsSecondFactor => Self::Forbidden,
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
