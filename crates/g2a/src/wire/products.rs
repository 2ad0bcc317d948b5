//! The catalogue, read forgivingly: fields come and go between versions, empty strings stand for "unknown", numbers are
//! whole or broken, ids are text here and numbers there. A product that cannot be read is reported beside the others.

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
    /// Products that match the query, on all pages, at the moment of the answer.
    pub total: u64,
    /// The page this is, from 1; the page asked for when the answer does not say.
    pub page: u32,
    /// The products that could be read, in G2A's order.
    pub products: Vec<Product>,
    /// The others.
    pub unreadable: Vec<Unreadable>,
}

/// A product of a page that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its id, if at least that could be read.
    pub id: Option<String>,
    /// What is wrong with it, for the report of the run.
    pub reason: &'static str,
}

/// A product as G2A lists it. Everything but the id can be missing; an empty text counts as missing.
///
/// Prices are in euro and exact, with as many decimals as G2A sends.
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
    /// Cheapest listed price. Not necessarily what an order is charged: that is in [`CreatedOrder::price`](crate::CreatedOrder::price).
    pub min_price: Option<Decimal>,
    /// Retail price; reported to be what is charged.
    pub retail_min_price: Option<Decimal>,
    /// Retail price without fees.
    pub retail_min_base_price: Option<Decimal>,
    /// Whether G2A says it can be bought. `false` on the whole of its sandbox.
    pub available_to_buy: Option<bool>,
    /// Bounds that G2A sets to the price.
    pub price_limit: PriceLimit,
    /// Address of a small picture.
    pub thumbnail: Option<String>,
    /// Address of a medium picture.
    pub small_image: Option<String>,
    /// Address of the cover.
    pub cover_image: Option<String>,
    /// Addresses of more pictures.
    pub images: Vec<String>,
    /// Description, as HTML. Not to be trusted.
    pub description: Option<String>,
    /// When G2A last changed it.
    pub updated_at: Option<DateTime<Utc>>,
    /// Day of release, possibly in the future.
    pub release_date: Option<NaiveDate>,
    /// Region it can be activated in.
    pub region: Option<String>,
    /// Who made it.
    pub developer: Option<String>,
    /// Who published it.
    pub publisher: Option<String>,
    /// Where it is activated, such as `Steam`.
    pub platform: Option<String>,
    /// Age-rating marks (`pegi_violence`, ...).
    pub restrictions: BTreeMap<String, bool>,
    /// What it needs to run.
    pub requirements: Requirements,
    /// Films about it.
    pub videos: Vec<Video>,
    /// Its categories.
    pub categories: Vec<Category>,
}

/// Bounds of a price, in euro.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PriceLimit {
    /// Lower bound.
    pub min: Option<Decimal>,
    /// Upper bound.
    pub max: Option<Decimal>,
}

/// System requirements, by G2A's names (`reqprocessor`, `reqmemory`, ...); empty ones are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requirements {
    /// The least that will do.
    pub minimal: BTreeMap<String, String>,
    /// What G2A recommends.
    pub recommended: BTreeMap<String, String>,
}

/// A film about a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Video {
    /// Where it is kept, such as `YOUTUBE`.
    pub kind: Option<String>,
    /// Its address.
    pub url: String,
}

/// A category of G2A's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// Its id: a number or a text at G2A, a text here.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
}

/// Reads one page of products. `asked` is the page asked for.
///
/// # Errors
/// [`Error::BadAnswer`] when the page as a whole cannot be read, [`Error::Refused`] for an error body. A product that
/// cannot be read is no error: it is in [`ProductPage::unreadable`].
pub fn parse_product_page(body: &[u8], asked: u32) -> Result<ProductPage, Error> {
    // Bytes that are not UTF-8 spoil one letter of one title, not the page.
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

    // Of what decides about price and stock, nonsense is not the same as nothing.
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
    fn a_full_product_is_read_field_by_field() {
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
    fn a_product_needs_nothing_but_its_id() {
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
    fn numbers_and_texts_stand_in_for_each_other() {
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
    fn prices_are_exactly_the_digits_that_were_sent() {
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
    fn a_product_that_cannot_be_read_does_not_hide_the_others() {
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
    fn a_broken_letter_or_a_null_character_spoils_no_page() {
        let mut body = br#"{"total": 1, "page": 1, "docs": [{"id": "7", "name": "Caf"#.to_vec();
        body.extend([0xe9, b'"', b'}', b']', b'}']);
        let page = parse_product_page(&body, 1).unwrap();
        assert_eq!(page.products[0].name.as_deref(), Some("Caf\u{fffd}"));
        assert_eq!(only(r#"{"id": "7", "name": "a\u0000b"}"#).name.as_deref(), Some("ab"));
        assert_eq!(only(r#"{"id": "7", "name": "\ud800"}"#).name, None);
    }

    #[test]
    fn a_page_says_how_many_there_are_and_which_it_is() {
        let page = parse_product_page(br#"{"total": "93", "page": 5, "docs": [], "more": 1}"#, 5).unwrap();
        assert_eq!((page.total, page.page, page.products.len()), (93, 5, 0));
        assert_eq!(parse_product_page(br#"{"total": 93, "docs": []}"#, 4).unwrap().page, 4);
    }

    #[test]
    fn a_page_that_is_none_is_told_apart() {
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
