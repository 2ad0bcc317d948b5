//! The home page: one featured game, then the rows that staff have chosen; usually best sellers, new games, upcoming games,
//! and the largest genres.
//!
//! It is the same for all readers of a language. It is made from one cached answer, read in one snapshot, and kept in
//! the page cache.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use lockstep_domain::branding::Shelf;
use lockstep_domain::catalogue::{Home, Tile};

use crate::WebState;
use crate::cards::Card;
use crate::error::PageError;
use crate::layout::{Layout, moment};
use crate::page::fingerprint;
use crate::pictures::Picture;
use crate::visit::Preferences;

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
    let home = state.shop.catalogue().home().await?;
    let made_of = fingerprint(&[home.etag(), &moment(&state)]);
    let page = state.page_cache.get(format!("home:{}", visit.variant()), made_of, || {
        Ok(draw(&state, &visit, &home.value()?).render()?)
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
    let row = |id, title: &str, more: Option<&str>, tiles: &[Tile]| GameRow {
        id,
        title: words.text(title).to_owned(),
        more: more.map(str::to_owned),
        cards: Card::all(words, tiles),
    };
    let mut shelves: Vec<GameRow> = Vec::new();
    for shelf in &home.shelves {
        match shelf {
            Shelf::Best => shelves.push(row("best", "home.best", Some("/games?sort=popular"), &home.best)),
            Shelf::New => shelves.push(row("new", "home.new", Some("/games"), &home.fresh)),
            Shelf::Preorders => shelves.push(row("preorders", "home.preorders", Some("/preorders"), &home.preorders)),
            Shelf::Picked => shelves.push(row("picked", "home.picked", None, &home.picked)),
            Shelf::Genres => shelves.extend(home.genres.iter().map(|genre| GameRow {
                id: "",
                title: words.with("home.genre", &genre.name),
                more: Some(filtered("genre", &genre.slug)),
                cards: Card::all(words, &genre.games),
            })),
        }
    }
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
