//! What staff enter of a category, genre, platform or tag.

use serde::Serialize;
use uuid::Uuid;

use super::checks::{Checks, MAX_NAME};
use crate::account::FieldError;
use crate::slug::slug_of_name;

/// Maximum length of a description, in characters.
const MAX_DESCRIPTION: usize = 2_000;

/// A checked form. What is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermForm {
    /// Name, 1–100 characters.
    pub name: String,
    /// Another slug than the usual one.
    pub slug: Option<String>,
    /// Plain text of at most 2,000 characters; empty for none.
    pub description: Option<String>,
}

impl TermForm {
    /// Checks what was entered.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn new(name: &str, slug: Option<&str>, description: Option<&str>) -> Result<Self, Vec<FieldError>> {
        let mut checks = Checks::default();
        let form = Self {
            name: checks.line("name", name, MAX_NAME),
            slug: slug
                .filter(|slug| !slug.trim().is_empty())
                .map(|slug| checks.slug("slug", slug)),
            description: description.map(|text| checks.lines("description", text, MAX_DESCRIPTION)),
        };
        checks.finish(form)
    }

    /// The slug of a new entry: the one that was entered, or one made from the name.
    pub fn slug_of_new(&self) -> String {
        self.slug.clone().unwrap_or_else(|| slug_of_name(&self.name))
    }
}

/// A saved category, genre, platform or tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TermSaved {
    /// Identifier.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// URL slug.
    pub slug: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_slugs_and_each_invalid_field_is_named() {
        let form = TermForm::new(" Role Play ", None, Some("")).unwrap();
        assert_eq!(
            (form.name.as_str(), form.slug_of_new().as_str()),
            ("Role Play", "role-play")
        );
        let paths = |form: Result<TermForm, Vec<FieldError>>| {
            form.unwrap_err()
                .into_iter()
                .map(|fault| (fault.path, fault.code))
                .collect::<Vec<_>>()
        };
        assert_eq!(paths(TermForm::new("", None, None)), [("name", "required")]);
        assert_eq!(
            paths(TermForm::new(&"x".repeat(101), Some("A b"), Some("\0"))),
            [("name", "too_long"), ("description", "control_characters")]
        );
        assert!(TermForm::new("東京", Some("tokyo"), None).is_ok());
        assert!(TermForm::new("東京", None, None).is_ok_and(|form| form.slug_of_new().starts_with("n-")));
    }
}
