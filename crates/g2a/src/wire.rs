//! Reads G2A's answers: pure functions from bytes to typed values.
//!
//! Catalogue data is read forgivingly, because it is: fields come and go between versions, empty strings stand for
//! "unknown", numbers are whole or broken, ids are text here and numbers there. A product that cannot be read is reported
//! beside the others. Money and orders are read strictly: a missing currency or price is an error, never a guess.
//!
//! Prices are taken from the digits of the JSON text; nothing passes through a float.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use lockstep_domain::money::exact_decimal;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{BadAnswer, Call, Code, Error};
use crate::secret::SecretText;

/// Longest id that is taken for one. G2A's have 14 digits.
const MAX_ID: usize = 64;

type Object<'a> = BTreeMap<String, &'a RawValue>;

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
    /// Cheapest listed price. Not necessarily what an order is charged: that is in [`CreatedOrder::price`].
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

/// A new order: one key, reserved for 30 minutes, unpaid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedOrder {
    /// G2A's id of the order.
    pub order_id: String,
    /// What paying it will cost: the only price to compare with the floor.
    pub price: Decimal,
    /// Currency of the price, three capital letters.
    pub currency: String,
}

/// What G2A says of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderDetails {
    /// Its status.
    pub status: OrderStatus,
    /// Its price, when given.
    pub price: Option<Decimal>,
    /// Currency of the price, when given.
    pub currency: Option<String>,
}

/// Status of an order at G2A: an open set, of which three members have been seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderStatus {
    /// `new`: not paid.
    New,
    /// `pending`: on its way.
    Pending,
    /// `complete`: paid, the key can be fetched.
    Complete,
    /// Anything else, in lower case. It means neither paid nor unpaid.
    Other(String),
}

/// The answer to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Whether G2A says it went well. `false` means: look at the order's details.
    pub accepted: bool,
    /// G2A's id of the transaction, when given.
    pub transaction_id: Option<String>,
}

/// A game key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key as G2A wrote it. For a file, its contents in an encoding that no source documents.
    pub value: SecretText,
    /// True when the key is a file.
    pub is_file: bool,
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

/// Reads the answer to a new order.
///
/// # Errors
/// [`Error::BadAnswer`] without a usable id, price or currency, [`Error::Refused`] for an error body.
pub fn parse_created_order(body: &[u8]) -> Result<CreatedOrder, Error> {
    let call = Call::CreateOrder;
    let order = answer(call, strict(call, body)?)?;
    let shape = |what| bad(call, BadAnswer::Shape(what));
    Ok(CreatedOrder {
        order_id: order
            .get("order_id")
            .and_then(|raw| id(raw))
            .ok_or_else(|| shape("no usable `order_id`"))?,
        price: order
            .get("price")
            .and_then(|raw| amount(raw))
            .ok_or_else(|| shape("no usable `price`"))?,
        currency: order
            .get("currency")
            .and_then(|raw| currency(raw))
            .ok_or_else(|| shape("no usable `currency`"))?,
    })
}

/// Reads an order's details.
///
/// # Errors
/// [`Error::BadAnswer`] without a status, [`Error::Refused`] for an error body.
pub fn parse_order_details(body: &[u8]) -> Result<OrderDetails, Error> {
    let call = Call::OrderDetails;
    let order = answer(call, strict(call, body)?)?;
    let status = order.get("status").and_then(|raw| text(raw));
    Ok(OrderDetails {
        status: status
            .map(OrderStatus::from_text)
            .ok_or_else(|| bad(call, BadAnswer::Shape("no usable `status`")))?,
        price: order.get("price").and_then(|raw| amount(raw)),
        currency: order.get("currency").and_then(|raw| currency(raw)),
    })
}

/// Reads the answer to a payment.
///
/// # Errors
/// [`Error::BadAnswer`] without a status, [`Error::Refused`] for an error body.
pub fn parse_payment(body: &[u8]) -> Result<Payment, Error> {
    let call = Call::Pay;
    let payment = answer(call, strict(call, body)?)?;
    let accepted = payment.get("status").and_then(|raw| truth(raw));
    Ok(Payment {
        accepted: accepted.ok_or_else(|| bad(call, BadAnswer::Shape("no usable `status`")))?,
        transaction_id: payment.get("transaction_id").and_then(|raw| text(raw)),
    })
}

/// Reads a key out of the bytes of [`RawKeyAnswer::body`](crate::RawKeyAnswer::body), which have been stored before.
///
/// # Errors
/// [`Error::BadAnswer`] without a key, [`Error::Refused`] for an error body. Neither holds any part of the bytes.
pub fn parse_key(body: &[u8]) -> Result<Key, Error> {
    let call = Call::Key;
    let answer = answer(call, strict(call, body)?)?;
    // Not `text`: a key is taken letter by letter as it came.
    let value = answer
        .get("key")
        .and_then(|raw| string(raw).map(Cow::into_owned).or_else(|| number(raw)));
    let value = value.filter(|value| !value.trim().is_empty());
    Ok(Key {
        value: SecretText::new(value.ok_or_else(|| bad(call, BadAnswer::Shape("no usable `key`")))?),
        is_file: answer.get("isFile").and_then(|raw| truth(raw)).unwrap_or(false),
    })
}

/// Reads the code of an error body; `None` when there is none to be found in it.
pub(crate) fn error_code(body: &[u8]) -> Option<Code> {
    let body = std::str::from_utf8(body).ok()?;
    code_of(&object(body)?)
}

/// Reads the answer of the token server: the token and the seconds it lasts, if it says so.
pub(crate) fn parse_token(body: &[u8]) -> Option<(SecretText, Option<u64>)> {
    let answer = object(std::str::from_utf8(body).ok()?)?;
    let token = answer
        .get("access_token")
        .and_then(|raw| string(raw))
        .filter(|token| !token.is_empty())?;
    Some((
        SecretText::new(token),
        answer.get("expires_in").and_then(|raw| whole(raw)),
    ))
}

/// True for texts that can stand in a path without meaning anything else there.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl OrderStatus {
    fn from_text(mut text: String) -> Self {
        text.make_ascii_lowercase();
        match text.as_str() {
            "new" => Self::New,
            "pending" => Self::Pending,
            "complete" => Self::Complete,
            _ => Self::Other(text),
        }
    }
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

/// The body as text; what is not UTF-8 is not JSON.
fn strict(call: Call, body: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(body).map_err(|_| bad(call, BadAnswer::NotJson))
}

/// The object that every answer is; an error body under a 2xx is the refusal it says it is.
fn answer(call: Call, body: &str) -> Result<Object<'_>, Error> {
    if body.trim().is_empty() {
        return Err(bad(call, BadAnswer::Empty));
    }
    let Some(fields) = object(body) else {
        let is_json = serde_json::from_str::<&RawValue>(body).is_ok();
        let reason = if is_json {
            BadAnswer::Shape("not an object")
        } else {
            BadAnswer::NotJson
        };
        return Err(bad(call, reason));
    };
    let says_error = fields
        .get("status")
        .and_then(|raw| string(raw))
        .is_some_and(|s| s.eq_ignore_ascii_case("error"));
    match code_of(&fields) {
        Some(code) if says_error => Err(Error::Refused {
            call,
            status: 200,
            code: Some(code),
            retry_after: None,
        }),
        _ => Ok(fields),
    }
}

fn bad(call: Call, reason: BadAnswer) -> Error {
    Error::BadAnswer {
        call,
        status: 200,
        reason,
    }
}

fn code_of(fields: &Object<'_>) -> Option<Code> {
    fields
        .get("code")
        .and_then(|raw| text(raw))
        .and_then(|code| Code::from_text(&code))
}

// From here on: one JSON value as one type, or nothing.

fn object(json: &str) -> Option<Object<'_>> {
    serde_json::from_str(json).ok()
}

fn list(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// A JSON string, unescaped.
fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    if !raw.get().starts_with('"') {
        return None;
    }
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0)
}

/// The digits of a JSON number.
fn number(raw: &RawValue) -> Option<String> {
    raw.get()
        .starts_with(|first: char| first == '-' || first.is_ascii_digit())
        .then(|| raw.get().to_owned())
}

/// Words for people: trimmed, without null characters, which PostgreSQL cannot store. Numbers are taken as written.
fn text(raw: &RawValue) -> Option<String> {
    let words = match string(raw) {
        Some(words) => words.replace('\0', ""),
        None => number(raw)?,
    };
    let trimmed = words.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

fn id(raw: &RawValue) -> Option<String> {
    text(raw).filter(|text| is_id(text))
}

/// An amount from zero, exactly as written, from a number or a string.
fn amount(raw: &RawValue) -> Option<Decimal> {
    exact_decimal(&text(raw)?).filter(|amount| !amount.is_sign_negative() || amount.is_zero())
}

/// A whole number from zero; `12.0` and `"12"` are twelve.
fn whole(raw: &RawValue) -> Option<u64> {
    let exact = amount(raw)?;
    if exact.is_integer() {
        u64::try_from(exact).ok()
    } else {
        None
    }
}

fn truth(raw: &RawValue) -> Option<bool> {
    match raw.get() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => match text(raw)?.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
    }
}

/// `null` and strings of blanks.
fn is_blank(raw: &RawValue) -> bool {
    raw.get() == "null" || string(raw).is_some_and(|text| text.trim().is_empty())
}

fn currency(raw: &RawValue) -> Option<String> {
    let code = text(raw)?.to_ascii_uppercase();
    (code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(code)
}

fn moment_of(text: &str) -> Option<DateTime<Utc>> {
    let with_zone = DateTime::parse_from_rfc3339(text).map(|moment| moment.with_timezone(&Utc));
    with_zone
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").map(|moment| moment.and_utc()))
        .ok()
}

fn day_of(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text.get(..10).unwrap_or(text), "%Y-%m-%d").ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn an_error_body_under_a_200_is_a_refusal() {
        let body = br#"{"status": "ERROR", "message": "Order not found", "code": "ORD02"}"#;
        assert_eq!(
            parse_order_details(body).unwrap_err().code(),
            Some(&Code::OrderNotFound)
        );
        assert_eq!(parse_key(body).unwrap_err().code(), Some(&Code::OrderNotFound));
    }

    #[test]
    fn a_created_order_has_an_exact_price() {
        let order = parse_created_order(br#"{"order_id": 80201019921771, "price": 45.10, "currency": "EUR"}"#).unwrap();
        assert_eq!(order.order_id, "80201019921771");
        assert_eq!(order.price.to_string(), "45.10");
        assert_eq!(order.currency, "EUR");
    }

    #[test]
    fn an_order_without_price_currency_or_id_is_not_guessed_at() {
        for body in [
            r#"{"order_id": "1", "price": 4.5}"#,
            r#"{"order_id": "1", "price": 4.5, "currency": "euro"}"#,
            r#"{"order_id": "1", "price": null, "currency": "EUR"}"#,
            r#"{"order_id": "1", "price": -4.5, "currency": "EUR"}"#,
            r#"{"order_id": "", "price": 4.5, "currency": "EUR"}"#,
            r#"{"order_id": "1/../2", "price": 4.5, "currency": "EUR"}"#,
        ] {
            assert!(
                matches!(parse_created_order(body.as_bytes()), Err(Error::BadAnswer { .. })),
                "{body}"
            );
        }
    }

    #[test]
    fn order_status_is_an_open_set() {
        let status = |text: &str| {
            parse_order_details(format!(r#"{{"status": {text}}}"#).as_bytes())
                .unwrap()
                .status
        };
        assert_eq!(status(r#""new""#), OrderStatus::New);
        assert_eq!(status(r#""Pending""#), OrderStatus::Pending);
        assert_eq!(status(r#""complete""#), OrderStatus::Complete);
        assert_eq!(status(r#""refunded""#), OrderStatus::Other("refunded".into()));
    }

    #[test]
    fn a_payment_is_accepted_only_when_g2a_says_so() {
        let paid = parse_payment(br#"{"status": true, "transaction_id": "25ed3e8a"}"#).unwrap();
        assert_eq!(
            paid,
            Payment {
                accepted: true,
                transaction_id: Some("25ed3e8a".into())
            }
        );
        assert!(!parse_payment(br#"{"status": false}"#).unwrap().accepted);
        assert!(matches!(
            parse_payment(br#"{"transaction_id": "x"}"#),
            Err(Error::BadAnswer { .. })
        ));
    }

    #[test]
    fn a_key_is_taken_letter_by_letter_and_never_shown() {
        let key = parse_key(br#"{"key": " AB-\u00e9\u0000 ", "isFile": false, "x": 1}"#).unwrap();
        assert_eq!(key.value.expose(), " AB-\u{e9}\0 ");
        assert!(!format!("{key:?}").contains("AB-"));
        assert!(parse_key(br#"{"key": "QUJD", "isFile": true}"#).unwrap().is_file);
        assert_eq!(parse_key(br#"{"key": 123456}"#).unwrap().value.expose(), "123456");
    }

    #[test]
    fn a_key_answer_without_a_key_is_an_error_that_holds_none_of_it() {
        for body in [
            r#"{"key": ""}"#,
            r#"{"keys": ["SECRET-1"]}"#,
            r#"{"key": "SECRET-1"#,
            r#"{"key": ["SECRET-1"]}"#,
        ] {
            let error = parse_key(body.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
        }
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|value| value.to_string()),
            any::<i64>().prop_map(|value| value.to_string()),
            "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][-+]?[0-9]{1,6})?",
            ".{0,12}".prop_map(|value| serde_json::to_string(&value).unwrap()),
        ];
        let name = prop::sample::select(vec![
            "total",
            "page",
            "docs",
            "id",
            "qty",
            "minPrice",
            "priceLimit",
            "min",
            "categories",
            "videos",
            "url",
            "name",
            "requirements",
            "minimal",
            "restrictions",
            "updated_at",
            "release_date",
            "order_id",
            "price",
            "currency",
            "status",
            "code",
            "key",
            "isFile",
            "transaction_id",
            "access_token",
            "expires_in",
        ]);
        leaf.prop_recursive(4, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec((name.clone(), inner), 0..8).prop_map(|fields| {
                    let fields: Vec<_> = fields
                        .iter()
                        .map(|(name, value)| format!("\"{name}\":{value}"))
                        .collect();
                    format!("{{{}}}", fields.join(","))
                }),
            ]
        })
    }

    fn read_every_way(body: &[u8]) {
        let _unused = (
            parse_product_page(body, 1),
            parse_created_order(body),
            parse_order_details(body),
        );
        let _unused = (
            parse_payment(body),
            parse_key(body),
            error_code(body),
            parse_token(body),
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            read_every_way(&body);
        }

        #[test]
        fn no_json_panics(body in json()) {
            read_every_way(body.as_bytes());
        }

        #[test]
        fn no_list_of_anything_fails_a_page(docs in prop::collection::vec(json(), 0..6)) {
            let count = docs.len();
            let body = format!(r#"{{"total": 9, "page": 1, "docs": [{}]}}"#, docs.join(","));
            // A list that holds a number too large for JSON itself is still a list.
            let page = parse_product_page(body.as_bytes(), 1).unwrap();
            prop_assert_eq!(page.products.len() + page.unreadable.len(), count);
        }
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let deep = format!(
            r#"{{"total": 1, "docs": [{{"id": "7", "x": {}{}}}]}}"#,
            "[".repeat(200_000),
            "]".repeat(200_000)
        );
        read_every_way(deep.as_bytes());
    }
}
