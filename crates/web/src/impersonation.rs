//! Staff who act as a customer in the shop's pages.
//!
//! Their token is in a cookie of its own, beside that of their own session. Every request with it is recorded before it is
//! answered, asks the one list of what is allowed, and shows the banner; nothing of it is kept by the browser.

use axum::extract::Request;
use axum::http::Method;
use axum::http::header::{self, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use lockstep_auth::{AuthError, as_customer};
use lockstep_domain::secret::Secret;
use lockstep_page::session::{self, ActsAsCustomer, may_impersonate};
use lockstep_shop::{Deed, Impersonation, ShopError};

use crate::WebState;
use crate::error::PageError;
use crate::forms;

/// The address that ends it.
pub(crate) const END: &str = "/impersonation/end";
/// A log-out is that of the member of staff, whose session ends the other one.
const LOG_OUT: &str = "/logout";

/// What the console says then; it has the text.
const ACTED: &str = "done=acted";

/// In whose name a request comes.
pub(crate) enum Acts {
    /// In that of its reader.
    Themselves,
    /// In a customer's, by staff.
    As(Impersonation),
    /// In that of a customer, as whom nobody acts any more.
    Ended,
    /// It is not known.
    Unknown(PageError),
}

/// What a request says of it.
pub(crate) struct Asked {
    token: Option<Secret>,
    method: Method,
    path: String,
}

impl Asked {
    pub(crate) fn of(state: &WebState, request: &Request) -> Self {
        let token = session::impersonation(request.headers(), state.settings.production);
        Self {
            token: token.map(Secret::new),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        }
    }

    fn is_sent_to(&self, path: &str) -> bool {
        self.method == Method::POST && self.path == path
    }

    fn is_allowed(&self) -> bool {
        may_impersonate(&self.method, &self.path) || self.is_sent_to(END)
    }

    /// Finds out who makes the request, and records it if staff act as a customer.
    pub(crate) async fn look(&self, state: &WebState) -> Acts {
        let Some(token) = &self.token else {
            return Acts::Themselves;
        };
        if self.is_sent_to(LOG_OUT) {
            return Acts::Ended;
        }
        let deed = Deed {
            method: self.method.as_str(),
            path: &self.path,
            is_refused: !self.is_allowed(),
        };
        match state.shop.impersonation(token.expose(), deed).await {
            Ok(Some(found)) => Acts::As(found),
            Ok(None) | Err(ShopError::Refused(AuthError::NotSignedIn)) => Acts::Ended,
            Err(error) => Acts::Unknown(error.into()),
        }
    }
}

/// Answers a request in the name that [`Asked::look`] has found.
pub(crate) async fn answer(state: &WebState, asked: Asked, acts: Acts, mut request: Request, next: Next) -> Response {
    let found = match acts {
        Acts::Themselves => return next.run(request).await,
        Acts::Unknown(error) => return error.into_response(),
        Acts::Ended => {
            let is_read = matches!(asked.method, Method::GET | Method::HEAD);
            // What was meant for the customer is not done to the member of staff.
            let response = if is_read || asked.is_sent_to(LOG_OUT) {
                next.run(request).await
            } else {
                forms::done("/")
            };
            return without_token(state, response);
        }
        Acts::As(found) => found,
    };
    if asked.is_sent_to(END) {
        return end(state, &found).await;
    }
    if !asked.is_allowed() {
        return PageError::Impersonation.into_response();
    }
    if let Some(token) = asked.token {
        request.extensions_mut().insert(ActsAsCustomer(token));
    }
    let mut response = as_customer(found.session, next.run(request)).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.remove(header::ETAG);
    response
}

/// `POST /impersonation/end`
async fn end(state: &WebState, found: &Impersonation) -> Response {
    if let Err(error) = state.shop.auth().end_impersonation(found.session).await {
        return PageError::from(error).into_response();
    }
    let customer = format!("{}/customers/{}?{ACTED}", state.settings.console, found.user);
    without_token(state, forms::done(&customer))
}

fn without_token(state: &WebState, mut response: Response) -> Response {
    let cookie = session::no_impersonation(state.settings.production);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

/// `POST /impersonation/end` of somebody who acts as nobody: it has ended already.
pub(crate) async fn nobody() -> Response {
    forms::done("/")
}
