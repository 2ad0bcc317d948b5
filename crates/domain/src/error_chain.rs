//! An error with all its causes, in one line.

use std::error::Error;

/// Formats an error and its sources: `the run broke off: PostgreSQL does not answer: connection refused`.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::num::ParseIntError);

    #[test]
    fn causes_follow_the_error() {
        let inner = "x".parse::<u8>().unwrap_err();
        assert_eq!(error_chain(&Outer(inner.clone())), format!("outer: {inner}"));
        assert_eq!(error_chain(&inner), inner.to_string());
    }
}
