//! Which origins may read responses (CORS) and send state-changing requests (CSRF protection): the same ones. Browsers
//! state the origin of a request; clients that are not browsers send none and are allowed.
//!
//! The rules follow the existing front-end, with three differences. Localhost is allowed only outside production: a
//! page that some program serves on a principal's own machine is not the shop. Hosts of a hosting company are not allowed
//! as such (an operator can list `https://*.vercel.app`). And a refused origin gets no CORS headers instead of an
//! internal error.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Uri};

use crate::Settings;

/// The allowed origins.
#[derive(Debug)]
pub(crate) struct Cors {
    exact: Vec<String>,
    /// Scheme with `://`, and the suffix of the host with its leading dot.
    below: Vec<(String, String)>,
    local: bool,
}

impl Cors {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut exact = Vec::new();
        let mut below = Vec::new();
        for origin in &settings.cors_origins {
            let origin = origin.trim().trim_end_matches('/').to_ascii_lowercase();
            match origin.split_once("://*") {
                Some((scheme, host)) => below.push((format!("{scheme}://"), host.to_owned())),
                None => exact.push(origin),
            }
        }
        Self {
            exact,
            below,
            local: !settings.production,
        }
    }

    /// Whether pages of `origin` may read responses.
    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let origin = origin.to_ascii_lowercase();
        self.exact.contains(&origin)
            || self.below.iter().any(|(scheme, host)| {
                origin
                    .strip_prefix(scheme)
                    .and_then(|rest| rest.strip_suffix(host))
                    .is_some_and(|name| !name.is_empty() && !name.contains(['/', '@', ':']))
            })
            || (self.local && is_local(&origin))
    }

    /// Whether the request is a CORS preflight.
    pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        method == Method::OPTIONS
            && headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Whether a state-changing request comes from our own pages, from an allowed origin, or from no page at all.
    pub(crate) fn may_change(&self, method: &Method, headers: &HeaderMap) -> bool {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return true;
        }
        let origin = headers.get(header::ORIGIN);
        match headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
            // Not sent by a page of another site: by our own, or by a person who typed the address.
            Some(b"same-origin" | b"none") => true,
            Some(_) => origin.is_some_and(|origin| self.allows(origin)),
            None => origin.is_none_or(|origin| is_own(origin, headers) || self.allows(origin)),
        }
    }

    /// Answers a preflight; `None` refuses it.
    pub(crate) fn preflight<B: Default>(&self, origin: &HeaderValue) -> Option<Response<B>> {
        if !self.allows(origin) {
            return None;
        }
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::OK;
        let headers = response.headers_mut();
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET,POST,PUT,DELETE,PATCH,OPTIONS"),
        );
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("Content-Type,Authorization,X-Requested-With,Idempotency-Key,X-Request-Id"),
        );
        // One day; browsers cap it. Every call of the front-end is preflighted.
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        Some(response)
    }

    /// Adds the CORS headers if the origin is allowed.
    pub(crate) fn permit(&self, origin: HeaderValue, headers: &mut HeaderMap) {
        if self.allows(&origin) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
            headers.insert(
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("Content-Range,X-Content-Range,X-Request-Id,Retry-After"),
            );
        }
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether the page has the host of the request. Only the proxy in front knows the scheme of the request.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some((_, page)), Some(host)) if page.eq_ignore_ascii_case(host))
}

/// Whether the page is served by this machine, on any port.
fn is_local(origin: &str) -> bool {
    origin.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && matches!(uri.host(), Some("localhost" | "127.0.0.1"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(production: bool, listed: &[&str], origin: &str) -> bool {
        let settings = Settings {
            production,
            cors_origins: listed.iter().map(|&origin| origin.to_owned()).collect(),
            ..Settings::default()
        };
        Cors::new(&settings).allows(&HeaderValue::from_str(origin).unwrap())
    }

    #[test]
    fn production_allows_only_listed_origins() {
        let listed = ["https://shop.example.com/", "https://*.vercel.app"];
        for (origin, expected) in [
            ("https://shop.example.com", true),
            ("https://SHOP.example.com", true),
            ("http://shop.example.com", false),
            ("https://shop.example.com.evil.example", false),
            ("https://preview-1.vercel.app", true),
            ("https://vercel.app", false),
            ("https://evilvercel.app", false),
            ("https://evil.example/.vercel.app", false),
            ("http://localhost:5173", false),
            ("null", false),
        ] {
            assert_eq!(allows(true, &listed, origin), expected, "{origin}");
        }
    }

    #[test]
    fn state_changes_require_own_or_allowed_origins() {
        let settings = Settings {
            production: true,
            cors_origins: vec!["https://partner.example".into()],
            ..Settings::default()
        };
        let cors = Cors::new(&settings);
        let may = |method: Method, pairs: &[(&'static str, &'static str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .chain([(header::HOST, HeaderValue::from_static("shop.example"))])
                .collect();
            cors.may_change(&method, &headers)
        };
        for (pairs, expected) in [
            (&[][..], true),
            (
                &[("sec-fetch-site", "same-origin"), ("origin", "https://shop.example")],
                true,
            ),
            (&[("sec-fetch-site", "none")], true),
            (
                &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
                false,
            ),
            (
                &[("sec-fetch-site", "same-site"), ("origin", "https://blog.shop.example")],
                false,
            ),
            (&[("sec-fetch-site", "cross-site")], false),
            (
                &[("sec-fetch-site", "cross-site"), ("origin", "https://partner.example")],
                true,
            ),
            (&[("origin", "https://shop.example")], true),
            (&[("origin", "https://SHOP.example")], true),
            (&[("origin", "https://shop.example.evil.example")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "https://partner.example")], true),
            (&[("origin", "null")], false),
            (&[("origin", "")], false),
        ] {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert_eq!(may(method, pairs), expected, "{pairs:?}");
            }
            assert!(may(Method::GET, pairs) && may(Method::HEAD, pairs));
        }
    }

    #[test]
    fn development_additionally_allows_only_localhost() {
        for (origin, expected) in [
            ("http://localhost:5173", true),
            ("http://127.0.0.1:3000", true),
            ("https://localhost", true),
            ("http://localhost.evil.example", false),
            ("http://evil.example/localhost", false),
            ("http://127.0.0.1.evil.example", false),
        ] {
            assert_eq!(allows(false, &[], origin), expected, "{origin}");
        }
    }
}
