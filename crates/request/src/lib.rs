//! What the API and the pages both read from a request, defined once so that they agree: who the client is, which
//! encodings it accepts, and which version of an answer it has.

mod client;
mod impersonation;

pub use client::{client_info, note_country};
pub use impersonation::may_impersonate;

use http::header::{self, HeaderMap, HeaderValue};

/// Whether a client accepts gzip. A quality of zero refuses it.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|choice| {
        let mut parts = choice.split(';').map(str::trim);
        let is_gzip = matches!(parts.next(), Some("gzip" | "x-gzip" | "*"));
        let is_refused = |parameter: &str| {
            let weight = parameter.strip_prefix("q=").map(str::trim);
            weight.is_some_and(|weight| weight.chars().all(|c| matches!(c, '0' | '.')))
        };
        is_gzip && !parts.any(is_refused)
    })
}

/// Whether an `If-None-Match` contains the ETag, weak or strong.
pub fn has_version(if_none_match: &HeaderValue, etag: &[u8]) -> bool {
    fn opaque(etag: &[u8]) -> &[u8] {
        etag.strip_prefix(b"W/").unwrap_or(etag)
    }
    if_none_match
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|one| one == b"*" || opaque(one) == opaque(etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_accepted_unless_refused() {
        for (accepted, expected) in [
            ("gzip", true),
            ("gzip, br", true),
            ("br, gzip;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("br", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            assert_eq!(takes_gzip(&headers), expected, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn versions_match_weakly_in_a_list() {
        for (held, expected) in [
            ("W/\"a\"", true),
            ("\"a\"", true),
            ("\"b\", W/\"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            let held = HeaderValue::from_static(held);
            assert_eq!(has_version(&held, b"W/\"a\""), expected, "{held:?}");
        }
    }
}
