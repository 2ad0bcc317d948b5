//! Cookies as both faces of the store read and write them: whoever is a guest in one is the same guest in the other.

use http::header::{self, HeaderMap, HeaderValue};
use uuid::Uuid;

/// Carries a guest's session; the contract's name.
pub const GUEST: &str = "sessionId";

/// As long as a guest lives after the last use.
const GUEST_SECONDS: u32 = 86_400;

/// The values of the cookies of this name, in the order they came.
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

/// What the guest's cookie says, if it can be a session at all: the first that is a UUID in its usual form. Whether
/// there is such a guest the database knows.
pub fn guest(headers: &HeaderMap) -> Option<Uuid> {
    values(headers, GUEST)
        .filter(|text| text.len() == 36)
        .find_map(|text| text.parse().ok())
}

/// Makes a browser the guest `session`.
pub fn set_guest(session: Uuid, production: bool) -> HeaderValue {
    set(GUEST, &session.to_string(), GUEST_SECONDS, production)
}

/// Makes a browser forget the cookie of this name.
pub fn clear(name: &str, production: bool) -> HeaderValue {
    set(name, "", 0, production)
}

/// A cookie for all pages, for so many seconds, that scripts cannot read and forms of other sites do not send; in
/// production it stays on HTTPS.
pub fn set(name: &str, value: &str, seconds: u32, production: bool) -> HeaderValue {
    set_below("/", name, value, seconds, production)
}

/// The same for the pages below `path` only.
pub fn set_below(path: &str, name: &str, value: &str, seconds: u32, production: bool) -> HeaderValue {
    let secure = if production { "; Secure" } else { "" };
    let text = format!("{name}={value}; HttpOnly; SameSite=Lax; Path={path}; Max-Age={seconds}{secure}");
    // Tokens and identifiers are letters, digits, dots, dashes and underscores.
    let mut cookie = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    cookie.set_sensitive(true);
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0192f0c1-0000-4000-8000-000000000001";

    #[test]
    fn a_cookie_is_a_session_only_if_it_can_be_one() {
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
    fn cookies_may_come_in_several_headers() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; b=2"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=3;a=4=5"));
        assert_eq!(values(&headers, "a").collect::<Vec<_>>(), ["1", "4=5"]);
    }

    #[test]
    fn a_guests_cookie_is_the_contracts() {
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
    fn production_keeps_cookies_on_https_and_logs_never_show_them() {
        let token = set("access", "a.b-c_d", 60, true);
        assert_eq!(
            token,
            "access=a.b-c_d; HttpOnly; SameSite=Lax; Path=/; Max-Age=60; Secure"
        );
        assert_eq!(format!("{token:?}"), "Sensitive");
    }
}
