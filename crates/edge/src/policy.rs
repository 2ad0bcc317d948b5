//! The security headers, all of them: those of every answer, and those in which API and pages differ.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Which security headers an answer gets. A handler's own header of the same name stays: a cover or the API's
/// description needs another Content-Security-Policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Answers for programs, which pages of other sites may embed and nothing may run.
    Api,
    /// Pages: scripts, styles and pictures come from this site only, and none is inline.
    Pages,
}

const API: [(HeaderName, HeaderValue); 4] = [
    NO_SNIFFING,
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    ),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

const PAGES: [(HeaderName, HeaderValue); 5] = [
    NO_SNIFFING,
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("strict-origin-when-cross-origin"),
    ),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
             connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), microphone=(), geolocation=(), browsing-topics=()"),
    ),
];

const NO_SNIFFING: (HeaderName, HeaderValue) = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

/// A browser that came over HTTPS once stays on HTTPS for a year.
const STAY_SECURE: HeaderValue = HeaderValue::from_static("max-age=31536000");

impl Policy {
    /// Adds the headers; over HTTPS, which production demands, also the one that keeps browsers there.
    pub(crate) fn add(self, headers: &mut HeaderMap, production: bool) {
        // All of this layer's, those of CORS, and a handler's own: growing once costs less than growing twice.
        headers.reserve(12);
        let mut add = |(name, value): (HeaderName, HeaderValue)| {
            headers.entry(name).or_insert(value);
        };
        match self {
            Self::Api => API.into_iter().for_each(&mut add),
            Self::Pages => PAGES.into_iter().for_each(&mut add),
        }
        if production {
            add((header::STRICT_TRANSPORT_SECURITY, STAY_SECURE));
        }
    }
}
