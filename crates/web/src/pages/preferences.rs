//! `POST /preferences`: the theme, stored in a cookie. Works without scripts; `site.js` avoids the reload.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::http::header::{self, HeaderMap};
use axum::response::Response;

use crate::WebState;
use crate::error::PageError;
use crate::forms::{self, Form};
use crate::visit::{THEME_COOKIE, Theme, preference, text_of};

pub(crate) async fn set(
    State(state): State<Arc<WebState>>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, PageError> {
    let theme = Theme::of_name(form.value("theme")).ok_or(PageError::BadRequest)?;
    // Back to the page with the form; only its path and query are used.
    let back = text_of(&headers, &header::REFERER)
        .parse::<Uri>()
        .ok()
        .and_then(|uri| uri.path_and_query().map(ToString::to_string));
    let mut response = forms::done(back.as_deref().unwrap_or("/"));
    if let Some(cookie) = preference(THEME_COOKIE, theme.name(), state.settings.production) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
