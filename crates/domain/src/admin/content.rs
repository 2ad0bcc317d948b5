//! Articles and questions as staff see and enter them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::Paging;
use super::checks::{Checks, MAX_NAME};
use crate::account::FieldError;
use crate::catalogue::iso_millis;
use crate::content::Faq;
use crate::html;
use crate::slug::slug_of_name;

/// Maximum length of titles and questions, in characters.
const MAX_TITLE: usize = 300;
/// Maximum length of an excerpt, in characters.
const MAX_EXCERPT: usize = 1_000;
/// Maximum length of a text, in bytes.
const MAX_TEXT: usize = 90_000;
/// Maximum number of tags of an article.
const MAX_TAGS: usize = 30;
/// Why a text is refused whose cleaning would take long.
pub(super) const TOO_COMPLEX: &str = "This field has too many tags or entities, or too many inside each other";
/// Words that a reader reads in a minute.
const WORDS_A_MINUTE: usize = 200;

/// A page of articles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PostList {
    /// The articles, newest first.
    pub posts: Vec<PostRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// An article in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PostRow {
    /// Identifier.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// URL slug.
    pub slug: String,
    /// Summary, plain text; may be empty.
    pub excerpt: String,
    /// Category.
    pub category: String,
    /// Whether everybody can read it.
    pub published: bool,
    /// Nickname of who wrote it; empty if their account is gone.
    pub author: String,
    /// When it was written.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// An article that staff have made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PostCreated {
    /// Identifier.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// URL slug.
    pub slug: String,
    /// When it was written.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// An article that staff have changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PostUpdated {
    /// Identifier.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// URL slug.
    pub slug: String,
    /// Time of the last change.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: DateTime<Utc>,
}

/// A page of questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FaqList {
    /// The questions, by category and position.
    pub faqs: Vec<Faq>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// What was entered of an article, and after [`ArticleForm::checked`] what is stored. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArticleForm {
    /// Title, 1–300 characters.
    pub title: Option<String>,
    /// URL slug; of a new article by default made from the title.
    pub slug: Option<String>,
    /// HTML or plain text; cleaned by the check.
    pub content: Option<String>,
    /// Summary, plain text.
    pub excerpt: Option<String>,
    /// Address of the cover; empty for none.
    pub image: Option<String>,
    /// Category, 1–100 characters.
    pub category: Option<String>,
    /// All tags.
    pub tags: Option<Vec<String>>,
    /// Whether everybody can read it.
    pub published: Option<bool>,
}

impl ArticleForm {
    /// Checks and cleans what was entered. A new article needs a title, a category and a content.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn checked(self, is_new: bool) -> Result<Self, Vec<FieldError>> {
        let mut checks = Checks::default();
        if is_new {
            checks.needed("title", self.title.is_some());
            checks.needed("content", self.content.is_some());
            checks.needed("category", self.category.is_some());
        }
        let mut form = Self {
            title: self.title.map(|text| checks.line("title", &text, MAX_TITLE)),
            slug: self
                .slug
                .filter(|slug| !slug.trim().is_empty())
                .map(|text| checks.slug("slug", &text)),
            content: self.content.map(|html| checks.html("content", &html, html::article)),
            excerpt: self.excerpt.map(|text| checks.lines("excerpt", &text, MAX_EXCERPT)),
            image: self.image.map(|text| {
                if text.trim().is_empty() {
                    String::new()
                } else {
                    checks.picture("imageUrl", &text)
                }
            }),
            category: self.category.map(|text| checks.line("category", &text, MAX_NAME)),
            tags: self.tags.map(|tags| checks.tags(&tags)),
            published: self.published,
        };
        if checks.0.is_empty() && is_new && form.slug.is_none() {
            form.slug = form.title.as_deref().map(slug_of_name);
        }
        checks.finish(form)
    }

    /// Reading time of the content in minutes, at least 1.
    pub fn read_minutes(&self) -> Option<i32> {
        let words = self.content.as_deref()?.split_whitespace().count();
        Some(i32::try_from(words.div_ceil(WORDS_A_MINUTE).max(1)).unwrap_or(i32::MAX))
    }
}

/// What was entered of a question, and after [`FaqForm::checked`] what is stored. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaqForm {
    /// Category, 1–100 characters.
    pub category: Option<String>,
    /// Question, plain text of 1–300 characters.
    pub question: Option<String>,
    /// HTML or plain text; cleaned by the check.
    pub answer: Option<String>,
    /// Position within the category, 0–1,000,000.
    pub order: Option<i64>,
    /// Whether the shop shows it.
    pub active: Option<bool>,
}

impl FaqForm {
    /// Checks and cleans what was entered. A new question needs a category and an answer.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn checked(self, is_new: bool) -> Result<Self, Vec<FieldError>> {
        let mut checks = Checks::default();
        if is_new {
            checks.needed("category", self.category.is_some());
            checks.needed("question", self.question.is_some());
            checks.needed("answer", self.answer.is_some());
        }
        if self.order.is_some_and(|order| !(0..=1_000_000).contains(&order)) {
            checks.fault(
                "order",
                "out_of_range",
                "This field must be a whole number from 0 to 1000000",
            );
        }
        let form = Self {
            category: self.category.map(|text| checks.line("category", &text, MAX_NAME)),
            question: self.question.map(|text| checks.line("question", &text, MAX_TITLE)),
            answer: self.answer.map(|text| checks.html("answer", &text, html::answer)),
            order: self.order,
            active: self.active,
        };
        checks.finish(form)
    }
}

impl Checks {
    fn needed(&mut self, path: &'static str, is_there: bool) {
        if !is_there {
            self.fault(path, "required", "This field is required");
        }
    }

    /// HTML or plain text, cleaned.
    fn html(&mut self, path: &'static str, text: &str, clean: fn(&str) -> String) -> String {
        if text.len() > MAX_TEXT {
            self.fault(path, "too_long", "This field is too long");
        } else if text.contains('\0') {
            self.fault(
                path,
                "control_characters",
                "This field must not hold control characters",
            );
        } else if !html::is_bounded(text) {
            self.fault(path, "too_complex", TOO_COMPLEX);
        } else {
            let html = clean(text);
            if html.is_empty() {
                self.fault(path, "required", "This field is required");
            } else if html.len() > MAX_TEXT || !html::is_bounded(&html) {
                // What is stored can be sent back.
                self.fault(path, "too_complex", TOO_COMPLEX);
            }
            return html;
        }
        String::new()
    }

    /// Tags: each once, in their order.
    fn tags(&mut self, tags: &[String]) -> Vec<String> {
        let mut once: Vec<String> = Vec::new();
        if tags.len() > MAX_TAGS {
            self.fault("tags", "too_many", "This field must have at most 30 tags");
            return once;
        }
        for tag in tags {
            let before = self.0.len();
            let tag = self.line("tags", tag, MAX_NAME);
            if self.0.len() > before {
                break;
            }
            if !once.contains(&tag) {
                once.push(tag);
            }
        }
        once
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths<T: std::fmt::Debug>(checked: Result<T, Vec<FieldError>>) -> Vec<(&'static str, &'static str)> {
        checked
            .unwrap_err()
            .into_iter()
            .map(|fault| (fault.path, fault.code))
            .collect()
    }

    #[test]
    fn articles_are_cleaned_and_get_a_slug_and_a_reading_time() {
        let form = ArticleForm {
            title: Some(" Summer Sale ".into()),
            content: Some(format!("<p onclick=x>{}</p><script>1</script>", "word ".repeat(401))),
            category: Some("News".into()),
            ..ArticleForm::default()
        };
        let form = form.checked(true).unwrap();
        assert_eq!(
            (form.title.as_deref(), form.slug.as_deref()),
            (Some("Summer Sale"), Some("summer-sale"))
        );
        assert!(form.content.as_deref().unwrap().starts_with("<p>word "));
        assert_eq!(form.read_minutes(), Some(3));
    }

    #[test]
    fn each_invalid_field_is_named() {
        assert_eq!(
            paths(ArticleForm::default().checked(true)),
            [("title", "required"), ("content", "required"), ("category", "required")]
        );
        let wrong = ArticleForm {
            title: Some("x".repeat(301)),
            content: Some("<script>1</script>".into()),
            image: Some("javascript:x".into()),
            tags: Some(vec![String::new()]),
            ..ArticleForm::default()
        };
        assert_eq!(
            paths(wrong.checked(false)),
            [
                ("title", "too_long"),
                ("content", "required"),
                ("imageUrl", "address_invalid"),
                ("tags", "required")
            ]
        );
        let wrong = FaqForm {
            order: Some(-1),
            question: Some(String::new()),
            answer: Some("\0".into()),
            ..FaqForm::default()
        };
        assert_eq!(
            paths(wrong.checked(true)),
            [
                ("category", "required"),
                ("order", "out_of_range"),
                ("question", "required"),
                ("answer", "control_characters")
            ]
        );
    }
}
