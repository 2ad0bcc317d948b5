//! What the shop writes itself: articles of its blog, and questions with their answers.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::catalogue::iso_millis;
use crate::purchase::iso_millis_or_none;
use crate::slug::slug_of_name;

/// An article of the blog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Article {
    /// Identifier.
    pub id: Uuid,
    /// URL slug, unique.
    pub slug: String,
    /// Title.
    pub title: String,
    /// Summary, plain text; may be empty.
    pub excerpt: String,
    /// Sanitised HTML.
    pub content: String,
    /// Address of the cover, or empty.
    pub cover_image: String,
    /// Category.
    pub category: String,
    /// Nickname of who wrote it; empty if their account is gone.
    pub author: String,
    /// Whether everybody can read it.
    pub published: bool,
    /// When it was first published.
    #[serde(with = "iso_millis_or_none", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub published_at: Option<DateTime<Utc>>,
    /// Reading time in minutes.
    pub read_time: u32,
    /// Tags.
    pub tags: Vec<String>,
    /// When it was written.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: DateTime<Utc>,
}

/// A question with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Faq {
    /// Identifier.
    pub id: Uuid,
    /// Category.
    pub category: String,
    /// Question, plain text.
    pub question: String,
    /// Answer, sanitised HTML.
    pub answer: String,
    /// Position within the category; lower ones come first.
    pub order: i32,
    /// Whether the shop shows it.
    pub active: bool,
    /// When it was written.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A category with the number of its entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CategoryCount {
    /// Name.
    pub name: String,
    /// The name as a slug.
    pub slug: String,
    /// Number of entries.
    pub count: u64,
}

impl CategoryCount {
    /// A category of `count` entries.
    pub fn new(name: String, count: u64) -> Self {
        let slug = slug_of_name(&name);
        Self { name, slug, count }
    }

    /// Whether `asked` means this category: its name, in any case, or its slug.
    pub fn is(&self, asked: &str) -> bool {
        self.name.to_lowercase() == asked.to_lowercase() || self.slug == asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_found_by_name_and_slug() {
        let category = CategoryCount::new("Game News".into(), 3);
        assert!(category.is("game news") && category.is("game-news"));
        assert!(!category.is("game") && !CategoryCount::new("東京".into(), 1).is(""));
    }
}
