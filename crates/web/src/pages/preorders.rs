//! `GET /preorders`: announced games, by release date, next first.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use lockstep_domain::catalogue::Tile;

use crate::WebState;
use crate::cards::Card;
use crate::error::PageError;
use crate::layout::{Layout, moment};
use crate::page::fingerprint;
use crate::visit::Preferences;

#[derive(Template)]
#[template(path = "preorders.html")]
struct Preorders {
    layout: Layout,
    cards: Vec<Card>,
}

pub(crate) async fn preorders(State(state): State<Arc<WebState>>, visit: Preferences) -> Result<Response, PageError> {
    let games = state.shop.catalogue().preorders().await?;
    let made_of = fingerprint(&[games.etag(), &moment(&state)]);
    let page = state
        .page_cache
        .get(format!("preorders:{}", visit.variant()), made_of, || {
            let tiles: Vec<Tile> = games.value()?.into_iter().map(Tile::from).collect();
            let template = Preorders {
                cards: Card::all(visit.language, &tiles),
                layout: Layout::new(&state, &visit).canonical("/preorders".to_owned()),
            };
            Ok(template.render()?)
        })?;
    Ok(page.serve(&visit))
}
