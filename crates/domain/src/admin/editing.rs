//! What staff enter of a game, and which of its fields are theirs.

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::checks::{Checks, MAX_NAME};
use super::content::TOO_COMPLEX;
use crate::account::FieldError;
use crate::catalogue::iso_millis;
use crate::html;
use crate::money::Money;
use crate::slug::slug_of_name;

/// Maximum length of a title, in characters.
const MAX_TITLE: usize = 300;
/// Maximum number of entries of one taxonomy.
const MAX_TERMS: usize = 50;

/// A field of a game that G2A supplies and staff may set. What they set, no synchronisation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the fields of the form")]
pub enum GameField {
    Title,
    /// With the short description, which is G2A's first sentence.
    Description,
    Price,
    OriginalPrice,
    Image,
    Publisher,
    Developer,
    ReleaseDate,
    IsPreorder,
    /// Set by staff, it is `false`: the game is held back.
    InStock,
    Categories,
    Genres,
    Platforms,
    Tags,
    /// The pictures beside the cover.
    Images,
}

impl GameField {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Title,
        Self::Description,
        Self::Price,
        Self::OriginalPrice,
        Self::Image,
        Self::Publisher,
        Self::Developer,
        Self::ReleaseDate,
        Self::IsPreorder,
        Self::InStock,
        Self::Categories,
        Self::Genres,
        Self::Platforms,
        Self::Tags,
        Self::Images,
    ];

    /// Its name in `games.fields_by_hand`.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Description => "description",
            Self::Price => "price",
            Self::OriginalPrice => "original_price",
            Self::Image => "image",
            Self::Publisher => "publisher",
            Self::Developer => "developer",
            Self::ReleaseDate => "release_date",
            Self::IsPreorder => "is_preorder",
            Self::InStock => "in_stock",
            Self::Categories => "categories",
            Self::Genres => "genres",
            Self::Platforms => "platforms",
            Self::Tags => "tags",
            Self::Images => "images",
        }
    }

    /// Its name in the JSON API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OriginalPrice => "originalPrice",
            Self::Image => "imageUrl",
            Self::ReleaseDate => "releaseDate",
            Self::IsPreorder => "isPreorder",
            Self::InStock => "inStock",
            _ => self.column(),
        }
    }

    /// The field with this column.
    pub fn of_column(column: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.column() == column)
    }

    /// The field with this name in the JSON API.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// What was entered of a game, before the check. `None` is a field that was not sent.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields of the HTTP contract")]
pub struct GameEntry {
    pub title: Option<String>,
    pub slug: Option<String>,
    pub description: Option<String>,
    pub price: Option<Money>,
    /// Zero removes it.
    pub original_price: Option<Money>,
    pub image: Option<String>,
    pub platform: Option<String>,
    pub platforms: Option<Vec<String>>,
    pub genre: Option<String>,
    pub genres: Option<Vec<String>>,
    pub tags: Option<Vec<String>>,
    pub categories: Option<Vec<String>>,
    pub publisher: Option<String>,
    pub developer: Option<String>,
    pub release_date: Option<String>,
    pub is_preorder: Option<bool>,
    pub in_stock: Option<bool>,
    pub is_hidden: Option<bool>,
    pub locked: Option<Vec<String>>,
}

/// A checked form. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GameForm {
    /// Title.
    pub title: Option<String>,
    /// Slug.
    pub slug: Option<String>,
    /// As entered; [`cleaned`](Self::cleaned) makes it safe.
    pub description: Option<String>,
    /// Price, EUR.
    pub price: Option<Money>,
    /// Price before the reduction, EUR; zero for none.
    pub original_price: Option<Money>,
    /// Cover; empty for the one that the shop generates.
    pub image: Option<String>,
    /// The first platform; empty for none.
    pub platform: Option<String>,
    /// All platforms.
    pub platforms: Option<Vec<String>>,
    /// The first genre; empty for none.
    pub genre: Option<String>,
    /// All genres.
    pub genres: Option<Vec<String>>,
    /// All tags.
    pub tags: Option<Vec<String>>,
    /// All categories.
    pub categories: Option<Vec<String>>,
    /// Publisher; empty for none.
    pub publisher: Option<String>,
    /// Developer; empty for none.
    pub developer: Option<String>,
    /// Release date, UTC.
    pub release_date: Option<NaiveDate>,
    /// Whether it is announced but not yet released.
    pub is_preorder: Option<bool>,
    /// `false` holds a game of G2A's back; `true` gives it back to G2A's stock.
    pub in_stock: Option<bool>,
    /// As `in_stock` the other way round, also of a game that is sold out.
    pub is_hidden: Option<bool>,
    /// The fields that are to be staff's, whether or not they change.
    pub locked: Option<Vec<GameField>>,
}

impl GameForm {
    /// Checks what was entered. A new game needs a title and a price.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn new(entry: GameEntry, is_new: bool) -> Result<Self, Vec<FieldError>> {
        let mut checks = Checks::default();
        if is_new {
            for (path, is_missing) in [("title", entry.title.is_none()), ("price", entry.price.is_none())] {
                if is_missing {
                    checks.fault(path, "required", "This field is required");
                }
            }
        }
        if entry.price.is_some_and(|price| !price.is_positive()) {
            checks.fault("price", "not_positive", "This amount must be positive");
        }
        if entry.original_price.is_some_and(|price| price < Money::ZERO) {
            checks.fault("originalPrice", "not_positive", "This amount must be positive");
        }
        if entry
            .description
            .as_ref()
            .is_some_and(|text| text.len() > html::MAX_BYTES)
        {
            checks.fault("description", "too_long", "This field is too long");
        }
        if entry.description.as_ref().is_some_and(|text| text.contains('\0')) {
            checks.fault(
                "description",
                "control_characters",
                "This field must not hold control characters",
            );
        }
        // Of a game that exists, only a description that differs from the stored one is checked, when it is saved.
        if is_new && !entry.description.as_deref().is_none_or(html::is_bounded) {
            checks.0.push(TOO_COMPLEX_DESCRIPTION);
        }
        let form = Self {
            title: entry.title.map(|text| checks.line("title", &text, MAX_TITLE)),
            slug: entry
                .slug
                .filter(|slug| !slug.trim().is_empty())
                .map(|text| checks.slug("slug", &text)),
            description: entry.description,
            price: entry.price,
            original_price: entry.original_price,
            image: entry.image.map(|text| {
                if text.trim().is_empty() {
                    String::new()
                } else {
                    checks.picture("imageUrl", &text)
                }
            }),
            platform: entry
                .platform
                .map(|name| checks.line_or_nothing("platform", &name, MAX_NAME)),
            platforms: entry.platforms.map(|names| checks.names("platforms", &names)),
            genre: entry.genre.map(|name| checks.line_or_nothing("genre", &name, MAX_NAME)),
            genres: entry.genres.map(|names| checks.names("genres", &names)),
            tags: entry.tags.map(|names| checks.names("tags", &names)),
            categories: entry.categories.map(|names| checks.names("categories", &names)),
            publisher: entry
                .publisher
                .map(|name| checks.line_or_nothing("publisher", &name, MAX_NAME)),
            developer: entry
                .developer
                .map(|name| checks.line_or_nothing("developer", &name, MAX_NAME)),
            release_date: entry.release_date.and_then(|day| checks.day("releaseDate", &day)),
            is_preorder: entry.is_preorder,
            in_stock: entry.in_stock,
            is_hidden: entry.is_hidden,
            locked: entry.locked.map(|names| checks.fields(&names)),
        };
        if let (Some(price), Some(original)) = (form.price, form.original_price)
            && is_new
            && original.is_positive()
            && original <= price
        {
            checks.fault("originalPrice", "not_above_price", ORIGINAL_NOT_ABOVE);
        }
        checks.finish(form)
    }

    /// Sets a field that is not set to this value, if it is one that the field can have; returns whether it is set to it.
    pub fn fill(&mut self, field: GameField, value: &Value) -> bool {
        fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
            let is_free = place.is_none() && value.is_some();
            if is_free {
                *place = value;
            }
            is_free
        }
        let text = || value.as_str().map(str::to_owned);
        let text_or_none = || if value.is_null() { Some(String::new()) } else { text() };
        let names = || {
            let names = value.as_array()?.iter();
            names
                .map(|name| name.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
        };
        match field {
            GameField::Title => set(&mut self.title, text()),
            GameField::Description => set(&mut self.description, text()),
            GameField::Image => set(&mut self.image, text_or_none()),
            GameField::Publisher => set(&mut self.publisher, text_or_none()),
            GameField::Developer => set(&mut self.developer, text_or_none()),
            GameField::ReleaseDate => set(&mut self.release_date, text().and_then(|day| day.parse().ok())),
            GameField::Categories => set(&mut self.categories, names()),
            GameField::Genres => set(&mut self.genres, names()),
            GameField::Platforms => set(&mut self.platforms, names()),
            GameField::Tags => set(&mut self.tags, names()),
            // Prices follow from the supplier's; the others are computed, or come with the next synchronisation.
            GameField::Price
            | GameField::OriginalPrice
            | GameField::IsPreorder
            | GameField::InStock
            | GameField::Images => false,
        }
    }

    /// The description as safe HTML.
    pub fn cleaned(&self) -> Option<String> {
        self.description.as_deref().map(html::description)
    }

    /// The slug of a new game: the one that was entered, or one made from the title.
    pub fn slug_of_new(&self) -> String {
        let made = || self.title.as_deref().map(slug_of_name).unwrap_or_default();
        self.slug.clone().unwrap_or_else(made)
    }
}

/// A description whose cleaning would take long.
pub const TOO_COMPLEX_DESCRIPTION: FieldError = FieldError {
    path: "description",
    code: "too_complex",
    msg: TOO_COMPLEX,
};

/// Why a price before the reduction is refused.
pub const ORIGINAL_NOT_ABOVE: &str = "This amount must be above the price; leave it out if there is no reduction";

impl Checks {
    /// Names of a taxonomy: each once, in their order.
    fn names(&mut self, path: &'static str, names: &[String]) -> Vec<String> {
        if names.len() > MAX_TERMS {
            self.fault(path, "too_many", "This field must have at most 50 names");
            return Vec::new();
        }
        let mut once: Vec<String> = Vec::new();
        for name in names {
            let before = self.0.len();
            let name = self.line(path, name, MAX_NAME);
            if self.0.len() > before {
                break;
            }
            if !once.contains(&name) {
                once.push(name);
            }
        }
        once
    }

    /// A day, or nothing; a time after it is ignored.
    fn day(&mut self, path: &'static str, text: &str) -> Option<NaiveDate> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let day = text.split('T').next().unwrap_or(text);
        let day = NaiveDate::parse_from_str(day, "%Y-%m-%d").ok();
        let day = day.filter(|day| (1900..=2200).contains(&day.year()));
        if day.is_none() {
            self.fault(path, "day_invalid", "This field must be a day, such as 2026-11-29");
        }
        day
    }

    /// Names of fields.
    fn fields(&mut self, names: &[String]) -> Vec<GameField> {
        let fields: Option<Vec<GameField>> = names.iter().map(|name| GameField::of_name(name)).collect();
        if fields.is_none() {
            self.fault(
                "lockedFields",
                "unknown_field",
                "This field must be a list of names of fields, such as price",
            );
        }
        fields.unwrap_or_default()
    }
}

/// A game that staff have made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameCreated {
    /// Identifier.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// URL slug.
    pub slug: String,
    /// Price, EUR.
    pub price: Money,
    /// When it was added to the catalogue.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A game that staff have changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GameUpdated {
    /// Identifier.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// URL slug.
    pub slug: String,
    /// Price, EUR.
    pub price: Money,
    /// Time of the last change.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: DateTime<Utc>,
}

/// A change of a price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceStep {
    /// When it changed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: DateTime<Utc>,
    /// Before, EUR.
    pub previous_price: Money,
    /// After, EUR.
    pub price: Money,
    /// The price that the synchronisation would have set, EUR; absent while the price is G2A's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g2a_price: Option<Money>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(entry: GameEntry, is_new: bool) -> Vec<(&'static str, &'static str)> {
        let faults = GameForm::new(entry, is_new).unwrap_err();
        faults.into_iter().map(|fault| (fault.path, fault.code)).collect()
    }

    #[test]
    fn each_invalid_field_is_named() {
        assert_eq!(
            paths(GameEntry::default(), true),
            [("title", "required"), ("price", "required")]
        );
        let text = |text: &str| Some(text.to_owned());
        let wrong = GameEntry {
            title: text(" "),
            slug: text("a\nb"),
            description: text("\0"),
            price: Some(Money::ZERO),
            image: text("javascript:alert(1)"),
            genres: Some(vec!["x".repeat(101)]),
            tags: Some(vec!["x".to_owned(); 51]),
            publisher: text(&"x".repeat(101)),
            release_date: text("2026-02-30"),
            locked: Some(vec!["slug".to_owned()]),
            ..GameEntry::default()
        };
        let named: Vec<&str> = paths(wrong, false).into_iter().map(|(path, _)| path).collect();
        assert_eq!(
            named,
            [
                "price",
                "description",
                "title",
                "slug",
                "imageUrl",
                "genres",
                "tags",
                "publisher",
                "releaseDate",
                "lockedFields"
            ]
        );
    }

    #[test]
    fn every_field_is_found_by_both_of_its_names() {
        for field in GameField::ALL {
            assert_eq!(GameField::of_column(field.column()), Some(field));
            assert_eq!(GameField::of_name(field.name()), Some(field));
        }
    }
}
