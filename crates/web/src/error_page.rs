//! The page that shows an error.

use askama::Template;
use axum::http::{HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use lockstep_edge::RequestId;

use crate::WebState;
use crate::error::PageError;
use crate::forms;
use crate::layout::Layout;
use crate::visit::Preferences;
use crate::{page, session};

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    layout: Layout,
    code: u16,
    title: &'static str,
    advice: String,
    /// Whether a retry may help.
    again: bool,
    /// The id of the request, by which the operator finds it in the log.
    request_id: &'a str,
}

/// Renders the page of `error`.
pub(crate) fn respond(state: &WebState, visit: &Preferences, error: &PageError, id: &RequestId) -> Response {
    let (title, advice) = error.texts(visit.language);
    let template = ErrorPage {
        layout: Layout::new(state, visit).unlisted(),
        code: error.status().as_u16(),
        title,
        advice,
        again: error.may_pass(),
        request_id: id.as_str(),
    };
    let mut response = match template.render() {
        Ok(html) => page::fresh(error.status(), html),
        Err(_) => error.status().into_response(),
    };
    if let Some(wait) = error.retry_after() {
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
