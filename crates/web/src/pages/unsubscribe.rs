//! `/unsubscribe?token=`: ends announcements, without a log-in. Reading the page changes nothing, because mail programs
//! and their scanners follow links; its button, and the one click of mail programs (RFC 8058), send a POST. The token is
//! in the address of both, and no body is read: mail programs send one in another form than browsers.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::error::PageError;
use crate::layout::Layout;
use crate::visit::Preferences;
use crate::{WebState, page};

#[derive(Template)]
#[template(path = "unsubscribe.html")]
struct UnsubscribePage {
    layout: Layout,
    is_subscribed: bool,
    token: String,
}

fn token(visit: &Preferences) -> Result<String, PageError> {
    let token = visit.pairs().find(|(name, _)| name == "token").map(|(_, token)| token);
    let token = token.filter(|token| token.len() <= 100 && token.bytes().all(|byte| byte.is_ascii_hexdigit()));
    token.ok_or(PageError::NotFound)
}

fn answer(state: &WebState, visit: &Preferences, is_subscribed: bool, token: String) -> Result<Response, PageError> {
    let page = UnsubscribePage {
        layout: Layout::new(state, visit).unlisted(),
        is_subscribed,
        token,
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}

pub(crate) async fn page(State(state): State<Arc<WebState>>, visit: Preferences) -> Result<Response, PageError> {
    let token = token(&visit)?;
    let is_subscribed = state.shop.is_subscribed(&token).await?.ok_or(PageError::NotFound)?;
    answer(&state, &visit, is_subscribed, token)
}

/// Mail programs follow no redirect: the answer is the page itself.
pub(crate) async fn unsubscribe(State(state): State<Arc<WebState>>, visit: Preferences) -> Result<Response, PageError> {
    let token = token(&visit)?;
    if !state.shop.unsubscribe(&token).await? {
        return Err(PageError::NotFound);
    }
    answer(&state, &visit, false, token)
}
