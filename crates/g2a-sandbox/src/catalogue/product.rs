//! A product, in memory and as JSON.
//!
//! Field names and types are those of real exports: ids as strings of 14 digits, prices as JSON numbers that are
//! integers for whole prices, empty strings instead of absent values, a single snake_case price.

use chrono::{DateTime, NaiveDateTime, Utc};
use lockstep_domain::{Money, money::exact_decimal};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// G2A's time format, always UTC here.
pub(crate) const TIME_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// A product. Prices, stock and time of change are stored here; the rest is generated or kept as loaded.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    /// The lowest listed price.
    pub(crate) min_price: Money,
    /// The price charged by default (see `Knobs::charge_basis`).
    pub(crate) retail_min_price: Money,
    /// The retail price without fees.
    pub(crate) retail_min_base_price: Money,
    /// Number of keys for sale.
    pub(crate) quantity: i64,
    /// When it last changed; `None` if an export has `""`, and then no time filter matches it.
    pub(crate) updated_at: Option<DateTime<Utc>>,
    /// All other fields.
    pub(crate) body: Body,
}

/// The fields of a product other than prices, stock and time.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Composed by the generator from this number when needed.
    Made(u64),
    /// A JSON object as loaded, added or patched, including unknown fields and irregularities.
    Given(Box<Map<String, Value>>),
}

/// The JSON form of a synthetic product. `None` omits the field.
#[derive(Debug, Serialize)]
pub(super) struct Doc {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) slug: String,
    #[serde(rename = "availableToBuy", skip_serializing_if = "Option::is_none")]
    pub(super) available_to_buy: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thumbnail: Option<&'static str>,
    #[serde(rename = "smallImage", skip_serializing_if = "Option::is_none")]
    pub(super) small_image: Option<&'static str>,
    #[serde(rename = "coverImage", skip_serializing_if = "Option::is_none")]
    pub(super) cover_image: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) images: Option<[&'static str; 0]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) release_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) developer: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) publisher: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restrictions: Option<Restrictions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) requirements: Option<Requirements>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) videos: Option<Vec<Video>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) categories: Option<Vec<Category>>,
}

/// A synthetic product with its current prices and stock.
#[derive(Serialize)]
struct FullDoc<'a> {
    #[serde(flatten)]
    doc: &'a Doc,
    #[serde(flatten)]
    moving: Moving,
}

#[derive(Serialize)]
struct Moving {
    qty: i64,
    #[serde(rename = "minPrice", serialize_with = "as_loose_number")]
    min_price: Money,
    #[serde(serialize_with = "as_loose_number")]
    retail_min_price: Money,
    #[serde(rename = "retailMinBasePrice", serialize_with = "as_loose_number")]
    retail_min_base_price: Money,
    #[serde(rename = "priceLimit")]
    price_limit: PriceLimit,
    updated_at: String,
}

#[derive(Serialize)]
struct PriceLimit {
    min: Option<i64>,
    max: Option<i64>,
}

#[derive(Debug, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the wire format is eight flags")]
pub(super) struct Restrictions {
    pub(super) pegi_violence: bool,
    pub(super) pegi_profanity: bool,
    pub(super) pegi_discrimination: bool,
    pub(super) pegi_drugs: bool,
    pub(super) pegi_fear: bool,
    pub(super) pegi_gambling: bool,
    pub(super) pegi_online: bool,
    pub(super) pegi_sex: bool,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Requirements {
    pub(super) minimal: RequirementSet,
    pub(super) recommended: RequirementSet,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct RequirementSet {
    #[serde(rename = "reqprocessor")]
    pub(super) processor: &'static str,
    #[serde(rename = "reqgraphics")]
    pub(super) graphics: &'static str,
    #[serde(rename = "reqmemory")]
    pub(super) memory: &'static str,
    #[serde(rename = "reqdiskspace")]
    pub(super) disk_space: &'static str,
    #[serde(rename = "reqsystem")]
    pub(super) system: &'static str,
    #[serde(rename = "reqother")]
    pub(super) other: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Video {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) url: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Category {
    pub(super) id: u64,
    pub(super) name: &'static str,
}

/// Formats a price as in real exports: `11`, `5.5`, `9.89`.
pub(crate) fn loose_number(amount: Money) -> String {
    amount.decimal().normalize().to_string()
}

fn as_loose_number<S: Serializer>(amount: &Money, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(loose_number(*amount))
        .map_err(serde::ser::Error::custom)?
        .serialize(serializer)
}

/// The JSON number of a price, an integer for whole prices.
pub(crate) fn loose_value(amount: Money) -> Value {
    serde_json::from_str(&loose_number(amount)).unwrap_or(Value::Null)
}

impl Product {
    /// Creates a product from a JSON object. Unreadable values count as zero or unknown for filters and purchases but
    /// are served unchanged: irregular rows are part of the simulation.
    pub(super) fn from_map(map: Map<String, Value>) -> Self {
        let mut product = Self {
            min_price: Money::ZERO,
            retail_min_price: Money::ZERO,
            retail_min_base_price: Money::ZERO,
            quantity: 0,
            updated_at: None,
            body: Body::Given(Box::new(map)),
        };
        product.read_back();
        product
    }

    /// Updates prices, stock and time of change from the JSON object of a loaded product.
    pub(super) fn read_back(&mut self) {
        if let Body::Given(map) = &self.body {
            self.min_price = price_of(map.get("minPrice")).unwrap_or(Money::ZERO);
            self.retail_min_price = price_of(map.get("retail_min_price")).unwrap_or(self.min_price);
            self.retail_min_base_price = price_of(map.get("retailMinBasePrice")).unwrap_or(self.retail_min_price);
            self.quantity = map.get("qty").and_then(Value::as_i64).unwrap_or(0).max(0);
            self.updated_at = map.get("updated_at").and_then(Value::as_str).and_then(read_time);
        }
    }

    /// Writes the current prices, stock and time of change into the JSON object of a loaded product.
    pub(super) fn write_back(&mut self) {
        if let Body::Given(map) = &mut self.body {
            map.insert("minPrice".into(), loose_value(self.min_price));
            map.insert("retail_min_price".into(), loose_value(self.retail_min_price));
            map.insert("qty".into(), self.quantity.into());
            if let Some(moment) = self.updated_at {
                map.insert("updated_at".into(), write_time(moment).into());
            }
        }
    }

    /// Appends the product's JSON to `out`.
    pub(super) fn write_json(&self, describe: impl FnOnce(u64) -> Doc, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match &self.body {
            Body::Given(map) => serde_json::to_writer(out, map),
            Body::Made(number) => {
                let doc = describe(*number);
                let moving = Moving {
                    qty: self.quantity,
                    min_price: self.min_price,
                    retail_min_price: self.retail_min_price,
                    retail_min_base_price: self.retail_min_base_price,
                    price_limit: PriceLimit { min: None, max: None },
                    updated_at: self.updated_at.map(write_time).unwrap_or_default(),
                };
                serde_json::to_writer(out, &FullDoc { doc: &doc, moving })
            }
        }
    }
}

/// Parses a price from a JSON number or a string of digits, rounded to cents.
fn price_of(value: Option<&Value>) -> Option<Money> {
    let text = match value? {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    exact_decimal(&text).and_then(|exact| Money::rounded(exact).ok())
}

/// Parses `yyyy-mm-dd hh:mm:ss` as UTC.
pub(crate) fn read_time(text: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(text, TIME_FORMAT)
        .ok()
        .map(|moment| moment.and_utc())
}

/// Formats a time as `yyyy-mm-dd hh:mm:ss`.
pub(crate) fn write_time(moment: DateTime<Utc>) -> String {
    moment.format(TIME_FORMAT).to_string()
}
