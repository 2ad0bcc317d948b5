//! The languages of pages and e-mails, and their texts.
//!
//! A text file has one text per line, `key = text`; `#` begins a comment. `{}` is a placeholder for a value.

use std::collections::HashMap;
use std::fmt::{Display, Write as _};
use std::sync::LazyLock;

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
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// ISO 639-1.
    pub const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// The language of an ISO 639-1 code in lower case.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// The preferred supported language of an `Accept-Language` header; `None` when it accepts none of them.
    pub fn accepted(header: &str) -> Option<Self> {
        let mut best: Option<(Self, u32)> = None;
        for (tag, weight) in ranges(header) {
            let primary = tag.split('-').next().unwrap_or_default();
            if let Some(language) = Self::of_code(primary)
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

    /// The names of key regions, under `region.{name}`.
    pub fn region_texts(self) -> &'static Texts {
        static ENGLISH: LazyLock<Texts> = LazyLock::new(|| texts(&[include_str!("../messages/en/regions.txt")]));
        static GERMAN: LazyLock<Texts> = LazyLock::new(|| texts(&[include_str!("../messages/de/regions.txt")]));
        match self {
            Self::English => &ENGLISH,
            Self::German => &GERMAN,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferred_supported_language_is_chosen() {
        for (header, language) in [
            ("", None),
            ("fr", None),
            ("de", Some(Language::German)),
            ("de-AT,de;q=0.9,en;q=0.8", Some(Language::German)),
            ("fr,en;q=0.5,de;q=0.7", Some(Language::German)),
            ("en-GB,de;q=0.9", Some(Language::English)),
            ("de;q=0", None),
            ("fr, ;;;q=x, de;q=nonsense", None),
        ] {
            assert_eq!(Language::accepted(header), language, "{header}");
        }
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
        let mut english: Vec<_> = Language::English.region_texts().keys().collect();
        let mut german: Vec<_> = Language::German.region_texts().keys().collect();
        english.sort_unstable();
        german.sort_unstable();
        assert_eq!(english, german);
    }
}
