//! `GET /fragments/recent?game=…`: cards of the games that this browser has shown recently, with current prices. The
//! list of games is stored only in the browser (`recent.js`).

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use lockstep_domain::catalogue::Tile;
use lockstep_domain::slug::is_slug;

use crate::cards::Card;
use crate::error::PageError;
use crate::layout::Layout;
use crate::visit::Preferences;
use crate::{WebState, page};

/// One row.
const MAX_GAMES: usize = 6;

#[derive(Template)]
#[template(path = "fragments/cards.html")]
struct Cards {
    layout: Layout,
    cards: Vec<Card>,
}

pub(crate) async fn fragment(State(state): State<Arc<WebState>>, visit: Preferences) -> Result<Response, PageError> {
    let mut tiles: Vec<Tile> = Vec::new();
    let slugs = visit
        .pairs()
        .filter(|(name, slug)| name == "game" && is_slug(slug))
        .map(|(_, slug)| slug)
        .take(MAX_GAMES);
    for slug in slugs {
        if let Some(game) = state.shop.catalogue().game_by_slug(slug).await? {
            tiles.push(Tile::from(game.value()?));
        }
    }
    page::private(&Cards {
        cards: Card::all(visit.language, &tiles),
        layout: Layout::new(&state, &visit),
    })
}
