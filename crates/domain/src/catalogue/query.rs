//! Catalogue queries and their digests, which name them in cache keys: equivalent queries have the same digest.

use std::fmt::Write as _;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::Money;

/// Sort orders of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(rename_all = "kebab-case"))]
pub enum Sort {
    /// `popular`: most popular first.
    Popular,
    /// `newest`: latest release first.
    Newest,
    /// `price-asc`: cheapest first.
    PriceAsc,
    /// `price-desc`: most expensive first.
    PriceDesc,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Popular, Self::Newest, Self::PriceAsc, Self::PriceDesc];

    /// The name in URLs.
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

/// Predefined price ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PricePreset {
    /// `under-10`
    #[cfg_attr(feature = "openapi", schema(rename = "under-10"))]
    Under10,
    /// `10-25`
    #[cfg_attr(feature = "openapi", schema(rename = "10-25"))]
    From10To25,
    /// `25-50`
    #[cfg_attr(feature = "openapi", schema(rename = "25-50"))]
    From25To50,
    /// `50-100`
    #[cfg_attr(feature = "openapi", schema(rename = "50-100"))]
    From50To100,
    /// `over-100`
    #[cfg_attr(feature = "openapi", schema(rename = "over-100"))]
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

    /// The name in URLs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Under10 => "under-10",
            Self::From10To25 => "10-25",
            Self::From25To50 => "25-50",
            Self::From50To100 => "50-100",
            Self::Over100 => "over-100",
        }
    }

    /// The bounds in whole euro: the lower is inclusive, the upper exclusive.
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

/// A catalogue query. Values of one list are alternatives; different filters must all match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogQuery {
    /// Page number, from 1.
    pub page: u32,
    /// Rows per page, at least 1.
    pub page_size: u32,
    /// Words to find in title or description.
    pub search: Option<String>,
    /// Only games that are released and can be bought now.
    pub in_stock_only: bool,
    /// `None`: best match first when searching, otherwise latest addition to the catalogue first.
    pub sort: Option<Sort>,
    /// Price range.
    pub price_preset: Option<PricePreset>,
    /// Lowest price, EUR, inclusive.
    pub min_price: Option<Money>,
    /// Highest price, EUR, inclusive.
    pub max_price: Option<Money>,
    /// Slugs or names.
    pub genres: Vec<String>,
    /// Slugs or names.
    pub platforms: Vec<String>,
    /// Values, case-insensitive.
    pub activation_services: Vec<String>,
    /// Values, case-insensitive.
    pub regions: Vec<String>,
    /// Values, case-insensitive.
    pub publishers: Vec<String>,
    /// Only games with (`true`) or without (`false`) a multiplayer mode.
    pub multiplayer: Option<bool>,
}

impl Default for CatalogQuery {
    /// The first page of the games that can be bought, 36 rows as in the front-end.
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
    /// Names the page. Lists that differ only in order, case or repetition have the same digest.
    pub(crate) fn digest(&self) -> String {
        digest(&self.canonical())
    }

    /// Names the [`FacetCounts`](super::FacetCounts): page and sort order do not affect it.
    pub(crate) fn facets_digest(&self) -> String {
        let question = Self {
            page: 1,
            page_size: 1,
            sort: None,
            ..self.clone()
        };
        digest(&format!("facets:{}", question.canonical()))
    }

    /// The query in canonical form.
    fn canonical(&self) -> String {
        let mut text = format!(
            "page={}&size={}&stock={}",
            self.page,
            self.page_size,
            u8::from(self.in_stock_only)
        );
        // Values are prefixed by their lengths, so that no value can imitate the start of the next.
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

/// Names a plain search.
pub(crate) fn search_digest(text: &str) -> String {
    digest(&format!("search={}", text.to_lowercase()))
}

/// Names the suggestions for a text.
pub(crate) fn suggestions_digest(text: &str, limit: u32) -> String {
    digest(&format!("{limit}:{}", text.to_lowercase()))
}

/// A short name for a query of any length. It is cryptographic because users write the query: collisions must not be
/// possible to construct.
fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(16).fold(String::with_capacity(32), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(change: impl FnOnce(&mut CatalogQuery)) -> String {
        let mut query = CatalogQuery::default();
        change(&mut query);
        query.digest()
    }

    #[test]
    fn digests_identify_equivalent_queries() {
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
            search_digest("rpg"),
        ];
        let distinct: std::collections::HashSet<&String> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn facet_counts_share_a_digest_across_pages_and_sort_orders() {
        let key = |change: fn(&mut CatalogQuery)| {
            let mut query = CatalogQuery::default();
            change(&mut query);
            query.facets_digest()
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
}
