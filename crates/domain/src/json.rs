//! Repair of JSON that other programs truncate: a title cut inside a character ends in an invalid escape.

use std::borrow::Cow;

/// Replaces an invalid character.
const UNKNOWN: &str = "\\ufffd";

/// `json` with every escape that a text cannot contain (an unpaired surrogate, or NUL, which PostgreSQL rejects)
/// replaced by U+FFFD. Everything else is unchanged, valid JSON or not.
pub fn mended(json: &str) -> Cow<'_, str> {
    if !json.contains("\\u") {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    let mut changed = false;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let (taken, text) = match unit(escape) {
            // Another escape: two characters, or the last character of a truncated text.
            None => {
                let end = escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end);
                (end, &escape[..end])
            }
            Some(0xd800..=0xdbff) => match escape.get(6..).and_then(unit) {
                Some(0xdc00..=0xdfff) => (12, &escape[..12]),
                _ => (6, UNKNOWN),
            },
            Some(0 | 0xdc00..=0xdfff) => (6, UNKNOWN),
            Some(_) => (6, &escape[..6]),
        };
        changed |= text == UNKNOWN;
        out.push_str(text);
        rest = &escape[taken..];
    }
    if !changed {
        return Cow::Borrowed(json);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The code unit of an escape `\uXXXX` at the beginning of `text`.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits
        .bytes()
        .all(|digit| digit.is_ascii_hexdigit())
        .then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_unpaired_surrogates_and_nul_are_replaced() {
        for (json, expected) in [
            (r#"{"a":"cut \ud83d"}"#, r#"{"a":"cut \ufffd"}"#),
            (r#"{"a":"\ude00\ud83d x"}"#, r#"{"a":"\ufffd\ufffd x"}"#),
            (r#"{"a":"\ud83d\ud83d\ude00"}"#, r#"{"a":"\ufffd\ud83d\ude00"}"#),
            (r#"{"a":"\u0000"}"#, r#"{"a":"\ufffd"}"#),
            (
                r#"{"a":"\ud83d\ude00 \u00e4 \" \n"}"#,
                r#"{"a":"\ud83d\ude00 \u00e4 \" \n"}"#,
            ),
            // An escaped backslash does not begin an escape.
            (r#"{"a":"\\u0000 \\ud83d"}"#, r#"{"a":"\\u0000 \\ud83d"}"#),
            (r#""\u12"#, r#""\u12"#),
            ("\\", "\\"),
            ("\\é\\u0000", "\\é\\ufffd"),
        ] {
            assert_eq!(mended(json), expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn mending_never_panics_and_is_idempotent(text in r#"([\\u"0-9a-dé]|\\u[dD][89c-e][0-9a-f]{2}){0,30}"#) {
            let once = mended(&text).into_owned();
            prop_assert_eq!(mended(&once), once.as_str());
        }
    }
}
