//! Games in lists. [`Tile`] is the cached part, without the long texts that lists do not show; [`Card`] is the tile in
//! the reader's language, for `components/card.html`.

use chrono::{DateTime, Utc};
use lockstep_domain::catalogue::{Game, iso_millis};
use lockstep_domain::{GameId, Money, title};
use serde::{Deserialize, Serialize};

use crate::format;
use crate::i18n::Language;
use crate::pictures::Picture;

/// The fields of a game that a list shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tile {
    pub(crate) id: GameId,
    pub(crate) slug: String,
    pub(crate) title: String,
    pub(crate) about: Option<String>,
    pub(crate) image: String,
    pub(crate) service: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) price: Money,
    pub(crate) original: Option<Money>,
    pub(crate) discount: Option<i32>,
    pub(crate) in_stock: bool,
    pub(crate) is_preorder: bool,
    #[serde(with = "iso_millis")]
    pub(crate) release: DateTime<Utc>,
    pub(crate) release_known: bool,
}

impl From<Game> for Tile {
    fn from(game: Game) -> Self {
        Self {
            id: game.id,
            slug: game.slug,
            title: game.title,
            about: game.short_description,
            image: game.image,
            service: game.activation_service,
            region: game.region,
            price: game.price,
            original: game.original_price,
            discount: game.discount,
            in_stock: game.in_stock,
            is_preorder: game.is_preorder,
            release: game.release_date,
            release_known: game.release_date_known,
        }
    }
}

/// A game as `components/card.html` shows it.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) slug: String,
    pub(crate) title: String,
    pub(crate) picture: Picture,
    /// `Steam · Europe`
    pub(crate) place: String,
    pub(crate) price: String,
    pub(crate) original: Option<String>,
    pub(crate) discount: i32,
    /// It cannot be bought at the moment.
    pub(crate) is_out: bool,
    /// A label on the cover: sold out, preorder.
    pub(crate) tag: Option<(&'static str, &'static str)>,
    /// A note below the price: the release date.
    pub(crate) state: Option<String>,
}

impl Card {
    pub(crate) fn new(words: Language, tile: &Tile) -> Self {
        let place = [
            tile.service.clone(),
            tile.region.as_deref().map(|region| region_name(words, region)),
        ];
        Self {
            slug: tile.slug.clone(),
            title: title::own(&tile.title, tile.region.as_deref()).to_owned(),
            picture: Picture::cover(tile.id, &tile.slug, &tile.image),
            place: place.into_iter().flatten().collect::<Vec<_>>().join(" · "),
            price: format::price(words, tile.price),
            // A reduction is shown only for a game that can be bought.
            original: tile
                .original
                .filter(|_| tile.in_stock || tile.is_preorder)
                .map(|price| format::price(words, price)),
            discount: tile.discount.unwrap_or(0),
            is_out: !tile.in_stock,
            tag: match (tile.in_stock, tile.is_preorder) {
                (_, true) => Some(("warn", words.text("card.preorder"))),
                (false, false) => Some(("", words.text("card.out"))),
                (true, false) => None,
            },
            state: (tile.is_preorder && tile.release_known)
                .then(|| words.with("card.released", format::date(words, tile.release))),
        }
    }

    /// The cards of `tiles`, in the same order.
    pub(crate) fn all(words: Language, tiles: &[Tile]) -> Vec<Self> {
        tiles.iter().map(|tile| Self::new(words, tile)).collect()
    }
}

/// The name of a region in the reader's language.
pub(crate) fn region_name(words: Language, region: &str) -> String {
    title::region_name(words.speech(), region)
}
