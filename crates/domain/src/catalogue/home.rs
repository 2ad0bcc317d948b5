//! The home page's data: rows of games, each without the long texts that a list does not show.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Game, iso_millis};
use crate::{GameId, Money};

/// The fields of a game that a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tile {
    /// Identifier.
    pub id: GameId,
    /// URL slug.
    pub slug: String,
    /// Title.
    pub title: String,
    /// One or two sentences.
    pub about: Option<String>,
    /// Cover URL.
    pub image: String,
    /// The service on which the key is redeemed.
    pub service: Option<String>,
    /// The region in which the key works.
    pub region: Option<String>,
    /// Price, EUR.
    pub price: Money,
    /// The higher price that it is compared with, EUR.
    pub original: Option<Money>,
    /// Whole percent below `original`.
    pub discount: Option<i32>,
    /// The lowest price of the 30 days before the reduction began, EUR.
    #[serde(default)]
    pub lowest: Option<Money>,
    /// Whether it can be bought now.
    pub in_stock: bool,
    /// Whether it is announced but not yet released.
    pub is_preorder: bool,
    /// Release date.
    #[serde(with = "iso_millis")]
    pub release: DateTime<Utc>,
    /// False when the release date is unknown.
    pub release_known: bool,
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
            lowest: game.lowest_price_30d,
            in_stock: game.in_stock,
            is_preorder: game.is_preorder,
            release: game.release_date,
            release_known: game.release_date_known,
        }
    }
}

/// The data of the home page, read in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The featured game.
    pub hero: Option<Tile>,
    /// The featured game is the best seller; in a new shop without sales, it is the latest addition.
    pub sells: bool,
    /// Best sellers, without the featured one.
    pub best: Vec<Tile>,
    /// Latest additions to the catalogue.
    pub fresh: Vec<Tile>,
    /// Announced games, earliest release first.
    pub preorders: Vec<Tile>,
    /// The largest genres.
    pub genres: Vec<GenreTiles>,
    /// Games that staff have picked.
    #[serde(default)]
    pub picked: Vec<Tile>,
    /// Which rows the page has, in their order.
    #[serde(default = "Shelf::usual")]
    pub shelves: Vec<Shelf>,
}

/// A genre with some of its games.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenreTiles {
    /// Display name.
    pub name: String,
    /// Slug of the catalogue filter.
    pub slug: String,
    /// Its games, most popular first.
    pub games: Vec<Tile>,
}

/// A row of the home page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shelf {
    /// Best sellers.
    Best,
    /// Latest additions.
    New,
    /// Announced games.
    Preorders,
    /// One row for each of the largest genres.
    Genres,
    /// Games that staff have picked.
    Picked,
}

impl Shelf {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Best, Self::New, Self::Preorders, Self::Genres, Self::Picked];

    /// The name in the database and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::New => "new",
            Self::Preorders => "preorders",
            Self::Genres => "genres",
            Self::Picked => "picked",
        }
    }

    /// The row with a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shelf| shelf.name() == name)
    }

    /// The rows of a shop that has chosen none.
    pub fn usual() -> Vec<Self> {
        vec![Self::Best, Self::New, Self::Preorders, Self::Genres]
    }
}
