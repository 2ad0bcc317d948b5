//! Text that must not appear in logs. It is defined here because both credentials and game keys pass through this
//! crate.

use std::fmt;

/// A credential or a game key, which `Debug` output does not contain.
///
/// It has no `Display` on purpose; [`expose`](Self::expose) is the only access to the text and easy to find in a
/// review.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Never pass it to a log or an error.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_text() {
        let secret = SecretText::new("ABCDE-12345");
        assert!(!format!("{secret:?}").contains("ABCDE"));
        assert_eq!(secret.expose(), "ABCDE-12345");
    }
}
