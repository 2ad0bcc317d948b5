//! The languages of pages and e-mails, and their texts.
//!
//! A text file has one text per line, `key = text`; `#` begins a comment. `{}` is a placeholder for a value. A text that
//! depends on a number has a line for each plural form of its language (`games.one`, `games.few`, …), by the cardinal
//! rules of CLDR.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Display, Write as _};
use std::sync::LazyLock;

use icu_locale_core::Locale;
use icu_plurals::{PluralCategory, PluralRules};

/// Texts by key.
pub type Texts = HashMap<&'static str, &'static str>;

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    /// English, the default.
    #[default]
    English,
    /// German.
    German,
    /// French.
    French,
    /// Spanish.
    Spanish,
    /// Polish.
    Polish,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::English, Self::German, Self::French, Self::Spanish, Self::Polish];

    /// ISO 639-1.
    pub const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
            Self::Polish => "pl",
        }
    }

    /// Its name in itself.
    pub const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::German => "Deutsch",
            Self::French => "Français",
            Self::Spanish => "Español",
            Self::Polish => "Polski",
        }
    }

    /// The language of an ISO 639-1 code in lower case.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// The preferred supported language of an `Accept-Language` header; `None` when it accepts none of them.
    pub fn accepted(header: &str) -> Option<Self> {
        Self::accepted_of(&Self::ALL, header)
    }

    /// The one of `known` that an `Accept-Language` header prefers; `None` when it accepts none of them.
    pub fn accepted_of(known: &[Self], header: &str) -> Option<Self> {
        let mut best: Option<(Self, u32)> = None;
        for (tag, weight) in ranges(header) {
            let primary = tag.split('-').next().unwrap_or_default();
            if let Some(language) = Self::of_code(primary)
                && known.contains(&language)
                && weight > best.map_or(0, |(_, weight)| weight)
            {
                best = Some((language, weight));
            }
        }
        best.map(|(language, _)| language)
    }

    /// The region (ISO 3166-1 in lower case) that an `Accept-Language` header combines with this language.
    pub fn accepted_region(self, header: &str) -> Option<String> {
        let mut best: Option<(Option<String>, u32)> = None;
        for (tag, weight) in ranges(header) {
            let mut parts = tag.split('-');
            if parts.next() == Some(self.code()) && weight > best.as_ref().map_or(0, |(_, weight)| *weight) {
                best = Some((parts.find(|part| part.len() == 2).map(str::to_owned), weight));
            }
        }
        best.and_then(|(region, _)| region)
    }

    /// The plural form of a number of something: `one`, `few`, `many`, `other`.
    pub fn plural_form(self, number: u64) -> &'static str {
        self.plural_rules()
            .map_or("other", |rules| form_name(rules.category_for(number)))
    }

    /// The plural forms that the language has. Some occur with fractions or with millions only.
    pub fn plural_forms(self) -> Vec<&'static str> {
        self.plural_rules()
            .map(|rules| rules.categories().map(form_name).collect())
            .unwrap_or_default()
    }

    /// The rules of CLDR, from the data in `icu_plurals`; a test finds a language without.
    fn plural_rules(self) -> Option<PluralRules> {
        let locale = Locale::try_from_str(self.code()).ok()?;
        PluralRules::try_new_cardinal(locale.into()).ok()
    }

    /// The names of key regions, under `region.{name}`.
    pub fn region_texts(self) -> &'static Texts {
        static ENGLISH: LazyLock<Texts> = LazyLock::new(|| texts(&[include_str!("../messages/en/regions.txt")]));
        static GERMAN: LazyLock<Texts> = LazyLock::new(|| texts(&[include_str!("../messages/de/regions.txt")]));
        static FRENCH: LazyLock<Texts> = LazyLock::new(|| texts(&[include_str!("../messages/fr/regions.txt")]));
        static SPANISH: LazyLock<Texts> = LazyLock::new(|| texts(&[include_str!("../messages/es/regions.txt")]));
        static POLISH: LazyLock<Texts> = LazyLock::new(|| texts(&[include_str!("../messages/pl/regions.txt")]));
        match self {
            Self::English => &ENGLISH,
            Self::German => &GERMAN,
            Self::French => &FRENCH,
            Self::Spanish => &SPANISH,
            Self::Polish => &POLISH,
        }
    }
}

/// CLDR's name of a plural form.
const fn form_name(category: PluralCategory) -> &'static str {
    match category {
        PluralCategory::Zero => "zero",
        PluralCategory::One => "one",
        PluralCategory::Two => "two",
        PluralCategory::Few => "few",
        PluralCategory::Many => "many",
        PluralCategory::Other => "other",
    }
}

/// What the texts of `language` lack or have too much, compared with the `english` ones: keys, plural forms,
/// placeholders. For the tests of text files: empty if they are complete.
pub fn differences(language: Language, texts: &Texts, english: &Texts) -> Vec<String> {
    let is_plural = |base: &str| {
        let has = |form: &str| english.contains_key(format!("{base}.{form}").as_str());
        has("one") && has("other")
    };
    let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
    for (key, text) in english {
        let placeholders = text.matches("{}").count();
        match key.rsplit_once('.') {
            Some((base, "one")) if is_plural(base) => {}
            Some((base, "other")) if is_plural(base) => {
                for form in language.plural_forms() {
                    wanted.insert(format!("{base}.{form}"), placeholders);
                }
            }
            _ => {
                wanted.insert((*key).to_owned(), placeholders);
            }
        }
    }
    let lacking = wanted
        .iter()
        .filter_map(|(key, placeholders)| match texts.get(key.as_str()) {
            None => Some(format!("{}: {key} is missing", language.code())),
            Some(&"") => Some(format!("{}: {key} is empty", language.code())),
            Some(text) if text.matches("{}").count() != *placeholders => Some(format!(
                "{}: {key} has other placeholders than in English",
                language.code()
            )),
            Some(_) => None,
        });
    let superfluous = texts
        .keys()
        .filter(|key| !wanted.contains_key(**key))
        .map(|key| format!("{}: {key} is not in English, or no plural form", language.code()));
    let mut found: Vec<String> = lacking.chain(superfluous).collect();
    found.sort_unstable();
    found
}

/// The language ranges of an `Accept-Language` header in lower case, each with its weight in thousandths.
fn ranges(header: &str) -> impl Iterator<Item = (String, u32)> {
    header.split(',').take(20).map(|range| {
        let mut parts = range.split(';');
        let tag = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let weight = parts
            .find_map(|part| part.trim().strip_prefix("q="))
            .map_or(Some(1000), thousandths)
            .unwrap_or(0);
        (tag, weight)
    })
}

/// `0.8` as 800.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = rest.chars().chain("000".chars()).take(3).collect();
    Some(whole.parse::<u32>().ok()?.min(1) * 1000 + digits.parse::<u32>().ok()?)
}

/// The lines of text files as pairs of key and text.
pub fn lines(files: &[&'static str]) -> impl Iterator<Item = (&'static str, &'static str)> {
    files
        .iter()
        .flat_map(|file| file.lines())
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, text)| (key.trim(), text.trim()))
}

/// The texts of text files by key.
pub fn texts(files: &[&'static str]) -> Texts {
    lines(files).collect()
}

/// A text with its `{}` replaced by `values`, in order.
pub fn filled(text: &str, values: &[&dyn Display]) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut values = values.iter();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{}") {
        out.push_str(before);
        if let Some(value) = values.next() {
            let _infallible = write!(out, "{value}");
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A sentence that is told in the language of whoever reads it: the key of a text, and the values of its placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// Empty if somebody else said it.
    key: &'static str,
    values: Vec<Value>,
}

/// A value in a [`Sentence`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The same in every language.
    Text(String),
    /// Part of the sentence.
    Part(Sentence),
}

impl Sentence {
    /// The text under `key`, its placeholders filled with `values` in order.
    pub const fn new(key: &'static str, values: Vec<Value>) -> Self {
        Self { key, values }
    }

    /// What somebody else said (PostgreSQL, a payment provider): told as it is.
    pub fn verbatim(text: impl Display) -> Self {
        Self::new("", vec![Value::Text(text.to_string())])
    }

    /// Whether it is told as it is in every language.
    pub const fn is_verbatim(&self) -> bool {
        self.key.is_empty()
    }

    /// The sentence in the language of the texts that `text` finds by their keys.
    pub fn told<'a>(&self, text: &impl Fn(&'static str) -> &'a str) -> String {
        let values: Vec<String> = (self.values.iter())
            .map(|value| match value {
                Value::Text(text) => text.clone(),
                Value::Part(part) => part.told(text),
            })
            .collect();
        if self.is_verbatim() {
            return values.concat();
        }
        let values: Vec<&dyn Display> = values.iter().map(|value| value as &dyn Display).collect();
        filled(text(self.key), &values)
    }
}

impl From<&'static str> for Sentence {
    /// The text under a key, without placeholders.
    fn from(key: &'static str) -> Self {
        Self::new(key, Vec::new())
    }
}

impl<T: Display + ?Sized> From<&T> for Value {
    fn from(value: &T) -> Self {
        Self::Text(value.to_string())
    }
}

impl From<&Sentence> for Value {
    fn from(part: &Sentence) -> Self {
        Self::Part(part.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_told_with_its_parts_and_foreign_text_as_it_is() {
        let text = |key: &str| match key {
            "disk" => "{} MiB for {}",
            _ => "the folder {}",
        };
        let part = Sentence::new("folder", vec!["./data".into()]);
        let sentence = Sentence::new("disk", vec![(&7).into(), (&part).into()]);
        assert_eq!(sentence.told(&text), "7 MiB for the folder ./data");
        let foreign = Sentence::verbatim("FATAL: {} disk");
        assert_eq!(foreign.told(&text), "FATAL: {} disk");
        assert!(foreign.is_verbatim() && !sentence.is_verbatim());
    }

    #[test]
    fn preferred_supported_language_is_chosen() {
        for (header, language) in [
            ("", None),
            ("it", None),
            ("fr-CA", Some(Language::French)),
            ("es-419,es;q=0.9", Some(Language::Spanish)),
            ("pl", Some(Language::Polish)),
            ("de", Some(Language::German)),
            ("de-AT,de;q=0.9,en;q=0.8", Some(Language::German)),
            ("it,en;q=0.5,de;q=0.7", Some(Language::German)),
            ("fr;q=0.6,en;q=0.5,de;q=0.7", Some(Language::German)),
            ("en-GB,de;q=0.9", Some(Language::English)),
            ("de;q=0", None),
            ("it, ;;;q=x, de;q=nonsense", None),
        ] {
            assert_eq!(Language::accepted(header), language, "{header}");
        }
        let known = [Language::English, Language::German];
        assert_eq!(Language::accepted_of(&known, "fr,de;q=0.5"), Some(Language::German));
        assert_eq!(Language::accepted_of(&known, "fr"), None);
    }

    #[test]
    fn numbers_have_the_plural_forms_of_cldr() {
        for (language, forms) in [
            (Language::English, &["one", "other"][..]),
            (Language::German, &["one", "other"]),
            (Language::French, &["one", "many", "other"]),
            (Language::Spanish, &["one", "many", "other"]),
            (Language::Polish, &["one", "few", "many", "other"]),
        ] {
            let mut known = language.plural_forms();
            known.sort_by_key(|form| {
                ["zero", "one", "two", "few", "many", "other"]
                    .iter()
                    .position(|one| one == form)
            });
            assert_eq!(known, forms, "{language:?}");
        }
        for (language, numbers) in [
            (
                Language::English,
                [(0, "other"), (1, "one"), (2, "other"), (1_000_000, "other")],
            ),
            (
                Language::French,
                [(0, "one"), (1, "one"), (2, "other"), (1_000_000, "many")],
            ),
            (
                Language::Spanish,
                [(0, "other"), (1, "one"), (21, "other"), (2_000_000, "many")],
            ),
            (Language::Polish, [(0, "many"), (1, "one"), (5, "many"), (21, "many")]),
            (Language::Polish, [(2, "few"), (12, "many"), (22, "few"), (112, "many")]),
        ] {
            for (number, form) in numbers {
                assert_eq!(language.plural_form(number), form, "{language:?} {number}");
            }
        }
    }

    #[test]
    fn differences_name_missing_keys_forms_and_placeholders() {
        let english = Texts::from([("a", "{} of {}"), ("n.one", "{} x"), ("n.other", "{} x"), ("b", "B")]);
        let polish = Texts::from([
            ("a", "{}"),
            ("n.one", "{}"),
            ("n.few", "{}"),
            ("n.other", "{}"),
            ("c", "C"),
            ("b", ""),
        ]);
        assert_eq!(
            differences(Language::Polish, &polish, &english),
            [
                "pl: a has other placeholders than in English",
                "pl: b is empty",
                "pl: c is not in English, or no plural form",
                "pl: n.many is missing",
            ]
        );
        let german = Texts::from([
            ("n.one", "{}"),
            ("n.few", "{}"),
            ("n.other", "{}"),
            ("a", "{}{}"),
            ("b", "B"),
        ]);
        assert_eq!(
            differences(Language::German, &german, &english),
            ["de: n.few is not in English, or no plural form"]
        );
    }

    #[test]
    fn region_is_taken_from_the_matching_language_range() {
        for (language, header, region) in [
            (Language::German, "de-AT,de;q=0.9", Some("at")),
            (Language::German, "de-Latn-CH,en;q=0.1", Some("ch")),
            (Language::German, "de,de-AT;q=0.9", None),
            (Language::German, "fr-CH", None),
            (Language::English, "de-AT,en-IN;q=0.2", Some("in")),
            (Language::English, "en-x-private, en-;q=0.1", None),
            (Language::English, "", None),
        ] {
            assert_eq!(language.accepted_region(header).as_deref(), region, "{header}");
        }
    }

    #[test]
    fn placeholders_are_filled_in_order() {
        assert_eq!(filled("{} of {}", &[&1, &"two"]), "1 of two");
        assert_eq!(filled("none", &[&1]), "none");
        assert_eq!(filled("{}{}", &[&1]), "1");
    }

    #[test]
    fn every_region_has_a_name_in_every_language() {
        for language in Language::ALL {
            let found = differences(language, language.region_texts(), Language::English.region_texts());
            assert!(found.is_empty(), "{found:#?}");
        }
    }
}
