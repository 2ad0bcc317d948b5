//! A game as it is, a form, and what becomes of both: which values are new, and which fields are staff's afterwards.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::{GameField, GameForm, ORIGINAL_NOT_ABOVE, TOO_COMPLEX_DESCRIPTION};
use lockstep_domain::catalogue::PICTURES;
use lockstep_domain::html;
use lockstep_domain::price::ListPrice;
use serde_json::{Map, Value, json};

/// The taxonomies, in the order of `sync::taxonomy::TAXONOMIES`.
const TAXONOMIES: [GameField; 4] = [
    GameField::Categories,
    GameField::Genres,
    GameField::Platforms,
    GameField::Tags,
];

/// A game as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Current {
    /// Changes with every change of the row.
    pub(super) version: String,
    pub(super) title: String,
    pub(super) slug: String,
    pub(super) description: String,
    pub(super) short_description: Option<String>,
    pub(super) price: Money,
    pub(super) original_price: Option<Money>,
    pub(super) image: String,
    pub(super) publisher: Option<String>,
    pub(super) developer: Option<String>,
    pub(super) release_date: DateTime<Utc>,
    pub(super) is_preorder: bool,
    pub(super) in_stock: bool,
    pub(super) g2a_product_id: Option<String>,
    pub(super) g2a_price: Option<Money>,
    pub(super) locks: BTreeSet<GameField>,
    pub(super) updated_at: DateTime<Utc>,
    /// Names by taxonomy, alphabetically.
    pub(super) terms: [Vec<String>; 4],
}

/// The game after a form.
#[derive(Debug, Clone)]
pub(super) struct Edited {
    pub(super) title: String,
    pub(super) slug: String,
    pub(super) description: String,
    pub(super) short_description: Option<String>,
    pub(super) list: ListPrice,
    /// The price before a reduction, also while it is not above the price; and whether the form has set it.
    pub(super) original: (Option<Money>, bool),
    pub(super) image: String,
    pub(super) publisher: Option<String>,
    pub(super) developer: Option<String>,
    pub(super) release_date: DateTime<Utc>,
    pub(super) is_preorder: bool,
    pub(super) g2a_price: Option<Money>,
    /// New names by taxonomy; `None` where they stay.
    pub(super) terms: [Option<Vec<String>>; 4],
    /// The fields with a new value.
    changed: BTreeSet<GameField>,
    locks: BTreeSet<GameField>,
}

impl Edited {
    /// Applies `form` to `current`. What is sent as it already is counts as unchanged.
    pub(super) fn of(current: &Current, form: &GameForm) -> Result<Self, FieldError> {
        let mut changed = BTreeSet::new();
        let mut differs = |field, is_new: bool| {
            if is_new {
                changed.insert(field);
            }
            is_new
        };
        let slug = form.slug.clone().unwrap_or_else(|| current.slug.clone());
        let title = form.title.clone().unwrap_or_else(|| current.title.clone());
        differs(GameField::Title, title != current.title);

        // What a form shows is what is stored; cleaning it again could write the same text another way.
        let sent = form.description.as_ref().filter(|text| **text != current.description);
        if !sent.is_none_or(|text| html::is_bounded(text)) {
            return Err(TOO_COMPLEX_DESCRIPTION);
        }
        let cleaned = sent
            .and_then(|_| form.cleaned())
            .filter(|html| *html != current.description);
        differs(GameField::Description, cleaned.is_some());
        // The short description is the first sentence of what G2A wrote.
        let short_description = current.short_description.clone().filter(|_| cleaned.is_none());
        let description = cleaned.unwrap_or_else(|| current.description.clone());

        let is_generated = current.image == cover(&current.slug);
        let image = match form.image.as_deref().filter(|sent| *sent != current.image) {
            Some("") => cover(&slug),
            Some(sent) => sent.to_owned(),
            None if is_generated => cover(&slug),
            None => current.image.clone(),
        };
        // Uploads are added where they are arranged: an address that the game does not have would lead to nothing.
        if image != current.image && image.starts_with(PICTURES) {
            return Err(FieldError {
                path: "imageUrl",
                code: "not_its_picture",
                msg: "This field must not be the address of another picture that was uploaded here",
            });
        }
        differs(
            GameField::Image,
            image != current.image && !(is_generated && image == cover(&slug)),
        );
        let publisher = optional(form.publisher.as_ref(), current.publisher.as_ref());
        differs(GameField::Publisher, publisher != current.publisher);
        let developer = optional(form.developer.as_ref(), current.developer.as_ref());
        differs(GameField::Developer, developer != current.developer);
        let another_day = form
            .release_date
            .filter(|day| *day != current.release_date.date_naive());
        differs(GameField::ReleaseDate, another_day.is_some());
        let release_date = another_day.map_or(current.release_date, midnight);
        let is_preorder = form.is_preorder.unwrap_or(current.is_preorder);
        differs(GameField::IsPreorder, is_preorder != current.is_preorder);

        let price = form.price.unwrap_or(current.price);
        differs(GameField::Price, price != current.price);
        let original = match form.original_price {
            Some(sent) => Some(sent).filter(|original| original.is_positive()),
            None => current.original_price,
        };
        if form.original_price.is_some() && original.is_some_and(|original| original <= price) {
            return Err(FieldError {
                path: "originalPrice",
                code: "not_above_price",
                msg: ORIGINAL_NOT_ABOVE,
            });
        }
        let has_new_original = differs(GameField::OriginalPrice, original != current.original_price);

        let wanted = [
            form.categories.clone(),
            first_and_all(form.genre.as_ref(), form.genres.as_ref(), &current.terms[1]),
            first_and_all(form.platform.as_ref(), form.platforms.as_ref(), &current.terms[2]),
            form.tags.clone(),
        ];
        let mut terms = [None, None, None, None];
        for (((field, wanted), now), new) in TAXONOMIES.into_iter().zip(wanted).zip(&current.terms).zip(&mut terms) {
            *new = wanted.filter(|names| !is_same(names, now));
            differs(field, new.is_some());
        }

        let mut edited = Self {
            title,
            slug,
            description,
            short_description,
            list: ListPrice::of(price, original),
            original: (original, has_new_original),
            image,
            publisher,
            developer,
            release_date,
            is_preorder,
            g2a_price: None,
            terms,
            changed,
            locks: BTreeSet::new(),
        };
        if current.g2a_product_id.is_some() {
            edited.divide(current, form, original);
        } else {
            // Everything of a game of the shop's own is staff's; they may also take it off sale.
            edited.locks.clone_from(&current.locks);
            edited.hold_back(current, form);
        }
        Ok(edited)
    }

    /// Decides which fields of a game of G2A's are staff's from now on.
    fn divide(&mut self, current: &Current, form: &GameForm, original: Option<Money>) {
        self.locks = match &form.locked {
            Some(fields) => fields.iter().copied().collect(),
            None => current.locks.clone(),
        };
        self.locks.extend(&self.changed);
        self.hold_back(current, form);
        if !self.locks.contains(&GameField::Price) {
            // Given back: G2A's price counts at once.
            if let Some(price) = current.g2a_price {
                self.list = ListPrice::of(price, original);
            }
        } else if current.locks.contains(&GameField::Price) {
            self.g2a_price = current.g2a_price;
        } else {
            self.g2a_price = Some(current.price);
        }
    }

    /// Takes the game off sale, or gives it back to its stock.
    fn hold_back(&mut self, current: &Current, form: &GameForm) {
        match form.is_hidden.map(|is_hidden| !is_hidden).or(form.in_stock) {
            // Without a stock, `inStock` only repeats what it is; hidden means that it stays so.
            Some(false) if current.in_stock || form.is_hidden.is_some() => {
                self.locks.insert(GameField::InStock);
            }
            Some(true) => {
                self.locks.remove(&GameField::InStock);
            }
            _ => {}
        }
    }

    /// Leaves these fields to the synchronisation again.
    pub(super) fn unlock(&mut self, fields: &[GameField]) {
        self.locks.retain(|field| !fields.contains(field));
    }

    /// Whether there is anything to write.
    pub(super) fn differs(&self, current: &Current) -> bool {
        !self.changed.is_empty()
            || self.slug != current.slug
            || self.image != current.image
            || self.locks != current.locks
            || self.list.price != current.price
    }

    /// Whether staff hold the game back.
    pub(super) fn is_held_back(&self) -> bool {
        self.locks.contains(&GameField::InStock)
    }

    pub(super) fn locks_as_columns(&self) -> Vec<String> {
        self.locks.iter().map(|field| field.column().to_owned()).collect()
    }

    /// What was changed, for the audit log: the new values beside the old ones, except long texts.
    pub(super) fn told(&self, current: &Current) -> Value {
        let mut told = Map::new();
        let names: Vec<&str> = self.changed.iter().map(|field| field.name()).collect();
        told.insert("fields".to_owned(), json!(names));
        let mut pair = |name: &str, before: Value, after: Value| {
            if before != after {
                told.insert(name.to_owned(), json!({ "before": before, "after": after }));
            }
        };
        pair("title", json!(current.title), json!(self.title));
        pair("slug", json!(current.slug), json!(self.slug));
        pair("price", json!(current.price), json!(self.list.price));
        pair(
            "originalPrice",
            json!(current.original_price),
            json!(self.list.original_price),
        );
        let named = |locks: &BTreeSet<GameField>| -> Vec<&str> { locks.iter().map(|field| field.name()).collect() };
        pair("lockedFields", json!(named(&current.locks)), json!(named(&self.locks)));
        for ((field, before), after) in TAXONOMIES.iter().zip(&current.terms).zip(&self.terms) {
            if let Some(after) = after {
                pair(field.name(), json!(before), json!(after));
            }
        }
        Value::Object(told)
    }
}

/// The fields of `games.fields_by_hand`.
pub(super) fn locks_of(columns: &[String]) -> BTreeSet<GameField> {
    columns
        .iter()
        .filter_map(|column| GameField::of_column(column))
        .collect()
}

/// The cover that the shop makes itself.
pub(super) fn cover(slug: &str) -> String {
    format!("/api/covers/{slug}.svg")
}

pub(super) fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// A text that an empty one removes.
fn optional(sent: Option<&String>, now: Option<&String>) -> Option<String> {
    sent.map_or(now, |text| Some(text).filter(|text| !text.is_empty()))
        .cloned()
}

/// The names that a form means with one name or all of them. A form that shows only the first name replaces only that
/// one: the names that it does not show stay.
fn first_and_all(first: Option<&String>, all: Option<&Vec<String>>, now: &[String]) -> Option<Vec<String>> {
    if let Some(all) = all.filter(|all| !is_same(all, now)) {
        return Some(all.clone());
    }
    let first = first?;
    let shown = now.first().map(String::as_str).unwrap_or_default();
    if first.to_lowercase() == shown.to_lowercase() {
        return None;
    }
    let others = now
        .iter()
        .skip(1)
        .filter(|name| name.to_lowercase() != first.to_lowercase());
    let first = Some(first).filter(|first| !first.is_empty());
    Some(first.into_iter().chain(others).cloned().collect())
}

/// Whether two lists have the same names, whatever their order and case.
fn is_same(one: &[String], other: &[String]) -> bool {
    let names = |list: &[String]| list.iter().map(|name| name.to_lowercase()).collect::<BTreeSet<_>>();
    names(one) == names(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(cents: i64) -> Money {
        Money::from_cents(cents).unwrap()
    }

    fn current() -> Current {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Current {
            version: String::new(),
            title: "Portal".into(),
            slug: "portal".into(),
            description: "<p>A &amp; B</p>".into(),
            short_description: Some("A & B".into()),
            price: money(1000),
            original_price: Some(money(2000)),
            image: "/api/covers/portal.svg".into(),
            publisher: Some("Valve".into()),
            developer: None,
            release_date: "2007-10-10T12:00:00Z".parse().unwrap(),
            is_preorder: false,
            in_stock: true,
            g2a_product_id: Some("1".into()),
            g2a_price: None,
            locks: BTreeSet::new(),
            updated_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            terms: [
                vec![],
                names(&["Action", "Puzzle"]),
                names(&["PC"]),
                names(&["Portals"]),
            ],
        }
    }

    /// The form of the existing console: everything, and of genres and platforms only the first.
    fn whole() -> GameForm {
        GameForm {
            title: Some("Portal".into()),
            slug: Some("portal".into()),
            description: Some("<p>A &amp; B</p>".into()),
            price: Some(money(1000)),
            original_price: Some(money(2000)),
            image: Some("/api/covers/portal.svg".into()),
            platform: Some("PC".into()),
            genre: Some("Action".into()),
            tags: Some(vec!["Portals".into()]),
            categories: Some(vec![]),
            publisher: Some("Valve".into()),
            developer: Some(String::new()),
            release_date: Some("2007-10-10".parse().unwrap()),
            is_preorder: Some(false),
            in_stock: Some(true),
            ..GameForm::default()
        }
    }

    fn locks(edited: &Edited) -> Vec<&'static str> {
        edited.locks.iter().map(|field| field.name()).collect()
    }

    #[test]
    fn a_form_saved_as_it_was_shown_changes_and_locks_nothing() {
        let edited = Edited::of(&current(), &whole()).unwrap();
        assert!(!edited.differs(&current()), "{edited:?}");
        assert_eq!(locks(&edited), [] as [&str; 0]);
    }

    #[test]
    fn only_what_a_form_changes_is_locked() {
        let form = GameForm {
            price: Some(money(1500)),
            genre: Some("Strategy".into()),
            ..whole()
        };
        let edited = Edited::of(&current(), &form).unwrap();
        assert_eq!(locks(&edited), ["price", "genres"]);
        assert_eq!(edited.list.discount, 25);
        assert_eq!(edited.g2a_price, Some(money(1000)));
        assert_eq!(edited.terms[1].as_deref().unwrap(), ["Strategy", "Puzzle"]);
        // Of the shop's own games, everything is staff's anyway.
        let own = Current {
            g2a_product_id: None,
            ..current()
        };
        assert_eq!(locks(&Edited::of(&own, &form).unwrap()), [] as [&str; 0]);
    }

    #[test]
    fn a_price_that_is_given_back_is_g2as_at_once() {
        let locked = Current {
            locks: BTreeSet::from([GameField::Price, GameField::Title]),
            price: money(1500),
            g2a_price: Some(money(1100)),
            ..current()
        };
        let form = GameForm {
            locked: Some(vec![GameField::Title]),
            ..GameForm::default()
        };
        let edited = Edited::of(&locked, &form).unwrap();
        assert!(edited.differs(&locked));
        assert_eq!(
            (locks(&edited), edited.list.price, edited.g2a_price),
            (vec!["title"], money(1100), None)
        );
    }

    #[test]
    fn a_game_is_held_back_and_given_back() {
        let form = |in_stock| GameForm {
            in_stock: Some(in_stock),
            ..GameForm::default()
        };
        let held = Edited::of(&current(), &form(false)).unwrap();
        assert!(held.is_held_back());
        let held = Current {
            in_stock: false,
            locks: held.locks,
            ..current()
        };
        assert!(Edited::of(&held, &form(false)).unwrap().is_held_back());
        assert!(!Edited::of(&held, &form(true)).unwrap().is_held_back());
        let sold_out = Current {
            in_stock: false,
            ..current()
        };
        assert!(
            !Edited::of(&sold_out, &form(false)).unwrap().is_held_back(),
            "it is as it was shown"
        );
    }

    #[test]
    fn a_new_slug_takes_the_generated_cover_along() {
        let form = GameForm {
            slug: Some("portal-1".into()),
            ..GameForm::default()
        };
        let edited = Edited::of(&current(), &form).unwrap();
        assert_eq!(edited.image, "/api/covers/portal-1.svg");
        assert!(edited.differs(&current()) && locks(&edited).is_empty());
    }

    #[test]
    fn a_price_before_the_reduction_is_above_the_price() {
        let form = GameForm {
            price: Some(money(2000)),
            ..whole()
        };
        assert_eq!(Edited::of(&current(), &form).unwrap_err().path, "originalPrice");
        let form = GameForm {
            price: Some(money(2000)),
            ..GameForm::default()
        };
        let edited = Edited::of(&current(), &form).unwrap();
        assert_eq!((edited.list.original_price, locks(&edited)), (None, vec!["price"]));
    }
}
