//! `traceparent` (<https://www.w3.org/TR/trace-context/>).

use std::fmt;
use std::str::FromStr;

use http::HeaderName;

/// The header that carries a [`TraceParent`].
pub const HEADER: HeaderName = HeaderName::from_static("traceparent");

/// Length of version 00.
const LENGTH: usize = 55;

/// A span of some process, named for the processes that continue its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// Never 0.
    trace: u128,
    /// Never 0.
    span: u64,
    flags: u8,
}

/// The text is not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent")]
pub struct NotATraceParent;

impl TraceParent {
    /// `None` if one of the ids is 0, which the format reserves.
    pub const fn new(trace: u128, span: u64, flags: u8) -> Option<Self> {
        if trace == 0 || span == 0 {
            return None;
        }
        Some(Self { trace, span, flags })
    }

    /// Id of the trace.
    pub const fn trace(self) -> u128 {
        self.trace
    }

    /// Id of the span.
    pub const fn span(self) -> u64 {
        self.span
    }

    /// The flags; bit 0 says that the trace is recorded.
    pub const fn flags(self) -> u8 {
        self.flags
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl FromStr for TraceParent {
    type Err = NotATraceParent;

    /// Of a later version the parts of version 00 are read, as that version demands.
    fn from_str(text: &str) -> Result<Self, NotATraceParent> {
        let known = text.get(..LENGTH).ok_or(NotATraceParent)?;
        let mut parts = known.split('-');
        let mut next = |length: usize| {
            parts
                .next()
                .filter(|part| part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
                .ok_or(NotATraceParent)
        };
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let rest = text.get(LENGTH..).unwrap_or_default();
        match version {
            "ff" => return Err(NotATraceParent),
            "00" if !rest.is_empty() => return Err(NotATraceParent),
            _ if !rest.is_empty() && !rest.starts_with('-') => return Err(NotATraceParent),
            _ => {}
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| NotATraceParent)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| NotATraceParent)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NotATraceParent)?;
        Self::new(trace, span, flags).ok_or(NotATraceParent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of the standard.
    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn only_what_the_standard_allows_is_read() {
        for (text, is_read) in [
            (EXAMPLE.to_owned(), true),
            (EXAMPLE.replace("00-", "01-"), true),
            (format!("{}-more", EXAMPLE.replace("00-", "cc-")), true),
            (format!("{EXAMPLE}-more"), false),
            (format!("{}more", EXAMPLE.replace("00-", "cc-")), false),
            (EXAMPLE.replace("00-", "ff-"), false),
            (EXAMPLE.to_uppercase(), false),
            (
                EXAMPLE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
                false,
            ),
            (EXAMPLE.replace("b7ad6b7169203331", &"0".repeat(16)), false),
            (EXAMPLE.replace("-01", "-0g"), false),
            (EXAMPLE.replace('-', "_"), false),
            (EXAMPLE[1..].to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(text.parse::<TraceParent>().is_ok(), is_read, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in 1_u128.., span in 1_u64.., flags: u8) {
            let written = TraceParent::new(trace, span, flags).unwrap();
            prop_assert_eq!(written.to_string().parse(), Ok(written));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            prop_assert!(text.parse::<TraceParent>().is_err() || text.len() >= LENGTH);
        }
    }
}
