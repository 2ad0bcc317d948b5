//! The catalogue's query, parsed from an address and written as one, so that every filter is a link that can be shared.

use lockstep_domain::Money;
use lockstep_domain::catalogue::{CatalogQuery, PricePreset, Sort};

use crate::error::PageError;

/// Maximum length of a search; the field accepts no more.
const MAX_TEXT: usize = 100;
/// Maximum length of a value of a filter.
const MAX_VALUE: usize = 300;
/// Maximum number of values per filter.
const MAX_VALUES: usize = 100;
/// Maximum page number.
const MAX_PAGE: u32 = 100_000;

/// The sort order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Order {
    /// Best match for a search, otherwise most popular.
    #[default]
    Best,
    /// Newest addition to the shop first.
    Added,
    /// One of the API's sort orders.
    By(Sort),
}

impl Order {
    /// The available orders: name in addresses, key of the text.
    pub(crate) const ALL: [(&'static str, &'static str); 6] = [
        ("", "sort.best"),
        ("popular", "sort.popular"),
        ("newest", "sort.newest"),
        ("added", "sort.added"),
        ("price-asc", "sort.price-asc"),
        ("price-desc", "sort.price-desc"),
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Best => "",
            Self::Added => "added",
            Self::By(sort) => sort.name(),
        }
    }
}

/// The query of an address of the catalogue.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Asked {
    pub(crate) search: String,
    pub(crate) genres: Vec<String>,
    pub(crate) platforms: Vec<String>,
    pub(crate) services: Vec<String>,
    pub(crate) regions: Vec<String>,
    pub(crate) publishers: Vec<String>,
    pub(crate) price: Option<PricePreset>,
    pub(crate) min: Option<Money>,
    pub(crate) max: Option<Money>,
    pub(crate) multiplayer: bool,
    /// Includes games that cannot be bought now.
    pub(crate) everything: bool,
    pub(crate) order: Order,
    pub(crate) page: u32,
    /// The filter of which all values are shown, not only the most frequent.
    pub(crate) whole: Option<&'static str>,
}

/// Filters that may have more values than a page shows.
const LONG: [&str; 5] = ["genre", "platform", "service", "region", "publisher"];

impl Asked {
    /// Parses a query string. Empty fields of the form are ignored.
    pub(crate) fn read(query: &str) -> Result<Self, PageError> {
        let mut asked = Self {
            page: 1,
            ..Self::default()
        };
        if query.len() > 8 * 1024 {
            return Err(PageError::BadRequest);
        }
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            // A publisher's name may be longer than a search.
            if value.chars().any(char::is_control) || value.chars().nth(MAX_VALUE).is_some() {
                return Err(PageError::BadRequest);
            }
            let list = match name.as_ref() {
                "genre" => &mut asked.genres,
                "platform" => &mut asked.platforms,
                "service" => &mut asked.services,
                "region" => &mut asked.regions,
                "publisher" => &mut asked.publishers,
                _ => {
                    asked.take(&name, value)?;
                    continue;
                }
            };
            if list.len() >= MAX_VALUES {
                return Err(PageError::BadRequest);
            }
            if !list.iter().any(|known| known.to_lowercase() == value.to_lowercase()) {
                list.push(value.to_owned());
            }
        }
        if asked.min.zip(asked.max).is_some_and(|(min, max)| min > max) {
            std::mem::swap(&mut asked.min, &mut asked.max);
        }
        Ok(asked)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), PageError> {
        let wrong = |_| PageError::BadRequest;
        match name {
            "search" if value.chars().nth(MAX_TEXT).is_some() => return Err(PageError::BadRequest),
            "search" => value.clone_into(&mut self.search),
            "price" => self.price = Some(value.parse().map_err(wrong)?),
            "min" => self.min = Some(price(value)?),
            "max" => self.max = Some(price(value)?),
            "multiplayer" => self.multiplayer = value == "yes",
            "stock" => self.everything = value == "all",
            "all" => self.whole = LONG.into_iter().find(|filter| *filter == value),
            "sort" if value == "added" => self.order = Order::Added,
            "sort" => self.order = Order::By(value.parse().map_err(wrong)?),
            "page" => {
                let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                let page = value.parse().ok().filter(|page| is_number && *page <= MAX_PAGE);
                self.page = match page {
                    Some(0) => return Err(PageError::BadRequest),
                    Some(page) => page,
                    // A number beyond any last page.
                    None if is_number => return Err(PageError::NotFound),
                    None => return Err(PageError::BadRequest),
                };
            }
            // The language, and parameters that other sites append.
            _ => {}
        }
        Ok(())
    }

    /// The query for the store.
    pub(crate) fn query(&self) -> CatalogQuery {
        CatalogQuery {
            page: self.page,
            search: Some(self.search.clone()).filter(|text| !text.is_empty()),
            in_stock_only: !self.everything,
            sort: match self.order {
                Order::Best if self.search.is_empty() => Some(Sort::Popular),
                Order::Best | Order::Added => None,
                Order::By(sort) => Some(sort),
            },
            price_preset: self.price,
            min_price: self.min,
            max_price: self.max,
            genres: self.genres.clone(),
            platforms: self.platforms.clone(),
            activation_services: self.services.clone(),
            regions: self.regions.clone(),
            publishers: self.publishers.clone(),
            multiplayer: self.multiplayer.then_some(true),
            ..CatalogQuery::default()
        }
    }

    /// The address of this query in canonical form.
    pub(crate) fn address(&self) -> String {
        let mut out = form_urlencoded::Serializer::new(String::new());
        if !self.search.is_empty() {
            out.append_pair("search", &self.search);
        }
        for (name, values) in self.lists() {
            let mut values: Vec<&String> = values.iter().collect();
            values.sort_unstable();
            for value in values {
                out.append_pair(name, value);
            }
        }
        if let Some(price) = self.price {
            out.append_pair("price", price.name());
        }
        for (name, price) in [("min", self.min), ("max", self.max)] {
            if let Some(price) = price {
                out.append_pair(name, &price.to_string());
            }
        }
        if self.multiplayer {
            out.append_pair("multiplayer", "yes");
        }
        if self.everything {
            out.append_pair("stock", "all");
        }
        if self.order != Order::Best {
            out.append_pair("sort", self.order.name());
        }
        if self.page > 1 {
            out.append_pair("page", &self.page.to_string());
        }
        if let Some(filter) = self.whole {
            out.append_pair("all", filter);
        }
        let query = out.finish();
        if query.is_empty() {
            "/games".to_owned()
        } else {
            format!("/games?{query}")
        }
    }

    fn lists(&self) -> [(&'static str, &[String]); 5] {
        [
            ("genre", &self.genres),
            ("platform", &self.platforms),
            ("service", &self.services),
            ("region", &self.regions),
            ("publisher", &self.publishers),
        ]
    }

    /// The query with a change, on its first page: filters change the number of pages.
    pub(crate) fn but(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut other = self.clone();
        other.page = 1;
        change(&mut other);
        other
    }

    /// Number of active filters without the search.
    pub(crate) fn filters(&self) -> usize {
        self.lists().iter().map(|(_, values)| values.len()).sum::<usize>()
            + usize::from(self.price.is_some())
            + usize::from(self.min.is_some() || self.max.is_some())
            + usize::from(self.multiplayer)
            + usize::from(self.everything)
    }
}

/// Parses a price as people type it: `10`, `9.99`, `9,99`.
fn price(text: &str) -> Result<Money, PageError> {
    text.trim_matches(['€', ' ', '\u{a0}'])
        .replace(',', ".")
        .parse::<Money>()
        .ok()
        .filter(|price| *price >= Money::ZERO)
        .ok_or(PageError::BadRequest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_queries_round_trip() {
        for address in [
            "/games",
            "/games?search=a%26b+c&page=3",
            "/games?genre=action&genre=rpg&region=EUROPE&price=under-10&stock=all&sort=added",
            "/games?genre=rpg&page=2&all=publisher",
            "/games?publisher=Cinder+%26+Oak&min=5.00&max=20.00&multiplayer=yes&sort=price-asc",
        ] {
            let query = address.split_once('?').map_or("", |(_, query)| query);
            assert_eq!(Asked::read(query).unwrap().address(), address);
        }
    }

    #[test]
    fn empty_fields_and_german_prices_are_parsed() {
        let asked =
            Asked::read("search=&min=&max=12%2C50+%E2%82%AC&genre=RPG&genre=rpg&sort=&utm_source=x&lang=de").unwrap();
        assert_eq!(asked.address(), "/games?genre=RPG&max=12.50");
        assert_eq!(asked.filters(), 2);
        let swapped = Asked::read("min=20&max=10").unwrap();
        assert_eq!(swapped.address(), "/games?min=10.00&max=20.00");
    }

    #[test]
    fn invalid_queries_are_rejected() {
        let many = (0..=100).map(|n| format!("genre={n}")).collect::<Vec<_>>().join("&");
        for nonsense in [
            "page=0",
            "page=-1",
            "page=x",
            "page=99999999999",
            "sort=best",
            "price=free",
            "min=-1",
            "max=abc",
            "search=%00",
            &many,
        ] {
            assert!(Asked::read(nonsense).is_err(), "{nonsense}");
        }
        assert!(Asked::read(&format!("search={}", "a".repeat(101))).is_err());
    }
}
