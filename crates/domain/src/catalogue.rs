//! The catalogue as people see it: games, pages of games, filters, and what may be asked for.
//!
//! The JSON forms are those that the shop's front-end reads. They are written once, by whoever fills the cache, and
//! read back from there by the pages, so every type here goes both ways. Whoever fills [`CacheKey::CatalogPage`] and
//! its siblings has to store an [`Answer`], because the cached bytes are a whole HTTP body.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{CacheKey, GameId, Money};

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
    /// Address of the cover.
    pub image: String,
    /// The readable part of its address.
    pub slug: String,
    /// 0–1: 1 is the very title, above 0.5 the text stands in the title, below it is similar to something in it.
    #[serde(with = "decimal_number")]
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub relevance_score: Decimal,
}

/// The orders that the catalogue can be asked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// `popular`: most popular first.
    Popular,
    /// `newest`: latest release first.
    Newest,
    /// `price-asc`: cheapest first.
    PriceAsc,
    /// `price-desc`: dearest first.
    PriceDesc,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Popular, Self::Newest, Self::PriceAsc, Self::PriceDesc];

    /// The name in addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Popular => "popular",
            Self::Newest => "newest",
            Self::PriceAsc => "price-asc",
            Self::PriceDesc => "price-desc",
        }
    }
}

impl FromStr for Sort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|sort| sort.name() == text)
            .ok_or("must be one of popular, newest, price-asc, price-desc")
    }
}

/// Ready-made price ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PricePreset {
    /// `under-10`
    Under10,
    /// `10-25`
    From10To25,
    /// `25-50`
    From25To50,
    /// `50-100`
    From50To100,
    /// `over-100`
    Over100,
}

impl PricePreset {
    /// All of them, cheapest first.
    pub const ALL: [Self; 5] = [
        Self::Under10,
        Self::From10To25,
        Self::From25To50,
        Self::From50To100,
        Self::Over100,
    ];

    /// The name in addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Under10 => "under-10",
            Self::From10To25 => "10-25",
            Self::From25To50 => "25-50",
            Self::From50To100 => "50-100",
            Self::Over100 => "over-100",
        }
    }

    /// Whole euro: the lower bound belongs to the range, the upper does not.
    pub const fn bounds(self) -> (u32, Option<u32>) {
        match self {
            Self::Under10 => (0, Some(10)),
            Self::From10To25 => (10, Some(25)),
            Self::From25To50 => (25, Some(50)),
            Self::From50To100 => (50, Some(100)),
            Self::Over100 => (100, None),
        }
    }
}

impl FromStr for PricePreset {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == text)
            .ok_or("must be one of under-10, 10-25, 25-50, 50-100, over-100")
    }
}

/// One question to the catalogue. Values within one list are alternatives; different filters all have to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogQuery {
    /// From 1.
    pub page: u32,
    /// Rows a page, at least 1.
    pub page_size: u32,
    /// Words in title or description.
    pub search: Option<String>,
    /// Only what can be bought now and is released.
    pub in_stock_only: bool,
    /// `None`: best match first when searching, else the latest addition to the catalogue.
    pub sort: Option<Sort>,
    /// Price range.
    pub price_preset: Option<PricePreset>,
    /// Least price, included.
    pub min_price: Option<Money>,
    /// Highest price, included.
    pub max_price: Option<Money>,
    /// Slugs or names.
    pub genres: Vec<String>,
    /// Slugs or names.
    pub platforms: Vec<String>,
    /// Plain values, in any case.
    pub activation_services: Vec<String>,
    /// Plain values, in any case.
    pub regions: Vec<String>,
    /// Plain values, in any case.
    pub publishers: Vec<String>,
    /// Only games for several, or only others.
    pub multiplayer: Option<bool>,
}

impl Default for CatalogQuery {
    /// The first page of what can be bought, 36 rows as the front-end shows them.
    fn default() -> Self {
        Self {
            page: 1,
            page_size: 36,
            search: None,
            in_stock_only: true,
            sort: None,
            price_preset: None,
            min_price: None,
            max_price: None,
            genres: Vec::new(),
            platforms: Vec::new(),
            activation_services: Vec::new(),
            regions: Vec::new(),
            publishers: Vec::new(),
            multiplayer: None,
        }
    }
}

impl CatalogQuery {
    /// Under which key the page is cached. Lists that differ in order, case or repetition ask the same question.
    pub fn cache_key(&self) -> CacheKey {
        CacheKey::CatalogPage(digest(&self.canonical()))
    }

    /// Under which key the [`FacetCounts`] are cached: page and order do not matter to them.
    pub fn facets_key(&self) -> CacheKey {
        let question = Self {
            page: 1,
            page_size: 1,
            sort: None,
            ..self.clone()
        };
        CacheKey::CatalogPage(digest(&format!("facets:{}", question.canonical())))
    }

    /// The question in one way of writing it down.
    fn canonical(&self) -> String {
        let mut text = format!(
            "page={}&size={}&stock={}",
            self.page,
            self.page_size,
            u8::from(self.in_stock_only)
        );
        // Lengths are written down, so that no value can pass for the end of itself and the start of another.
        let mut add = |name: &str, value: &str| {
            let _infallible = write!(text, "&{name}={}:{value}", value.len());
        };
        if let Some(search) = &self.search {
            add("search", &search.to_lowercase());
        }
        if let Some(sort) = self.sort {
            add("sort", sort.name());
        }
        if let Some(preset) = self.price_preset {
            add("preset", preset.name());
        }
        for (name, price) in [("min", self.min_price), ("max", self.max_price)] {
            if let Some(price) = price {
                add(name, &price.to_string());
            }
        }
        for (name, values) in [
            ("genre", &self.genres),
            ("platform", &self.platforms),
            ("service", &self.activation_services),
            ("region", &self.regions),
            ("publisher", &self.publishers),
        ] {
            let mut values: Vec<String> = values.iter().map(|value| value.to_lowercase()).collect();
            values.sort_unstable();
            values.dedup();
            for value in &values {
                add(name, value);
            }
        }
        if let Some(multiplayer) = self.multiplayer {
            add("multiplayer", if multiplayer { "1" } else { "0" });
        }
        text
    }
}

/// Under which key the answer to a plain search is cached.
pub fn search_key(text: &str) -> CacheKey {
    CacheKey::CatalogPage(digest(&format!("search={}", text.to_lowercase())))
}

/// Under which key suggestions are cached.
pub fn autocomplete_key(text: &str, limit: u32) -> CacheKey {
    CacheKey::CatalogAutocomplete(digest(&format!("{limit}:{}", text.to_lowercase())))
}

/// A short name for a long question. Cryptographic, because visitors write the question: nobody shall find two that
/// share a place in the cache.
fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(16).fold(String::with_capacity(32), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

/// Dates as the front-end writes them itself: `2025-01-31T10:00:00.000Z`.
pub mod iso_millis {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Three decimals and a `Z`; what is finer is cut off.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&time.format("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }

    /// Any RFC 3339 time.
    ///
    /// # Errors
    /// When it is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        DateTime::<Utc>::deserialize(deserializer)
    }
}

/// Exact decimals as bare JSON numbers, written and read as digits.
mod decimal_number {
    use rust_decimal::Decimal;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use serde_json::value::RawValue;

    use crate::money::exact_decimal;

    /// What can be written and read so: a decimal, or possibly none.
    pub(super) trait Number: Sized {
        fn get(&self) -> Option<Decimal>;
        fn from(value: Option<Decimal>) -> Option<Self>;
    }

    impl Number for Decimal {
        fn get(&self) -> Option<Decimal> {
            Some(*self)
        }

        fn from(value: Option<Decimal>) -> Option<Self> {
            value
        }
    }

    impl Number for Option<Decimal> {
        fn get(&self) -> Option<Decimal> {
            *self
        }

        fn from(value: Option<Decimal>) -> Option<Self> {
            Some(value)
        }
    }

    pub(super) fn serialize<N: Number, S: Serializer>(number: &N, serializer: S) -> Result<S::Ok, S::Error> {
        match number.get() {
            Some(value) => RawValue::from_string(value.normalize().to_string())
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, N: Number, D: Deserializer<'de>>(deserializer: D) -> Result<N, D::Error> {
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        let value = match raw.get() {
            "null" => None,
            digits => Some(exact_decimal(digits).ok_or_else(|| serde::de::Error::custom("not a decimal number"))?),
        };
        N::from(value).ok_or_else(|| serde::de::Error::custom("a number is missing"))
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::openapi::schema::{KnownFormat, Schema, SchemaFormat, Type};
    use utoipa::openapi::{ObjectBuilder, RefOr};
    use utoipa::{PartialSchema, ToSchema};

    use crate::ids::{SessionId, UserId};
    use crate::{GameId, Money};

    impl PartialSchema for Money {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::Number)
                .description(Some("Euro, two decimals"))
                .into()
        }
    }

    impl ToSchema for Money {}

    macro_rules! uuid {
        ($($id:ty),+) => {$(
            impl PartialSchema for $id {
                fn schema() -> RefOr<Schema> {
                    ObjectBuilder::new()
                        .schema_type(Type::String)
                        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
                        .into()
                }
            }

            impl ToSchema for $id {}
        )+};
    }

    uuid!(GameId, UserId, SessionId);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Dated(#[serde(with = "iso_millis")] DateTime<Utc>);

    fn asked(change: impl FnOnce(&mut CatalogQuery)) -> CacheKey {
        let mut query = CatalogQuery::default();
        change(&mut query);
        query.cache_key()
    }

    #[test]
    fn the_same_question_has_the_same_key_and_another_has_another() {
        let list = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            asked(|q| q.genres = list(&["rpg", "Action", "RPG"])),
            asked(|q| q.genres = list(&["action", "rpg"]))
        );
        let keys = [
            asked(|_| {}),
            asked(|q| q.page = 2),
            asked(|q| q.page_size = 12),
            asked(|q| q.in_stock_only = false),
            asked(|q| q.search = Some("rpg".into())),
            asked(|q| q.genres = list(&["rpg"])),
            asked(|q| q.platforms = list(&["rpg"])),
            asked(|q| q.genres = list(&["rpg&platform=3:rpg"])),
            asked(|q| {
                q.genres = list(&["rpg"]);
                q.platforms = list(&["rpg"]);
            }),
            asked(|q| q.min_price = Money::from_cents(100).ok()),
            asked(|q| q.max_price = Money::from_cents(100).ok()),
            asked(|q| q.multiplayer = Some(true)),
            asked(|q| q.multiplayer = Some(false)),
            asked(|q| q.sort = Some(Sort::Newest)),
            asked(|q| q.price_preset = Some(PricePreset::Over100)),
            search_key("rpg"),
        ];
        let distinct: std::collections::HashSet<String> = keys.iter().map(CacheKey::name).collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn counts_of_filters_are_asked_once_for_all_pages_and_orders() {
        let key = |change: fn(&mut CatalogQuery)| {
            let mut query = CatalogQuery::default();
            change(&mut query);
            query.facets_key()
        };
        let first = key(|_| {});
        assert_eq!(
            first,
            key(|q| (q.page, q.page_size, q.sort) = (7, 20, Some(Sort::Newest)))
        );
        assert_ne!(first, key(|q| q.multiplayer = Some(true)));
        assert_ne!(
            first,
            asked(|q| q.page_size = 1),
            "counts and pages never share a place"
        );
    }

    #[test]
    fn presets_join_without_gap_or_overlap() {
        let mut end = Some(0);
        for preset in PricePreset::ALL {
            let (from, to) = preset.bounds();
            assert_eq!(Some(from), end, "{}", preset.name());
            end = to;
        }
        assert_eq!(end, None);
    }

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
            image: "i".into(),
            slug: "portal".into(),
            relevance_score: Decimal::new(950, 3),
        };
        let json = serde_json::to_string(&suggestion).unwrap();
        assert_eq!(
            json,
            r#"{"id":"00000000-0000-0000-0000-000000000000","title":"Portal","image":"i","slug":"portal","relevanceScore":0.95}"#
        );
        assert_eq!(serde_json::from_str::<Suggestion>(&json).unwrap(), suggestion);

        let dated = Dated("2025-01-31T10:00:00Z".parse().unwrap());
        let json = serde_json::to_string(&dated).unwrap();
        assert_eq!(json, r#""2025-01-31T10:00:00.000Z""#);
        assert_eq!(serde_json::from_str::<Dated>(&json).unwrap(), dated);
    }
}
