//! `GET /fragments/recent?game=…`: cards of the games that this browser has shown recently, with current prices. The
//! list of games is stored only in the browser (`recent.js`).

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use lockstep_domain::CacheKey;
use lockstep_domain::catalogue::{Answer, Game};
use lockstep_store::games;

use crate::cards::{Card, Tile};
use crate::error::PageError;
use crate::layout::Layout;
use crate::pages::game::is_slug;
use crate::visit::Preferences;
use crate::{WebState, answers, page};

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
        let entry = answers::one(&state.cache, CacheKey::GameBySlug(slug.clone()), move |tx| {
            Box::pin(async move { games::by_slug(tx, &slug).await })
        })
        .await?;
        if entry.found {
            let game: Answer<Game> = serde_json::from_slice(&entry.body)?;
            tiles.push(Tile::from(game.data));
        }
    }
    page::private(&Cards {
        cards: Card::all(visit.language, &tiles),
        layout: Layout::new(&state, &visit),
    })
}
