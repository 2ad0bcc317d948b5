//! Checks of what staff type into forms.

use crate::account::FieldError;
use crate::slug::{is_slug, slugify};

/// Maximum length of a name, in characters.
pub(super) const MAX_NAME: usize = 100;

/// Collects the errors of a form.
#[derive(Debug, Default)]
pub(super) struct Checks(pub(super) Vec<FieldError>);

impl Checks {
    pub(super) fn fault(&mut self, path: &'static str, code: &'static str, msg: &'static str) {
        self.0.push(FieldError { path, code, msg });
    }

    /// One line of text, trimmed: 1 to `most` characters and no control characters.
    pub(super) fn line(&mut self, path: &'static str, text: &str, most: usize) -> String {
        let text = text.trim();
        if text.is_empty() {
            self.fault(path, "required", "This field is required");
        }
        self.line_or_nothing(path, text, most)
    }

    /// One line of text, trimmed, or nothing.
    pub(super) fn line_or_nothing(&mut self, path: &'static str, text: &str, most: usize) -> String {
        let text = text.trim();
        if text.chars().any(char::is_control) {
            self.fault(
                path,
                "control_characters",
                "This field must not hold control characters",
            );
        }
        self.bounded(path, text, most);
        text.to_owned()
    }

    /// Several lines of text, trimmed, or nothing.
    pub(super) fn lines(&mut self, path: &'static str, text: &str, most: usize) -> String {
        let text = text.trim();
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            self.fault(
                path,
                "control_characters",
                "This field must not hold control characters",
            );
        }
        self.bounded(path, text, most);
        text.to_owned()
    }

    fn bounded(&mut self, path: &'static str, text: &str, most: usize) {
        if text.chars().nth(most).is_some() {
            self.fault(path, "too_long", "This field is too long");
        }
    }

    /// A slug as [`slugify`] makes it.
    pub(super) fn slug(&mut self, path: &'static str, text: &str) -> String {
        let text = text.trim();
        if !is_slug(text) || slugify(text) != text {
            self.fault(
                path,
                "slug_invalid",
                "This field must be lower-case letters, digits and single hyphens, such as half-life-2",
            );
        }
        text.to_owned()
    }

    /// The address of a picture: absolute, or a path of this shop.
    pub(super) fn picture(&mut self, path: &'static str, text: &str) -> String {
        let text = text.trim();
        let is_address = ["https://", "http://"]
            .iter()
            .any(|scheme| text.len() > scheme.len() && text.starts_with(scheme))
            || (text.starts_with('/') && !text.starts_with("//"));
        if !is_address
            || text.len() > 2_000
            || text
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>' | '\\'))
        {
            self.fault(
                path,
                "address_invalid",
                "This field must be an address, such as https://example.com/cover.png",
            );
        }
        text.to_owned()
    }

    /// The result, or all errors.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Vec<FieldError>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}
