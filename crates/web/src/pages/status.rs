//! `GET /status`: the state of the shop for people. Programs use `/readyz`.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::error::PageError;
use crate::layout::Layout;
use crate::visit::Preferences;
use crate::{WebState, format, page};

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    layout: Layout,
    parts: Vec<Part>,
}

/// A part of the shop that customers depend on.
struct Part {
    name: &'static str,
    is_well: bool,
    text: String,
}

pub(crate) async fn status(State(state): State<Arc<WebState>>, visit: Preferences) -> Result<Response, PageError> {
    let (supply, words, now) = (state.supply.borrow().clone(), visit.language, state.now());
    let ago = |then| format::ago(words, then, now);
    let parts = vec![
        Part {
            name: words.text("status.orders"),
            is_well: !supply.is_offline,
            text: words
                .text(if supply.is_offline {
                    "status.orders.away"
                } else {
                    "status.orders.well"
                })
                .to_owned(),
        },
        Part {
            name: words.text("status.keys"),
            is_well: supply.waiting_since.is_none() && !supply.is_offline,
            text: match supply.waiting_since {
                Some(since) => words.with("status.keys.waiting", ago(since)),
                None if supply.is_offline => words.text("status.unknown").to_owned(),
                None => words.text("status.keys.well").to_owned(),
            },
        },
        Part {
            name: words.text("status.prices"),
            is_well: supply
                .checked_at
                .is_some_and(|then| now - then < chrono::TimeDelta::hours(1)),
            text: match supply.checked_at {
                Some(then) => words.with("status.prices.checked", ago(then)),
                None => words.text("checked.never").to_owned(),
            },
        },
    ];
    let mut layout = Layout::new(&state, &visit).canonical("/status".to_owned());
    layout.unlisted = true;
    Ok(page::fresh(StatusCode::OK, StatusPage { layout, parts }.render()?))
}
