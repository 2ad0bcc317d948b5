//! `GET /preorders`: announced games, by release date, next first.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use lockstep_domain::CacheKey;
use lockstep_domain::catalogue::{Answer, Game};
use lockstep_store::games;

use crate::cards::{Card, Tile};
use crate::error::PageError;
use crate::layout::{Layout, moment};
use crate::page::fingerprint;
use crate::visit::Preferences;
use crate::{WebState, answers};

#[derive(Template)]
#[template(path = "preorders.html")]
struct Preorders {
    layout: Layout,
    cards: Vec<Card>,
}

pub(crate) async fn preorders(State(state): State<Arc<WebState>>, visit: Preferences) -> Result<Response, PageError> {
    let entry = answers::read(&state.cache, CacheKey::HomePreorders, |tx| {
        Box::pin(games::preorders(tx))
    })
    .await?;
    let made_of = fingerprint(&[&entry.etag, &moment(&state)]);
    let page = state
        .page_cache
        .get(format!("preorders:{}", visit.variant()), made_of, || {
            let games: Answer<Vec<Game>> = serde_json::from_slice(&entry.body)?;
            let tiles: Vec<Tile> = games.data.into_iter().map(Tile::from).collect();
            let template = Preorders {
                cards: Card::all(visit.language, &tiles),
                layout: Layout::new(&state, &visit).canonical("/preorders".to_owned()),
            };
            Ok(template.render()?)
        })?;
    Ok(page.serve(&visit))
}
