//! The catalogue as people see it: games, pages of games, filters, and what may be asked for.
//!
//! The JSON forms are those that the shop's front-end reads. They are written once, by whoever fills the cache, and
//! read back from there by the pages, so every type here goes both ways. Whoever fills
//! [`CacheKey::CatalogPage`](crate::CacheKey::CatalogPage) and its siblings has to store an [`Answer`], because the cached
//! bytes are a whole HTTP body.

mod json;
mod query;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::language::Language;
use crate::title::Title;
use crate::{GameId, Money};
use json::decimal_number;

pub use json::iso_millis;
pub use query::{CatalogQuery, PricePreset, Sort, autocomplete_key, search_key};

/// The envelope of a successful answer: `{"success": true, "data": ...}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Answer<T> {
    /// Always true; failures have an envelope of their own.
    pub success: bool,
    /// What was asked for.
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
/// It carries no age of G2A's word: the last complete synchronisation is news about every game at once, and a cached
/// answer that held it would be untrue after each run although nothing in the game changed. Ask for it apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(clippy::struct_excessive_bools, reason = "the front-end's form")]
pub struct Game {
    /// Identifier.
    pub id: GameId,
    /// Title.
    pub title: String,
    /// The readable part of its address, unique.
    pub slug: String,
    /// Full description; may hold HTML as G2A sends it.
    pub description: String,
    /// A sentence or two.
    pub short_description: Option<String>,
    /// What the shopper pays, euro.
    pub price: Money,
    /// The higher price it is compared with; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_price: Option<Money>,
    /// Whole percent below `originalPrice`; absent instead of 0, which the front-end would print.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<i32>,
    /// ISO 4217.
    pub currency: String,
    /// Address of the cover.
    pub image: String,
    /// Addresses of further pictures.
    pub images: Vec<String>,
    /// Whether it can be bought now.
    pub in_stock: bool,
    /// Whether several can play.
    pub multiplayer: bool,
    /// Among the best sold.
    pub is_best_seller: bool,
    /// Released lately.
    pub is_new: bool,
    /// Announced, not yet released.
    pub is_preorder: bool,
    /// When it was or will be released.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub release_date: DateTime<Utc>,
    /// False when nobody told a release date; then `releaseDate` is when the shop first saw the game.
    pub release_date_known: bool,
    /// 0–100.
    pub metacritic_score: Option<i32>,
    /// 0–5.
    #[serde(with = "decimal_number")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub user_rating: Option<Decimal>,
    /// Of critics, 0–100; `null` where nobody has filled it in.
    pub rating_critic: Option<i32>,
    /// Of players, 0–100.
    pub rating_user: Option<i32>,
    /// PEGI, ESRB and the like.
    pub age_rating: Option<String>,
    /// Where the key is redeemed.
    pub activation_service: Option<String>,
    /// Where the key works.
    pub region: Option<String>,
    /// Publisher.
    pub publisher: Option<String>,
    /// Developer.
    pub developer: Option<String>,
    /// ISO 639-1 codes.
    pub languages: Vec<String>,
    /// Names, by alphabet.
    pub platforms: Vec<String>,
    /// Names, by alphabet.
    pub genres: Vec<String>,
    /// Names, by alphabet.
    pub tags: Vec<String>,
    /// Names, by alphabet.
    pub categories: Vec<String>,
    /// What the computer needs, `{minimal, recommended}` as G2A gives it; only with a single game, not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub requirements: Option<serde_json::Value>,
}

/// A genre or platform: the name is for people, the slug for addresses and filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NameSlug {
    /// What people read.
    pub name: String,
    /// What addresses and filters use.
    pub slug: String,
}

/// One page of a longer list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The rows of this page.
    pub data: Vec<T>,
    /// Rows of all pages together.
    pub total: u64,
    /// This page, from 1.
    pub page: u32,
    /// Rows a page.
    pub page_size: u32,
    /// Pages in all; 0 when there is nothing.
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

/// What the catalogue can be filtered by. Only values that a listed game has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FilterOptions {
    /// By name.
    pub genres: Vec<NameSlug>,
    /// By name.
    pub platforms: Vec<NameSlug>,
    /// By alphabet.
    pub activation_services: Vec<String>,
    /// By alphabet.
    pub regions: Vec<String>,
    /// By alphabet.
    pub publishers: Vec<String>,
    /// `true` and `false`, as far as there are such games.
    pub multiplayer: Vec<bool>,
}

/// How many games each value of each filter would leave, the other filters as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FacetCounts {
    /// There are so many games that not all were counted; every number means "at least".
    pub is_capped: bool,
    /// By slug.
    pub genres: BTreeMap<String, u64>,
    /// By slug.
    pub platforms: BTreeMap<String, u64>,
    /// By value in lower case.
    pub activation_services: BTreeMap<String, u64>,
    /// By value in lower case.
    pub regions: BTreeMap<String, u64>,
    /// By value in lower case; the most frequent.
    pub publishers: BTreeMap<String, u64>,
    /// By name of the [`PricePreset`].
    pub prices: BTreeMap<String, u64>,
    /// Games for several.
    pub multiplayer: u64,
    /// What can be bought now and is released.
    pub in_stock: u64,
    /// All, sold-out games and preorders included.
    pub listed: u64,
}

/// What a [`Collection`] has in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CollectionType {
    /// A genre; `value` is its slug.
    Genre,
    /// A publisher; `value` is its name.
    Publisher,
}

/// Games that have something in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Collection {
    /// Stable identifier, such as `genre-rpg`.
    pub id: String,
    /// What people read.
    pub title: String,
    /// What they have in common.
    #[serde(rename = "type")]
    pub kind: CollectionType,
    /// The value to filter the catalogue by.
    pub value: String,
    /// The most popular first.
    pub games: Vec<Game>,
}

/// One line under the search box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Suggestion {
    /// Identifier.
    pub id: GameId,
    /// Title.
    pub title: String,
    /// The game's own name, without the offer that the title may name.
    pub name: String,
    /// Which offer it is, in the readers' languages.
    pub offer: Offer,
    /// Address of the cover.
    pub image: String,
    /// The readable part of its address.
    pub slug: String,
    /// 0–1: 1 is the very title, above 0.5 the text stands in the title, below it is similar to something in it.
    #[serde(with = "decimal_number")]
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub relevance_score: Decimal,
}

/// An offer of a game in words: `Steam · United States`; empty when its title names none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Offer {
    /// In English.
    pub en: String,
    /// In German.
    pub de: String,
}

impl Offer {
    /// Of a product's name.
    pub fn of(title: &Title) -> Self {
        Self {
            en: title.offer(Language::English),
            de: title.offer(Language::German),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Dated(#[serde(with = "iso_millis")] DateTime<Utc>);

    #[test]
    fn pages_are_counted_up() {
        let pages = |total| Page::<u8>::new(Vec::new(), total, 1, 36).total_pages;
        assert_eq!([pages(0), pages(1), pages(36), pages(37)], [0, 1, 1, 2]);
    }

    #[test]
    fn numbers_and_dates_are_written_as_the_front_end_reads_them_and_read_back() {
        let suggestion = Suggestion {
            id: GameId(uuid::Uuid::nil()),
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
            r#"{"id":"00000000-0000-0000-0000-000000000000","title":"Portal","name":"Portal","offer":{"en":"","de":""},"image":"i","slug":"portal","relevanceScore":0.95}"#
        );
        assert_eq!(serde_json::from_str::<Suggestion>(&json).unwrap(), suggestion);

        let dated = Dated("2025-01-31T10:00:00Z".parse().unwrap());
        let json = serde_json::to_string(&dated).unwrap();
        assert_eq!(json, r#""2025-01-31T10:00:00.000Z""#);
        assert_eq!(serde_json::from_str::<Dated>(&json).unwrap(), dated);
    }
}
