//! Converts one JSON value to one type, or to nothing. Prices are taken from the digits of the text; nothing passes
//! through a float.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use lockstep_domain::money::exact_decimal;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Maximum length of an id. G2A's have 14 digits.
const MAX_ID: usize = 64;

pub(super) type Object<'a> = BTreeMap<String, &'a RawValue>;

/// Whether the text is safe as a path segment.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

pub(super) fn object(json: &str) -> Option<Object<'_>> {
    serde_json::from_str(json).ok()
}

pub(super) fn list(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// A JSON string, unescaped.
pub(super) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    if !raw.get().starts_with('"') {
        return None;
    }
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0)
}

/// The digits of a JSON number.
pub(super) fn number(raw: &RawValue) -> Option<String> {
    raw.get()
        .starts_with(|first: char| first == '-' || first.is_ascii_digit())
        .then(|| raw.get().to_owned())
}

/// Text for display: trimmed, without null characters, which PostgreSQL cannot store. Numbers are kept as written.
pub(super) fn text(raw: &RawValue) -> Option<String> {
    let words = match string(raw) {
        Some(words) => words.replace('\0', ""),
        None => number(raw)?,
    };
    let trimmed = words.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

pub(super) fn id(raw: &RawValue) -> Option<String> {
    text(raw).filter(|text| is_id(text))
}

/// A non-negative amount, exactly as written, from a number or a string.
pub(super) fn amount(raw: &RawValue) -> Option<Decimal> {
    exact_decimal(&text(raw)?).filter(|amount| !amount.is_sign_negative() || amount.is_zero())
}

/// A non-negative whole number; `12.0` and `"12"` are twelve.
pub(super) fn whole(raw: &RawValue) -> Option<u64> {
    let exact = amount(raw)?;
    if exact.is_integer() {
        u64::try_from(exact).ok()
    } else {
        None
    }
}

pub(super) fn truth(raw: &RawValue) -> Option<bool> {
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

/// Whether the value is `null` or a blank string.
pub(super) fn is_blank(raw: &RawValue) -> bool {
    raw.get() == "null" || string(raw).is_some_and(|text| text.trim().is_empty())
}

pub(super) fn currency(raw: &RawValue) -> Option<String> {
    let code = text(raw)?.to_ascii_uppercase();
    (code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(code)
}

pub(super) fn moment_of(text: &str) -> Option<DateTime<Utc>> {
    let with_zone = DateTime::parse_from_rfc3339(text).map(|moment| moment.with_timezone(&Utc));
    with_zone
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").map(|moment| moment.and_utc()))
        .ok()
}

pub(super) fn day_of(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text.get(..10).unwrap_or(text), "%Y-%m-%d").ok()
}
