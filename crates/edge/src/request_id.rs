//! The id of a request, in its answer and in every line of the log about it.

use std::fmt;
use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header of a request id, in both directions.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum length of a caller's id.
const MOST: usize = 64;

/// The id of a request: 1 to 64 ASCII letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's id if it is harmless wherever it is shown, else a new one: a random number of the process and a
    /// counter.
    pub fn of(headers: &HeaderMap) -> Self {
        let is_harmless = |id: &&HeaderValue| {
            (1..=MOST).contains(&id.len())
                && id
                    .as_bytes()
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        match headers.get(HEADER).filter(is_harmless) {
            Some(id) => Self(id.clone()),
            None => Self::new(),
        }
    }

    fn new() -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        #[expect(
            clippy::disallowed_methods,
            reason = "distinguishes processes in logs; nothing depends on its value"
        )]
        let process = PROCESS.get_or_init(rand::random);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; 33];
        let mut rest = text.as_mut_slice();
        // 16 digits, a dash and at most 16 digits fit.
        let written = write!(rest, "{process:016x}-{count:x}").map(|()| rest.len());
        let length = text.len() - written.unwrap_or(text.len());
        let id = text
            .get(..length)
            .and_then(|id| HeaderValue::from_bytes(id).ok())
            .filter(|id| !id.is_empty());
        Self(id.unwrap_or(HeaderValue::from_static("unknown")))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("unknown")
    }

    pub(crate) fn into_header(self) -> HeaderValue {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_ids_are_kept_and_others_replaced() {
        for (given, is_kept) in [
            ("abc-DEF_1.2", true),
            (&*"x".repeat(64), true),
            (&*"x".repeat(65), false),
            ("", false),
            ("a b", false),
            ("a\tb", false),
            ("<script>", false),
            ("\u{e4}", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(given.as_bytes()).unwrap());
            let id = RequestId::of(&headers);
            assert_eq!(id.as_str() == given, is_kept, "{given:?}");
            assert!((1..=MOST).contains(&id.as_str().len()), "{given:?}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
