//! The catalogue, parsed leniently: fields vary between versions, empty strings mean "unknown", numbers may be integers
//! or decimals, and ids may be text or numbers. An unreadable product is reported beside the others.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::json::{Object, amount, day_of, id, is_blank, list, moment_of, object, text, truth, whole};
use super::{answer, bad};
use crate::error::{BadAnswer, Call, Error};

/// One page of `GET /products`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProductPage {
    /// Number of products on all pages that match the query, at the time of the answer.
    pub total: u64,
    /// The page number, from 1; the requested page if the answer has none.
    pub page: u32,
    /// The readable products, in G2A's order.
    pub products: Vec<Product>,
    /// The unreadable products.
    pub unreadable: Vec<Unreadable>,
}

/// An unreadable product of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its id, if readable.
    pub id: Option<String>,
    /// The reason, for the report of the run.
    pub reason: &'static str,
}

/// A product as G2A lists it. Every field but the id can be missing; an empty text counts as missing.
///
/// Prices are exact, in euros, with as many decimals as G2A sends.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Product {
    /// G2A's id, never empty: 14 digits.
    pub id: String,
    /// Title.
    pub name: Option<String>,
    /// Kind of product, such as `egoods`.
    pub kind: Option<String>,
    /// Path on G2A's site, beginning with `/`.
    pub slug: Option<String>,
    /// Pieces in stock.
    pub qty: Option<u64>,
    /// Lowest listed price. An order may be charged another one: see
    /// [`CreatedOrder::price`](crate::CreatedOrder::price).
    pub min_price: Option<Decimal>,
    /// Retail price; reported to be the charged price.
    pub retail_min_price: Option<Decimal>,
    /// Retail price without fees.
    pub retail_min_base_price: Option<Decimal>,
    /// Whether G2A reports it as available. `false` for all products of its sandbox.
    pub available_to_buy: Option<bool>,
    /// G2A's limits of the price.
    pub price_limit: PriceLimit,
    /// Address of a small image.
    pub thumbnail: Option<String>,
    /// Address of a medium image.
    pub small_image: Option<String>,
    /// Address of the cover image.
    pub cover_image: Option<String>,
    /// Addresses of further images.
    pub images: Vec<String>,
    /// Description, as untrusted HTML.
    pub description: Option<String>,
    /// When G2A last changed it.
    pub updated_at: Option<DateTime<Utc>>,
    /// Release date, possibly in the future.
    pub release_date: Option<NaiveDate>,
    /// Region in which it can be activated.
    pub region: Option<String>,
    /// Developer.
    pub developer: Option<String>,
    /// Publisher.
    pub publisher: Option<String>,
    /// Platform of activation, such as `Steam`.
    pub platform: Option<String>,
    /// Age-rating marks (`pegi_violence`, ...).
    pub restrictions: BTreeMap<String, bool>,
    /// System requirements.
    pub requirements: Requirements,
    /// Videos.
    pub videos: Vec<Video>,
    /// Categories.
    pub categories: Vec<Category>,
}

/// Limits of a price, in euros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PriceLimit {
    /// Lower limit.
    pub min: Option<Decimal>,
    /// Upper limit.
    pub max: Option<Decimal>,
}

/// System requirements, by G2A's names (`reqprocessor`, `reqmemory`, ...), without empty ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requirements {
    /// Minimum requirements.
    pub minimal: BTreeMap<String, String>,
    /// Recommended requirements.
    pub recommended: BTreeMap<String, String>,
}

/// A video about a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Video {
    /// The hosting service, such as `YOUTUBE`.
    pub kind: Option<String>,
    /// Its address.
    pub url: String,
}

/// A category at G2A.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// Its id, as text; G2A sends a number or a text.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
}

/// Parses one page of products. `asked` is the requested page.
///
/// # Errors
/// Returns [`Error::BadAnswer`] if the page as a whole is unreadable, and [`Error::Refused`] for an error body. An
/// unreadable product is not an error: it is in [`ProductPage::unreadable`].
pub fn parse_product_page(body: &[u8], asked: u32) -> Result<ProductPage, Error> {
    // Invalid UTF-8 damages one character of one title, not the page.
    let text = String::from_utf8_lossy(body);
    let page = answer(Call::Products, &text)?;
    let shape = |what| bad(Call::Products, BadAnswer::Shape(what));
    let docs = page
        .get("docs")
        .and_then(|raw| list(raw))
        .ok_or_else(|| shape("no list `docs`"))?;
    let total = page
        .get("total")
        .and_then(|raw| whole(raw))
        .ok_or_else(|| shape("no number `total`"))?;
    let number = page
        .get("page")
        .and_then(|raw| whole(raw))
        .and_then(|page| u32::try_from(page).ok());
    let mut read = ProductPage {
        total,
        page: number.unwrap_or(asked),
        products: Vec::new(),
        unreadable: Vec::new(),
    };
    for doc in docs {
        match product(doc) {
            Ok(product) => read.products.push(product),
            Err(unreadable) => read.unreadable.push(unreadable),
        }
    }
    Ok(read)
}

fn product(raw: &RawValue) -> Result<Product, Unreadable> {
    let fields = object(raw.get()).ok_or(Unreadable {
        id: None,
        reason: "not an object",
    })?;
    let id = fields.get("id").and_then(|raw| id(raw)).ok_or(Unreadable {
        id: None,
        reason: "no usable `id`",
    })?;
    let unreadable = |reason| Unreadable {
        id: Some(id.clone()),
        reason,
    };

    // For price and stock, an invalid value is not treated as a missing one.
    let price = |name: &str, reason| match fields.get(name).filter(|raw| !is_blank(raw)) {
        None => Ok(None),
        Some(raw) => amount(raw).map(Some).ok_or(unreadable(reason)),
    };
    let qty = match fields.get("qty").filter(|raw| !is_blank(raw)) {
        None => None,
        Some(raw) => Some(whole(raw).ok_or(unreadable("`qty` is not a whole number from zero"))?),
    };
    let min_price = price("minPrice", "`minPrice` is not an amount")?;
    let retail_min_price = price("retail_min_price", "`retail_min_price` is not an amount")?;
    let retail_min_base_price = price("retailMinBasePrice", "`retailMinBasePrice` is not an amount")?;

    let words = |name: &str| fields.get(name).and_then(|raw| text(raw));
    let limit = fields
        .get("priceLimit")
        .and_then(|raw| object(raw.get()))
        .unwrap_or_default();
    let needs = fields
        .get("requirements")
        .and_then(|raw| object(raw.get()))
        .unwrap_or_default();
    let items = |name: &str| fields.get(name).and_then(|raw| list(raw)).unwrap_or_default();
    Ok(Product {
        name: words("name"),
        kind: words("type"),
        slug: words("slug"),
        qty,
        min_price,
        retail_min_price,
        retail_min_base_price,
        available_to_buy: fields.get("availableToBuy").and_then(|raw| truth(raw)),
        price_limit: PriceLimit {
            min: limit.get("min").and_then(|raw| amount(raw)),
            max: limit.get("max").and_then(|raw| amount(raw)),
        },
        thumbnail: words("thumbnail"),
        small_image: words("smallImage"),
        cover_image: words("coverImage"),
        images: items("images").into_iter().filter_map(text).collect(),
        description: words("description"),
        updated_at: words("updated_at").and_then(|moment| moment_of(&moment)),
        release_date: words("release_date").and_then(|day| day_of(&day)),
        region: words("region"),
        developer: words("developer"),
        publisher: words("publisher"),
        platform: words("platform"),
        restrictions: fields
            .get("restrictions")
            .and_then(|raw| object(raw.get()))
            .map(truths)
            .unwrap_or_default(),
        requirements: Requirements {
            minimal: texts(&needs, "minimal"),
            recommended: texts(&needs, "recommended"),
        },
        videos: items("videos").into_iter().filter_map(video).collect(),
        categories: items("categories").into_iter().filter_map(category).collect(),
        id,
    })
}

fn video(raw: &RawValue) -> Option<Video> {
    let fields = object(raw.get())?;
    Some(Video {
        kind: fields.get("type").and_then(|raw| text(raw)),
        url: text(fields.get("url")?)?,
    })
}

fn category(raw: &RawValue) -> Option<Category> {
    let fields = object(raw.get())?;
    Some(Category {
        id: fields.get("id").and_then(|raw| text(raw)),
        name: text(fields.get("name")?)?,
    })
}

fn truths(fields: Object<'_>) -> BTreeMap<String, bool> {
    fields
        .into_iter()
        .filter_map(|(name, raw)| Some((name, truth(raw)?)))
        .collect()
}

fn texts(fields: &Object<'_>, name: &str) -> BTreeMap<String, String> {
    let inner = fields.get(name).and_then(|raw| object(raw.get())).unwrap_or_default();
    inner
        .into_iter()
        .filter_map(|(name, raw)| Some((name, text(raw)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use lockstep_domain::money::exact_decimal;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        exact_decimal(text).unwrap()
    }

    fn page_of(docs: &str) -> ProductPage {
        parse_product_page(format!(r#"{{"total": 1, "page": 1, "docs": [{docs}]}}"#).as_bytes(), 1).unwrap()
    }

    fn only(doc: &str) -> Product {
        let mut page = page_of(doc);
        assert_eq!((page.products.len(), &page.unreadable), (1, &Vec::new()));
        page.products.remove(0)
    }

    const FULL: &str = r#"{
        "id": "10000009999001", "name": "Lantern Keepers Steam Key GLOBAL", "type": "egoods",
        "slug": "/lantern-keepers-steam-key-global-i10000009999001", "qty": 41,
        "minPrice": 4.77, "retail_min_price": 6.3, "retailMinBasePrice": 6, "availableToBuy": true,
        "thumbnail": "https://img.example.test/58/a", "smallImage": "https://img.example.test/230/a",
        "coverImage": "https://img.example.test/0/a", "images": ["https://img.example.test/1", null, ""],
        "description": "<p>Keep the light.</p>", "updated_at": "2026-02-03 04:05:06", "release_date": "2027-01-31",
        "region": "GLOBAL", "developer": "Dim Room", "publisher": "Bright House", "platform": "Steam",
        "priceLimit": {"max": null, "min": 1.49},
        "restrictions": {"pegi_violence": true, "pegi_fear": false},
        "requirements": {"minimal": {"reqmemory": "4 GB", "reqother": ""}, "recommended": {}},
        "videos": [{"type": "YOUTUBE", "url": "https://video.example.test/1"}],
        "categories": [{"id": 189, "name": "Games"}, {"id": "190", "name": "Action"}],
        "somethingNew": {"deep": [1, 2, 3]}
    }"#;

    #[test]
    fn every_field_of_a_full_product_is_parsed() {
        let product = only(FULL);
        assert_eq!(product.id, "10000009999001");
        assert_eq!(product.qty, Some(41));
        assert_eq!(product.min_price, Some(decimal("4.77")));
        assert_eq!(product.retail_min_price, Some(decimal("6.3")));
        assert_eq!(product.retail_min_base_price, Some(decimal("6")));
        assert_eq!(product.available_to_buy, Some(true));
        assert_eq!(
            product.price_limit,
            PriceLimit {
                min: Some(decimal("1.49")),
                max: None
            }
        );
        assert_eq!(product.images, ["https://img.example.test/1"]);
        assert_eq!(product.updated_at, Some("2026-02-03T04:05:06Z".parse().unwrap()));
        assert_eq!(product.release_date, NaiveDate::from_ymd_opt(2027, 1, 31));
        assert!(product.restrictions["pegi_violence"]);
        assert_eq!(product.requirements.minimal["reqmemory"], "4 GB");
        assert!(!product.requirements.minimal.contains_key("reqother"));
        assert_eq!(product.videos[0].url, "https://video.example.test/1");
        assert_eq!(
            product.categories[0],
            Category {
                id: Some("189".into()),
                name: "Games".into()
            }
        );
        assert_eq!(product.categories[1].id.as_deref(), Some("190"));
    }

    #[test]
    fn only_the_id_of_a_product_is_required() {
        assert_eq!(
            only(r#"{"id": "7"}"#),
            Product {
                id: "7".into(),
                ..Product::default()
            }
        );
    }

    #[test]
    fn empty_strings_and_nulls_count_as_missing() {
        let product = only(
            r#"{"id": "7", "name": "", "type": null, "qty": null, "minPrice": "", "updated_at": "", "release_date": " ",
                "images": null, "priceLimit": null, "requirements": "", "categories": {}, "availableToBuy": null}"#,
        );
        assert_eq!(
            product,
            Product {
                id: "7".into(),
                ..Product::default()
            }
        );
    }

    #[test]
    fn numbers_and_texts_are_interchangeable() {
        let product = only(
            r#"{"id": 10000009999001, "name": 1942, "qty": "12", "minPrice": "4.77", "availableToBuy": "true",
                "retail_min_price": 5, "categories": [{"id": "a1", "name": 7}]}"#,
        );
        assert_eq!(product.id, "10000009999001");
        assert_eq!(product.name.as_deref(), Some("1942"));
        assert_eq!((product.qty, product.min_price), (Some(12), Some(decimal("4.77"))));
        assert_eq!(product.available_to_buy, Some(true));
        assert_eq!(product.categories[0].name, "7");
    }

    #[test]
    fn prices_keep_the_exact_digits() {
        for digits in [
            "0.1",
            "4.35",
            "1.005",
            "0.30000000000000004",
            "9.99e0",
            "1E1",
            "123456789012345.6789",
        ] {
            let product = only(&format!(r#"{{"id": "7", "minPrice": {digits}}}"#));
            assert_eq!(product.min_price, Some(decimal(digits)), "{digits}");
        }
        assert_eq!(
            only(r#"{"id": "7", "minPrice": 1.005}"#).min_price.unwrap().to_string(),
            "1.005"
        );
    }

    #[test]
    fn an_unreadable_product_does_not_hide_the_others() {
        let page = page_of(
            r#"{"id": "1"}, null, 17, "text", [], {"name": "no id"}, {"id": "2", "minPrice": "cheap"},
               {"id": "3", "qty": -1}, {"id": "4", "minPrice": -0.01}, {"id": "5", "qty": 1.5}, {"id": "../6"},
               {"id": "7", "retail_min_price": {}}, {"id": "8"}"#,
        );
        let ids: Vec<_> = page.products.iter().map(|product| product.id.as_str()).collect();
        assert_eq!(ids, ["1", "8"]);
        let reported: Vec<_> = page
            .unreadable
            .iter()
            .map(|one| (one.id.as_deref(), one.reason))
            .collect();
        assert_eq!(reported[0], (None, "not an object"));
        assert_eq!(reported[4], (None, "no usable `id`"));
        assert_eq!(reported[5], (Some("2"), "`minPrice` is not an amount"));
        assert_eq!(reported[6], (Some("3"), "`qty` is not a whole number from zero"));
        assert_eq!(reported.len(), 11);
    }

    #[test]
    fn invalid_utf8_and_null_characters_do_not_fail_the_page() {
        let mut body = br#"{"total": 1, "page": 1, "docs": [{"id": "7", "name": "Caf"#.to_vec();
        body.extend([0xe9, b'"', b'}', b']', b'}']);
        let page = parse_product_page(&body, 1).unwrap();
        assert_eq!(page.products[0].name.as_deref(), Some("Caf\u{fffd}"));
        assert_eq!(only(r#"{"id": "7", "name": "a\u0000b"}"#).name.as_deref(), Some("ab"));
        assert_eq!(only(r#"{"id": "7", "name": "\ud800"}"#).name, None);
    }

    #[test]
    fn a_page_has_its_total_and_number() {
        let page = parse_product_page(br#"{"total": "93", "page": 5, "docs": [], "more": 1}"#, 5).unwrap();
        assert_eq!((page.total, page.page, page.products.len()), (93, 5, 0));
        assert_eq!(parse_product_page(br#"{"total": 93, "docs": []}"#, 4).unwrap().page, 4);
    }

    #[test]
    fn answers_that_are_no_page_are_errors() {
        let reason = |body: &str| match parse_product_page(body.as_bytes(), 1) {
            Err(Error::BadAnswer { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason("  "), BadAnswer::Empty);
        assert_eq!(reason("<html>busy</html>"), BadAnswer::NotJson);
        assert_eq!(reason(r#"{"total": 1, "docs": [{"id""#), BadAnswer::NotJson);
        assert_eq!(reason("[1]"), BadAnswer::Shape("not an object"));
        assert_eq!(
            reason(r#"{"data": {"products": []}}"#),
            BadAnswer::Shape("no list `docs`")
        );
        assert_eq!(reason(r#"{"docs": []}"#), BadAnswer::Shape("no number `total`"));
        assert_eq!(
            reason(r#"{"total": -1, "docs": []}"#),
            BadAnswer::Shape("no number `total`")
        );
    }
}
