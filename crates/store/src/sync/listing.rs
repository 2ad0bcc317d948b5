//! A product of G2A as a row of the catalogue.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use rust_decimal::Decimal;
use serde::Serialize;

use super::taxonomy::Term;

/// One product of G2A in the shop's terms. The mapping in `crates/sync` creates it; every text is sanitised and
/// bounded, every number within its column's range.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listing {
    /// G2A's id.
    pub g2a_product_id: String,
    /// Title.
    pub title: String,
    /// The preferred slug, if the game is new and the slug is free; may be empty.
    pub wanted_slug: String,
    /// Description, safe HTML.
    pub description: String,
    /// First sentence of the description, plain text.
    pub short_description: Option<String>,
    /// The supplier's price, EUR, without mark-up.
    pub supplier_price: Decimal,
    /// The supplier's higher reference price, EUR, without mark-up.
    pub supplier_retail_price: Option<Decimal>,
    /// The shop's price, EUR, including mark-up. It is that of the settings; price rules replace it.
    pub price: Money,
    /// Higher reference price, EUR.
    pub original_price: Option<Money>,
    /// Whole percent off `original_price`; 0 without one.
    pub discount: i32,
    /// Cover; `None` for the one that the shop generates (`/api/covers/{slug}.svg`).
    pub image: Option<String>,
    /// More pictures.
    pub images: Vec<String>,
    /// Number of binary digits of G2A's stock; 0 is out of stock.
    pub depth: i16,
    /// Release date, if G2A knows one.
    pub release_date: Option<DateTime<Utc>>,
    /// Age rating in words.
    pub age_rating: Option<String>,
    /// Whether the game has a multiplayer mode.
    pub multiplayer: bool,
    /// The service on which the key is activated.
    pub activation_service: Option<String>,
    /// The region in which it can be activated.
    pub region: Option<String>,
    /// Publisher.
    pub publisher: Option<String>,
    /// Developer.
    pub developer: Option<String>,
    /// ISO 639-1 codes, sorted.
    pub languages: Vec<String>,
    /// `{minimal, recommended}`, each with the non-empty fields.
    pub requirements: Option<serde_json::Value>,
    /// Categories.
    #[serde(skip)]
    pub categories: Vec<Term>,
    /// Genres.
    #[serde(skip)]
    pub genres: Vec<Term>,
    /// Platforms.
    #[serde(skip)]
    pub platforms: Vec<Term>,
    /// Tags.
    #[serde(skip)]
    pub tags: Vec<Term>,
}
