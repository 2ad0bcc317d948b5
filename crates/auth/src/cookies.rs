//! The cookies that the API and the pages share: a guest of one is the same guest in the other.

use http::header::{self, HeaderMap, HeaderValue};
use uuid::Uuid;

/// Name of the guest session cookie, as in the HTTP contract (`docs/http-api.md`).
pub const GUEST: &str = "sessionId";

/// Lifetime of the cookie in seconds: that of an inactive guest.
const GUEST_SECONDS: u32 = 86_400;

/// Returns the values of the cookies of this name, in order.
pub fn values<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(move |(known, _)| *known == name)
        .map(|(_, value)| value)
}

/// Returns the guest session of the cookie: the first value that is a UUID in canonical form. The database decides
/// whether this guest exists.
pub fn guest(headers: &HeaderMap) -> Option<Uuid> {
    values(headers, GUEST)
        .filter(|text| text.len() == 36)
        .find_map(|text| text.parse().ok())
}

/// Builds the cookie that makes a browser the guest `session`.
pub fn set_guest(session: Uuid, production: bool) -> HeaderValue {
    set(GUEST, &session.to_string(), GUEST_SECONDS, production)
}

/// Builds the cookie that deletes the cookie of this name.
pub fn clear(name: &str, production: bool) -> HeaderValue {
    set(name, "", 0, production)
}

/// Builds a cookie for all pages with a lifetime in seconds. It is not accessible to scripts and not sent by forms of
/// other sites; in production it requires HTTPS.
pub fn set(name: &str, value: &str, seconds: u32, production: bool) -> HeaderValue {
    set_below("/", name, value, seconds, production)
}

/// Builds the same cookie for the pages below `path`.
pub fn set_below(path: &str, name: &str, value: &str, seconds: u32, production: bool) -> HeaderValue {
    let secure = if production { "; Secure" } else { "" };
    let text = format!("{name}={value}; HttpOnly; SameSite=Lax; Path={path}; Max-Age={seconds}{secure}");
    // Tokens and identifiers consist of letters, digits, dots, dashes and underscores.
    let mut cookie = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    cookie.set_sensitive(true);
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0192f0c1-0000-4000-8000-000000000001";

    #[test]
    fn a_guest_cookie_must_be_a_canonical_uuid() {
        for (text, found) in [
            (format!("sessionId={ID}"), true),
            (format!("a=b; sessionId={ID}; c=d"), true),
            (format!("sessionId=; sessionId={ID}"), true),
            (format!("sessionid={ID}"), false),
            (format!("xsessionId={ID}"), false),
            (format!("sessionId={}", ID.replace('-', "")), false),
            ("sessionId=' or 1=1".to_owned(), false),
            (String::new(), false),
        ] {
            let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&text).unwrap())]);
            assert_eq!(guest(&headers).is_some(), found, "{text}");
        }
    }

    #[test]
    fn cookies_are_read_from_several_headers() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; b=2"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=3;a=4=5"));
        assert_eq!(values(&headers, "a").collect::<Vec<_>>(), ["1", "4=5"]);
    }

    #[test]
    fn the_guest_cookie_has_the_documented_form() {
        let id: Uuid = ID.parse().unwrap();
        assert_eq!(
            set_guest(id, false),
            format!("sessionId={ID}; HttpOnly; SameSite=Lax; Path=/; Max-Age=86400")
        );
        assert_eq!(
            set_guest(id, true),
            format!("sessionId={ID}; HttpOnly; SameSite=Lax; Path=/; Max-Age=86400; Secure")
        );
        assert_eq!(
            clear(GUEST, false),
            "sessionId=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0"
        );
    }

    #[test]
    fn cookies_are_secure_in_production_and_hidden_from_logs() {
        let token = set("access", "a.b-c_d", 60, true);
        assert_eq!(
            token,
            "access=a.b-c_d; HttpOnly; SameSite=Lax; Path=/; Max-Age=60; Secure"
        );
        assert_eq!(format!("{token:?}"), "Sensitive");
    }
}
