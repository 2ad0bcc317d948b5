//! Query parameters, parsed strictly: an invalid value is refused with the parameter's name and never reaches the
//! database. Unknown parameters are ignored.

use std::borrow::Cow;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use http::HeaderValue;
use http::header;
use http::request::Parts;
use lockstep_domain::ids::OrderId;
use lockstep_shop::Slice;
use uuid::Uuid;

use crate::error::ApiError;

/// A longer query is refused unread, in bytes.
const MAX_QUERY: usize = 8 * 1024;
/// Maximum length of a text, in characters.
const MAX_TEXT: usize = 100;
/// Maximum length of a slug, in characters.
const MAX_SLUG: usize = 300;
/// Maximum number of values of a list.
const MAX_VALUES: usize = 50;
/// Number of neighbouring list values that are also read as one value with commas in it.
const MAX_JOINED: usize = 3;

/// Maximum page size of a shopper's list.
const MAX_LIMIT: u32 = 100;
/// Highest page number of a shopper's list.
const MAX_PAGE: u32 = 100_000;

/// Reads the requested page of a shopper's list from the query.
pub(crate) fn slice(ask: &Ask) -> Result<Slice, ApiError> {
    let page = ask.number("page", 1, 1, MAX_PAGE)?;
    Ok(Slice::page(page, ask.number("limit", MAX_LIMIT, 1, MAX_LIMIT)?))
}

/// The parts of a request that handlers need.
#[derive(Debug)]
pub(crate) struct Ask {
    pairs: Vec<(String, String)>,
    /// Whether the client accepts gzip.
    pub(crate) gzip: bool,
    /// ETags that the client has already.
    pub(crate) if_none_match: Option<HeaderValue>,
}

impl<S: Sync> FromRequestParts<S> for Ask {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(Self {
            pairs: parts.uri.query().map_or(Ok(Vec::new()), pairs)?,
            gzip: lockstep_request::takes_gzip(&parts.headers),
            if_none_match: parts.headers.get(header::IF_NONE_MATCH).cloned(),
        })
    }
}

impl Ask {
    /// Returns the only value of a parameter, `None` if it is empty; repeated parameters are an error.
    fn one(&self, name: &'static str) -> Result<Option<&str>, ApiError> {
        let mut values = self.pairs.iter().filter(|(key, _)| key == name);
        let first = values.next();
        if values.next().is_some() {
            return Err(ApiError::invalid(name, "is given more than once"));
        }
        Ok(first.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty()))
    }

    /// Parses a parameter as a `T`.
    pub(crate) fn parsed<T>(&self, name: &'static str) -> Result<Option<T>, ApiError>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        self.one(name)?
            .map(|text| {
                text.parse()
                    .map_err(|why: T::Err| ApiError::invalid(name, why.to_string()))
            })
            .transpose()
    }

    /// The order that a parameter names. The existing console sends it after each letter that is typed: a text that is no
    /// ID is no order's, and the nil UUID is none's either.
    pub(crate) fn order(&self, name: &'static str) -> Result<Option<OrderId>, ApiError> {
        let id = |text: String| OrderId(Uuid::parse_str(&text).unwrap_or_default());
        Ok(self.text(name)?.map(id))
    }

    /// Parses an integer from `least` to `most`. An empty one is refused: it is none, as the description says.
    pub(crate) fn number(&self, name: &'static str, default: u32, least: u32, most: u32) -> Result<u32, ApiError> {
        if self.pairs.iter().all(|(key, _)| key != name) {
            return Ok(default);
        }
        let text = self.one(name)?.unwrap_or_default();
        // `+5` parses as a number, but in a query a plus is a space.
        text.parse()
            .ok()
            .filter(|number| (least..=most).contains(number) && text.bytes().all(|b| b.is_ascii_digit()))
            .ok_or_else(|| ApiError::invalid(name, format!("must be a whole number from {least} to {most}")))
    }

    /// A search text, trimmed; `None` if it is empty.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, ApiError> {
        self.one(name)?
            .map(|text| checked_text(name, text))
            .transpose()
            .map(|text| text.filter(|text| !text.is_empty()).map(str::to_owned))
    }

    /// Parses `true` or `false`.
    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>, ApiError> {
        match self.one(name)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(ApiError::invalid(name, "must be true or false")),
        }
    }

    /// Whether a parameter is given and is exactly `text`.
    pub(crate) fn is(&self, name: &'static str, text: &str) -> Result<bool, ApiError> {
        Ok(self.one(name)? == Some(text))
    }

    /// Values of a list: comma-separated, as repeated parameters, or both.
    ///
    /// A value may contain a comma itself (`Kalypso, Inc.`), which a list cannot distinguish from a separator; so up to
    /// three neighbours are also read as one value. A value that does not exist matches nothing.
    pub(crate) fn list(&self, name: &'static str) -> Result<Vec<String>, ApiError> {
        let mut values = Vec::new();
        let mut count = 0;
        for (_, text) in self.pairs.iter().filter(|(key, _)| key == name) {
            let parts: Vec<&str> = text.split(',').collect();
            count += parts.len();
            if count > MAX_VALUES {
                return Err(ApiError::invalid(name, format!("has more than {MAX_VALUES} values")));
            }
            for part in &parts {
                checked_text(name, part)?;
            }
            for length in 1..=MAX_JOINED {
                for run in parts.windows(length) {
                    let value = run.join(",");
                    let value = value.trim();
                    if !value.is_empty() && run.iter().all(|part| length == 1 || !part.trim().is_empty()) {
                        values.push(value.to_owned());
                    }
                }
            }
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }
}

/// Trims and checks a text: no control characters, at most [`MAX_TEXT`] characters.
pub(crate) fn checked_text<'t>(name: &'static str, text: &'t str) -> Result<&'t str, ApiError> {
    bounded_text(name, text, MAX_TEXT)
}

/// As [`checked_text`], for the slug of a game or an article.
pub(crate) fn checked_slug(text: &str) -> Result<&str, ApiError> {
    bounded_text("slug", text, MAX_SLUG)
}

fn bounded_text<'t>(name: &'static str, text: &'t str, most: usize) -> Result<&'t str, ApiError> {
    if text.chars().any(char::is_control) {
        return Err(ApiError::invalid(name, "must not hold control characters"));
    }
    let text = text.trim();
    if text.chars().nth(most).is_some() {
        return Err(ApiError::invalid(
            name,
            format!("must not be longer than {most} characters"),
        ));
    }
    Ok(text)
}

/// Whether every `%` of a path or query starts an escape and the decoded bytes are UTF-8.
pub(crate) fn is_encoded_well(text: &str) -> bool {
    !text.contains('%') || decoded(text).is_some()
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, ApiError> {
    if query.len() > MAX_QUERY {
        return Err(ApiError::invalid("query", format!("is longer than {MAX_QUERY} bytes")));
    }
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decoded(name), decoded(value)) {
                (Some(name), Some(value)) => Ok((name.into_owned(), value.into_owned())),
                (name, _) => Err(ApiError::invalid(
                    name.map_or_else(|| "query".into(), |name| name.chars().take(50).collect::<String>()),
                    "is not encoded as UTF-8 in percent notation",
                )),
            }
        })
        .collect()
}

/// Decodes percent-encoding strictly; `+` is a space.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let digit = |byte: Option<u8>| {
        char::from(byte?)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => digit(rest.next())? << 4 | digit(rest.next())?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(query: &str) -> Ask {
        Ask {
            pairs: pairs(query).unwrap(),
            gzip: false,
            if_none_match: None,
        }
    }

    #[test]
    fn lists_are_comma_separated_or_repeated_or_both() {
        for query in [
            "g=action,rpg",
            "g=action&g=rpg",
            "g=%20rpg%20,action",
            "g=rpg,,action&g=",
            "x=1&g=rpg%2Caction",
        ] {
            let values = ask(query).list("g").unwrap();
            assert!(
                values.contains(&"action".to_owned()) && values.contains(&"rpg".to_owned()),
                "{query}: {values:?}"
            );
            assert!(values.iter().all(|value| !value.trim().is_empty()));
        }
        assert_eq!(ask("g=").list("g").unwrap(), Vec::<String>::new());
        assert_eq!(ask("").list("g").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn numbers_are_absent_or_whole() {
        assert_eq!(ask("").number("n", 20, 1, 100).unwrap(), 20);
        assert_eq!(ask("n=7").number("n", 20, 1, 100).unwrap(), 7);
        for query in ["n=", "n=0", "n=101", "n=+5", "n=x", "n=1&n=2"] {
            assert!(ask(query).number("n", 20, 1, 100).is_err(), "{query}");
        }
    }

    #[test]
    fn list_values_may_contain_a_comma() {
        let values = ask("p=Kalypso, Inc.,Valve").list("p").unwrap();
        assert!(values.contains(&"Kalypso, Inc.".to_owned()) && values.contains(&"Valve".to_owned()));
    }

    #[test]
    fn percent_encoding_is_decoded_strictly() {
        assert_eq!(decoded("a%20b+c").unwrap(), "a b c");
        assert_eq!(decoded("%E6%9D%B1").unwrap(), "東");
        for broken in ["%", "%2", "%zz", "%+1", "%ff", "%c3%28"] {
            assert!(decoded(broken).is_none(), "{broken}");
        }
    }
}
