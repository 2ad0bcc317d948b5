//! The pictures of a game as staff see and arrange them.

use serde::Serialize;
use uuid::Uuid;

use super::checks::Checks;
use crate::account::FieldError;

/// Maximum number of pictures of a game.
pub const MAX_GAME_PICTURES: usize = 20;
/// Maximum length of an alternative text, in characters.
pub const MAX_ALT: usize = 300;

/// A picture of a game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GamePicture {
    /// Identifies it among the pictures of its game.
    pub id: Uuid,
    /// Its address.
    pub url: String,
    /// Alternative text; empty if there is none.
    pub alt: String,
    /// Whether it is the cover; the others are the gallery.
    pub is_cover: bool,
    /// Whether it was uploaded here; otherwise another server has it.
    pub is_uploaded: bool,
    /// Where the catalogue has it: 0 is the cover, 1 the first of the gallery.
    #[serde(skip)]
    pub place: usize,
}

/// The pictures of a game.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GamePictures {
    /// In the order in which the shop shows them, the cover first. A generated cover is not among them.
    pub images: Vec<GamePicture>,
}

/// A picture in a new order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedPicture {
    /// Which one.
    pub id: Uuid,
    /// Its new alternative text, empty for none; `None` where it stays.
    pub alt: Option<String>,
}

/// An alternative text: one line, or nothing.
///
/// # Errors
/// What is wrong with the field `path`.
pub fn alt_text(path: &'static str, text: &str) -> Result<String, Vec<FieldError>> {
    let mut checks = Checks::default();
    let text = checks.line_or_nothing(path, text, MAX_ALT);
    checks.finish(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternative_texts_are_one_line() {
        assert_eq!(alt_text("alt", " A door ").as_deref(), Ok("A door"));
        assert_eq!(alt_text("alt", "  ").as_deref(), Ok(""));
        for (wrong, code) in [("a\nb".to_owned(), "control_characters"), ("x".repeat(301), "too_long")] {
            let errors = alt_text("alt", &wrong).unwrap_err();
            assert_eq!((errors[0].path, errors[0].code), ("alt", code));
        }
    }
}
