//! `GET /account`: the overview.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_domain::Money;

use super::Menu;
use crate::error::PageError;
use crate::format;
use crate::layout::Layout;
use crate::pages::form_page::notice;
use crate::session::SignedInUser;
use crate::visit::Preferences;
use crate::{WebState, page};

#[derive(Template)]
#[template(path = "account/overview.html")]
struct Overview {
    layout: Layout,
    menu: Menu,
    notice: Option<String>,
    name: String,
    email: String,
    is_verified: bool,
    has_factor: bool,
    balance: String,
    orders: u64,
    keys: u64,
    /// Total saved by discounts, if any.
    saved: Option<String>,
    since: String,
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    let words = visit.language;
    let facts = member.context.profile().await?;
    let figures = facts.figures_at(state.now());
    let layout = Layout::of_reader(&state, &visit, &member.context).await?;
    let page = Overview {
        menu: Menu::of(&visit),
        notice: notice(words, &visit),
        name: layout.me.name.clone().unwrap_or_default(),
        layout,
        email: facts.email,
        is_verified: facts.email_verified,
        has_factor: facts.second_factor,
        balance: format::price(words, figures.balance),
        orders: figures.total_orders,
        keys: figures.total_games,
        saved: (figures.total_saved > Money::ZERO).then(|| format::price(words, figures.total_saved)),
        since: format::date(words, facts.created_at),
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}
