//! The public catalogue: games, pages of games, filters and queries.
//!
//! The JSON forms are those that the existing shop's front-end reads. They are written once, when the cache is filled
//! with an [`Answer`], and read back by the pages, so every type here is both `Serialize` and `Deserialize`.

mod home;
mod json;
mod query;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::language::Language;
use crate::title::Title;
use crate::{GameId, Money};

pub use home::{GenreTiles, Home, Shelf, Tile};
pub(crate) use json::decimal_number;
pub use json::iso_millis;
pub use query::{CatalogQuery, PricePreset, Sort};
pub(crate) use query::{search_digest, suggestions_digest};

/// Path of uploaded pictures of games: under `/api`, which is all that a front-end of one's own passes on.
pub const PICTURES: &str = "/api/pictures/";

/// The address of the uploaded picture with this id.
pub fn picture_path(id: Uuid) -> String {
    format!("{PICTURES}{id}.webp")
}

/// The envelope of a successful response: `{"success": true, "data": ...}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Answer<T> {
    /// Always true; errors have a different envelope.
    pub success: bool,
    /// The requested data.
    pub data: T,
}

impl<T> Answer<T> {
    /// Wraps `data`.
    pub const fn new(data: T) -> Self {
        Self { success: true, data }
    }
}

/// One game of the catalogue.
///
/// It does not contain the time of the last synchronisation: that changes for every game with every complete run, and
/// would make a cached response stale although nothing in the game changed. Query it separately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(clippy::struct_excessive_bools, reason = "the front-end's form")]
pub struct Game {
    /// Identifier.
    pub id: GameId,
    /// Title.
    pub title: String,
    /// URL slug, unique.
    pub slug: String,
    /// Full description; may contain HTML as sent by G2A.
    pub description: String,
    /// One or two sentences.
    pub short_description: Option<String>,
    /// Price, EUR.
    pub price: Money,
    /// The higher price that it is compared with, EUR; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_price: Option<Money>,
    /// Whole percent below `originalPrice`; absent instead of 0, which the front-end would print.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<i32>,
    /// The lowest price of the 30 days before the reduction began, EUR; absent without a reduction or an earlier price.
    #[serde(default, rename = "lowestPrice30d", skip_serializing_if = "Option::is_none")]
    pub lowest_price_30d: Option<Money>,
    /// Currency, ISO 4217.
    pub currency: String,
    /// Cover URL.
    pub image: String,
    /// URLs of further pictures.
    pub images: Vec<String>,
    /// Alternative text of the cover; only for a single game, and only if staff have written one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_alt: Option<String>,
    /// Alternative texts of `images`, in their order, empty where there is none; only for a single game, and only if staff
    /// have written any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_alts: Vec<String>,
    /// Whether it can be bought now.
    pub in_stock: bool,
    /// Whether it has a multiplayer mode.
    pub multiplayer: bool,
    /// Whether it is a best seller.
    pub is_best_seller: bool,
    /// Whether it was released recently.
    pub is_new: bool,
    /// Whether it is announced but not yet released.
    pub is_preorder: bool,
    /// Release date, past or future.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub release_date: DateTime<Utc>,
    /// False when the release date is unknown; `releaseDate` is then when the shop first saw the game.
    pub release_date_known: bool,
    /// Metacritic score, 0–100.
    pub metacritic_score: Option<i32>,
    /// User rating, 0–5.
    #[serde(with = "decimal_number")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub user_rating: Option<Decimal>,
    /// Critics' rating, 0–100; `null` when unknown.
    pub rating_critic: Option<i32>,
    /// Players' rating, 0–100.
    pub rating_user: Option<i32>,
    /// Age rating, such as PEGI or ESRB.
    pub age_rating: Option<String>,
    /// The service on which the key is redeemed.
    pub activation_service: Option<String>,
    /// The region in which the key works.
    pub region: Option<String>,
    /// Publisher.
    pub publisher: Option<String>,
    /// Developer.
    pub developer: Option<String>,
    /// Language codes, ISO 639-1.
    pub languages: Vec<String>,
    /// Names of its platforms, alphabetically.
    pub platforms: Vec<String>,
    /// Names of its genres, alphabetically.
    pub genres: Vec<String>,
    /// Names of its tags, alphabetically.
    pub tags: Vec<String>,
    /// Names of its categories, alphabetically.
    pub categories: Vec<String>,
    /// System requirements, `{minimal, recommended}` as sent by G2A; only for a single game, not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub requirements: Option<serde_json::Value>,
}

/// A genre or platform: a display name, and a slug for URLs and filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NameSlug {
    /// Display name.
    pub name: String,
    /// Slug for URLs and filters.
    pub slug: String,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The rows of this page.
    pub data: Vec<T>,
    /// Total number of rows.
    pub total: u64,
    /// Page number, from 1.
    pub page: u32,
    /// Rows per page.
    pub page_size: u32,
    /// Number of pages; 0 for an empty list.
    pub total_pages: u64,
}

impl<T> Page<T> {
    /// A page of `total` rows.
    pub fn new(data: Vec<T>, total: u64, page: u32, page_size: u32) -> Self {
        Self {
            data,
            total,
            page,
            page_size,
            total_pages: total.div_ceil(u64::from(page_size.max(1))),
        }
    }
}

/// The filters of the catalogue, with those values only that a listed game has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FilterOptions {
    /// Genres, by name.
    pub genres: Vec<NameSlug>,
    /// Platforms, by name.
    pub platforms: Vec<NameSlug>,
    /// Activation services, alphabetically.
    pub activation_services: Vec<String>,
    /// Regions, alphabetically.
    pub regions: Vec<String>,
    /// Publishers, alphabetically.
    pub publishers: Vec<String>,
    /// `true` and `false`, each only if such games exist.
    pub multiplayer: Vec<bool>,
}

/// The number of games that each filter value would match, with the other filters unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FacetCounts {
    /// Counting stopped at the cap; every number is a lower bound.
    pub is_capped: bool,
    /// By slug.
    pub genres: BTreeMap<String, u64>,
    /// By slug.
    pub platforms: BTreeMap<String, u64>,
    /// By value, in lower case.
    pub activation_services: BTreeMap<String, u64>,
    /// By value, in lower case.
    pub regions: BTreeMap<String, u64>,
    /// By value, in lower case; the most frequent only.
    pub publishers: BTreeMap<String, u64>,
    /// By the name of the [`PricePreset`].
    pub prices: BTreeMap<String, u64>,
    /// Games with a multiplayer mode.
    pub multiplayer: u64,
    /// Games that are released and can be bought now.
    pub in_stock: u64,
    /// All games, including sold-out ones and preorders.
    pub listed: u64,
}

/// What the games of a [`Collection`] have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CollectionType {
    /// A genre; `value` is its slug.
    Genre,
    /// A publisher; `value` is its name.
    Publisher,
}

/// A collection of games with a common genre or publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Collection {
    /// Stable identifier, such as `genre-rpg`.
    pub id: String,
    /// Display title.
    pub title: String,
    /// What its games have in common.
    #[serde(rename = "type")]
    pub kind: CollectionType,
    /// The value of the catalogue filter.
    pub value: String,
    /// Its games, most popular first.
    pub games: Vec<Game>,
}

/// One autocomplete suggestion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Suggestion {
    /// Identifier.
    pub id: GameId,
    /// Title.
    pub title: String,
    /// The game's name, without the offer that the title may contain.
    pub name: String,
    /// The offer, in each language of the pages.
    pub offer: Offer,
    /// Cover URL.
    pub image: String,
    /// URL slug.
    pub slug: String,
    /// Relevance, 0–1: 1 for an exact title match, above 0.5 when the title contains the text, below when it is
    /// similar.
    #[serde(with = "decimal_number")]
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub relevance_score: Decimal,
}

/// An offer of a game in words: `Steam · United States`; empty when the title names none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Offer {
    /// In English.
    pub en: String,
    /// In German.
    pub de: String,
    /// In French.
    #[serde(default)]
    pub fr: String,
    /// In Spanish.
    #[serde(default)]
    pub es: String,
    /// In Polish.
    #[serde(default)]
    pub pl: String,
}

impl Offer {
    /// The offer that a product's title names.
    pub fn of(title: &Title) -> Self {
        Self {
            en: title.offer(Language::English),
            de: title.offer(Language::German),
            fr: title.offer(Language::French),
            es: title.offer(Language::Spanish),
            pl: title.offer(Language::Polish),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Dated(#[serde(with = "iso_millis")] DateTime<Utc>);

    #[test]
    fn page_count_rounds_up() {
        let pages = |total| Page::<u8>::new(Vec::new(), total, 1, 36).total_pages;
        assert_eq!([pages(0), pages(1), pages(36), pages(37)], [0, 1, 1, 2]);
    }

    #[test]
    fn numbers_and_dates_round_trip_in_the_front_end_form() {
        let suggestion = Suggestion {
            id: GameId(Uuid::nil()),
            title: "Portal".into(),
            name: "Portal".into(),
            offer: Offer::default(),
            image: "i".into(),
            slug: "portal".into(),
            relevance_score: Decimal::new(950, 3),
        };
        let json = serde_json::to_string(&suggestion).unwrap();
        assert_eq!(
            json,
            r#"{"id":"00000000-0000-0000-0000-000000000000","title":"Portal","name":"Portal","offer":{"en":"","de":"","fr":"","es":"","pl":""},"image":"i","slug":"portal","relevanceScore":0.95}"#
        );
        assert_eq!(serde_json::from_str::<Suggestion>(&json).unwrap(), suggestion);

        let dated = Dated("2025-01-31T10:00:00Z".parse().unwrap());
        let json = serde_json::to_string(&dated).unwrap();
        assert_eq!(json, r#""2025-01-31T10:00:00.000Z""#);
        assert_eq!(serde_json::from_str::<Dated>(&json).unwrap(), dated);
    }
}
