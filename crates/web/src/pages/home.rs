//! The home page: one featured game, then best sellers, new games, upcoming games, and the largest genres.
//!
//! It is the same for all readers of a language. It is made from one cached answer, read in one snapshot, and kept in
//! the page cache.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use lockstep_cache::Payload;
use lockstep_domain::CacheKey;
use lockstep_domain::catalogue::CollectionType;
use lockstep_store::{StoreError, Tx, games};
use serde::{Deserialize, Serialize};

use crate::WebState;
use crate::cards::{Card, Tile};
use crate::error::PageError;
use crate::layout::{Layout, moment};
use crate::page::fingerprint;
use crate::pictures::Picture;
use crate::visit::Preferences;

/// Two rows of six.
const SHELF: usize = 12;
/// One row of six.
const ROW: usize = 6;

/// The data of the page.
#[derive(Debug, Serialize, Deserialize)]
struct Home {
    hero: Option<Tile>,
    /// The featured game is the best seller; in a new shop without sales, the latest addition.
    sells: bool,
    best: Vec<Tile>,
    fresh: Vec<Tile>,
    preorders: Vec<Tile>,
    genres: Vec<Genre>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Genre {
    name: String,
    slug: String,
    games: Vec<Tile>,
}

impl Home {
    async fn read(tx: &mut Tx) -> Result<Self, StoreError> {
        let tiles = |games: Vec<lockstep_domain::catalogue::Game>, count: usize| -> Vec<Tile> {
            games.into_iter().take(count).map(Tile::from).collect()
        };
        let mut best = games::best_sellers(tx, None).await?.into_iter();
        let first = best.next().map(Tile::from);
        let best: Vec<Tile> = best.take(SHELF).map(Tile::from).collect();
        let fresh = tiles(games::new_in_catalog(tx).await?, SHELF);
        Ok(Self {
            sells: first.is_some(),
            hero: first.or_else(|| fresh.first().cloned()),
            best,
            fresh,
            preorders: tiles(games::preorders(tx).await?, ROW),
            genres: games::collections(tx)
                .await?
                .into_iter()
                .filter(|collection| collection.kind == CollectionType::Genre)
                .map(|collection| Genre {
                    games: tiles(collection.games, ROW),
                    name: collection.title,
                    slug: collection.value,
                })
                .collect(),
        })
    }
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    layout: Layout,
    hero: Option<(Card, Picture, Option<String>)>,
    eyebrow: &'static str,
    shelves: Vec<GameRow>,
    genres: Vec<(String, String)>,
}

/// A row of games under a heading.
struct GameRow {
    id: &'static str,
    title: String,
    /// The address with more of these games.
    more: Option<String>,
    cards: Vec<Card>,
}

/// `GET /`
pub(crate) async fn home(State(state): State<Arc<WebState>>, visit: Preferences) -> Result<Response, PageError> {
    let entry = state
        .cache
        .read(CacheKey::HomePage("index".into()), |store| async move {
            let home = store.read(|tx| Box::pin(Home::read(tx))).await?;
            let payload = Payload::json(&home.value).map_err(|error| StoreError::Schema(error.to_string()))?;
            Ok(home.map(|_| payload))
        })
        .await?;
    let made_of = fingerprint(&[&entry.etag, &moment(&state)]);
    let page = state.page_cache.get(format!("home:{}", visit.variant()), made_of, || {
        let home: Home = serde_json::from_slice(&entry.body)?;
        Ok(draw(&state, &visit, &home).render()?)
    })?;
    Ok(page.serve(&visit))
}

fn draw(state: &WebState, visit: &Preferences, home: &Home) -> HomePage {
    let words = visit.language;
    let filtered = |name: &str, value: &str| {
        form_urlencoded::Serializer::for_suffix("/games?".to_owned(), "/games?".len())
            .append_pair(name, value)
            .finish()
    };
    let mut shelves = vec![
        GameRow {
            id: "best",
            title: words.text("home.best").to_owned(),
            more: Some("/games?sort=popular".to_owned()),
            cards: Card::all(words, &home.best),
        },
        GameRow {
            id: "new",
            title: words.text("home.new").to_owned(),
            more: Some("/games".to_owned()),
            cards: Card::all(words, &home.fresh),
        },
        GameRow {
            id: "preorders",
            title: words.text("home.preorders").to_owned(),
            more: Some("/preorders".to_owned()),
            cards: Card::all(words, &home.preorders),
        },
    ];
    shelves.extend(home.genres.iter().map(|genre| GameRow {
        id: "",
        title: words.with("home.genre", &genre.name),
        more: Some(filtered("genre", &genre.slug)),
        cards: Card::all(words, &genre.games),
    }));
    shelves.retain(|shelf| !shelf.cards.is_empty());
    HomePage {
        hero: home.hero.as_ref().map(|tile| {
            let about = tile.about.clone().filter(|about| !about.is_empty());
            (Card::new(words, tile), Picture::backdrop(&tile.slug), about)
        }),
        eyebrow: if home.sells {
            words.text("home.hero")
        } else {
            words.text("home.new")
        },
        shelves,
        genres: home
            .genres
            .iter()
            .map(|genre| (genre.name.clone(), filtered("genre", &genre.slug)))
            .collect(),
        layout: Layout::new(state, visit).canonical("/".to_owned()),
    }
}
