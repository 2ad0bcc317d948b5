//! Errors of pages, and the page that shows one.
//!
//! A handler returns a [`PageError`]; the `edge` middleware, which knows the reader's language and theme, renders its
//! page.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use lockstep_auth::AuthError;
use lockstep_cache::ReadError;
use lockstep_shop::{ShopError, TopUpError};
use lockstep_store::StoreError;
use lockstep_store::accounts::AccountError;
use lockstep_store::guests::ShopperError;
use lockstep_store::orders::PlaceError;
use lockstep_store::top_ups::BeginError;

use crate::WebState;
use crate::forms;
use crate::layout::Layout;
use crate::visit::Preferences;
use crate::{page, session};

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
    const fn status(&self) -> StatusCode {
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
    /// A bare status that carries the reason; the `edge` middleware replaces it by a page.
    fn into_response(self) -> Response {
        if matches!(self, Self::SignedOut) {
            return forms::done("/login");
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
            ShopError::Unreadable(error) => error.into(),
            ShopError::NotFound(_) => Self::NotFound,
            ShopError::Busy => Self::Offline,
            ShopError::Place(PlaceError::Store(error))
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
            AuthError::Store(error)
            | AuthError::Account(AccountError::Store(error))
            | AuthError::Shopper(ShopperError::Store(error)) => error.into(),
            AuthError::NotSignedIn
            | AuthError::Account(AccountError::NotFound)
            | AuthError::Shopper(ShopperError::NoSuchShopper) => Self::SignedOut,
            AuthError::Shopper(ShopperError::NoSuchGame) => Self::NotFound,
            AuthError::Shopper(ShopperError::TooManyGames { .. }) => Self::BadRequest,
            AuthError::Forbidden | AuthError::AdminNeedsSecondFactor => Self::Forbidden,
            error => {
                tracing::error!(code = error.code(), "a page got an unexpected {}", error.code());
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

impl From<serde_json::Error> for PageError {
    fn from(error: serde_json::Error) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a cached answer has an unexpected form"
        );
        Self::Internal
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    layout: Layout,
    code: u16,
    title: &'static str,
    advice: String,
    /// Whether a retry may help.
    again: bool,
}

/// Renders the page of `error`.
pub(crate) fn respond(state: &WebState, visit: &Preferences, error: &PageError) -> Response {
    let words = visit.language;
    let (title, advice) = match error {
        PageError::NotFound => (words.text("error.404.title"), words.text("error.404.advice").to_owned()),
        PageError::BadRequest => (words.text("error.400.title"), words.text("error.400.advice").to_owned()),
        PageError::Forbidden | PageError::SignedOut => {
            (words.text("error.403.title"), words.text("error.403.advice").to_owned())
        }
        PageError::WrongMethod => (words.text("error.405.title"), words.text("error.405.advice").to_owned()),
        PageError::TooMany(wait) => (
            words.text("error.429.title"),
            words.count("error.429.advice", wait.as_secs().div_ceil(60).max(1)),
        ),
        PageError::Locked => (
            words.text("error.locked.title"),
            words.text("error.locked.advice").to_owned(),
        ),
        PageError::Offline => (words.text("error.503.title"), words.text("error.503.advice").to_owned()),
        PageError::Internal => (words.text("error.500.title"), words.text("error.500.advice").to_owned()),
    };
    let template = ErrorPage {
        layout: Layout::new(state, visit).unlisted(),
        code: error.status().as_u16(),
        title,
        advice,
        again: matches!(
            error,
            PageError::Locked | PageError::Offline | PageError::Internal | PageError::TooMany(_)
        ),
    };
    let mut response = match template.render() {
        Ok(html) => page::fresh(error.status(), html),
        Err(_) => error.status().into_response(),
    };
    let wait = match error {
        PageError::TooMany(wait) => Some(wait.as_secs().max(1)),
        PageError::Locked => Some(2),
        PageError::Offline => Some(5),
        _ => None,
    };
    if let Some(wait) = wait {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(wait));
    }
    response
}

/// The fallback for addresses without a page.
///
/// An address with a trailing slash redirects to the one without.
pub(crate) async fn nothing_here(address: Uri) -> Response {
    // Exactly one leading slash: two would lead to another site.
    let query = address.query().map(|query| format!("?{query}")).unwrap_or_default();
    let without = format!("/{}{query}", address.path().trim_matches(['/', '\\']));
    if address.path().len() > 1 && address.path().ends_with('/') && forms::is_ours(&without) {
        return Redirect::permanent(&without).into_response();
    }
    PageError::NotFound.into_response()
}

/// The fallback for addresses that do not accept the method.
///
/// Browsers return to the address that a form was sent to; they are redirected to the form's page.
pub(crate) async fn wrong_method(method: Method, address: Uri) -> Response {
    match session::page_of(address.path()) {
        page if method == Method::GET && page != address.path() => forms::done(page),
        _ => PageError::WrongMethod.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One tab is still open while another deletes the account.
    #[test]
    fn deleted_accounts_are_redirected_to_the_login() {
        for error in [
            AuthError::NotSignedIn,
            AuthError::Account(AccountError::NotFound),
            AuthError::Shopper(ShopperError::NoSuchShopper),
        ] {
            let answer = PageError::from(error).into_response();
            assert_eq!(answer.status(), StatusCode::SEE_OTHER);
            assert_eq!(answer.headers()[header::LOCATION], "/login");
        }
    }
}
