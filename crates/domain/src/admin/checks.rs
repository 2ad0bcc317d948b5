//! Checks of what staff type into forms.

use crate::account::{FieldError, is_printable};
use crate::slug::{is_slug, slug_of_name};

/// Maximum length of a name, in characters.
pub(super) const MAX_NAME: usize = 100;

/// Maximum length of a text from which a slug is made, in characters.
const MAX_SLUG: usize = 300;

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
        if !is_printable(text) {
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

    /// A slug: of words joined by single hyphens, as it is; any other text as a name, whose slug is made. The existing
    /// console sends titles in lower case, with hyphens for blanks.
    pub(super) fn slug(&mut self, path: &'static str, text: &str) -> String {
        let text = self.line_or_nothing(path, text, MAX_SLUG);
        if is_slug(&text) && !text.split('-').any(str::is_empty) {
            text
        } else {
            slug_of_name(&text)
        }
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
