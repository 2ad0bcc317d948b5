//! The languages that pages speak. Every text that a person reads stands in `messages/{language}/*.txt`, is compiled in,
//! and is looked up by its key.
//!
//! A file has one text a line, `key = text`; `#` begins a comment. `{}` is where a value goes. A text that depends on a
//! number has two lines, `key.one` and `key.other`. Tests hold all languages against each other and against the keys
//! that templates and sources use, so a text that is missing is found before anybody misses it.

use std::collections::HashMap;
use std::fmt::{self, Display, Write as _};
use std::sync::LazyLock;

/// The files of one language.
macro_rules! files {
    ($language:literal) => {
        &[
            include_str!(concat!("../messages/", $language, "/common.txt")),
            include_str!(concat!("../messages/", $language, "/shop.txt")),
            include_str!(concat!("../messages/", $language, "/help.txt")),
            include_str!(concat!("../messages/", $language, "/account.txt")),
        ]
    };
}

/// A language that pages speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Language {
    /// What is spoken when nothing else is asked for.
    #[default]
    English,
    German,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::English, Self::German];

    /// ISO 639-1.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// What its speakers call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::German => "Deutsch",
        }
    }

    /// For Open Graph.
    pub(crate) const fn locale(self) -> &'static str {
        match self {
            Self::English => "en_GB",
            Self::German => "de_DE",
        }
    }

    pub(crate) fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// The best of what an `Accept-Language` asks for.
    pub(crate) fn negotiate(accepted: &str) -> Self {
        let mut best: Option<(Self, u32)> = None;
        for range in accepted.split(',').take(20) {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let weight = parts
                .find_map(|part| part.trim().strip_prefix("q="))
                .map_or(Some(1000), thousandths)
                .unwrap_or(0);
            let primary = tag.split('-').next().unwrap_or_default();
            if let Some(language) = Self::of_code(primary)
                && weight > best.map_or(0, |(_, weight)| weight)
            {
                best = Some((language, weight));
            }
        }
        best.map_or_else(Self::default, |(language, _)| language)
    }

    fn texts(self) -> &'static HashMap<&'static str, &'static str> {
        static ENGLISH: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| parse(files!("en")));
        static GERMAN: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| parse(files!("de")));
        match self {
            Self::English => &ENGLISH,
            Self::German => &GERMAN,
        }
    }

    /// The text under a key. One that does not exist is shown as the key, and fails a test.
    pub(crate) fn text(self, key: &str) -> &'static str {
        self.find(key).unwrap_or_else(|| {
            tracing::error!(key, language = self.code(), "there is no text {key:?}");
            "…"
        })
    }

    /// The text under a key that comes from data (a platform, a genre), if there is one.
    pub(crate) fn find(self, key: &str) -> Option<&'static str> {
        self.texts().get(key).copied()
    }

    /// A text with its one value.
    pub(crate) fn with(self, key: &str, value: impl Display) -> String {
        filled(self.text(key), &[&value])
    }

    /// A text with several values, in the order in which `{}` stand in it.
    pub(crate) fn with_all(self, key: &str, values: &[&dyn Display]) -> String {
        filled(self.text(key), values)
    }

    /// The text for this many of something.
    pub(crate) fn count(self, key: &str, number: u64) -> String {
        let form = if number == 1 { "one" } else { "other" };
        filled(
            self.text(&format!("{key}.{form}")),
            &[&crate::format::number(self, number)],
        )
    }
}

impl Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// `0.8` as 800.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = rest.chars().chain("000".chars()).take(3).collect();
    Some(whole.parse::<u32>().ok()?.min(1) * 1000 + digits.parse::<u32>().ok()?)
}

fn filled(text: &str, values: &[&dyn Display]) -> String {
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

fn lines(files: &[&'static str]) -> impl Iterator<Item = (&'static str, &'static str)> {
    files
        .iter()
        .flat_map(|file| file.lines())
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, text)| (key.trim(), text.trim()))
}

fn parse(files: &[&'static str]) -> HashMap<&'static str, &'static str> {
    lines(files).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn files_of(language: Language) -> &'static [&'static str] {
        match language {
            Language::English => files!("en"),
            Language::German => files!("de"),
        }
    }

    #[test]
    fn every_text_is_there_once_in_every_language_with_the_same_places_for_values() {
        let english = parse(files_of(Language::English));
        for language in Language::ALL {
            let texts = files_of(language);
            for line in texts.iter().flat_map(|file| file.lines()) {
                let sound = line.trim().is_empty() || line.starts_with('#') || line.contains(" = ");
                assert!(sound, "{language}: {line:?} is no text");
            }
            let keys: Vec<&str> = lines(texts).map(|(key, _)| key).collect();
            let distinct: BTreeSet<&str> = keys.iter().copied().collect();
            let mut twice = keys.clone();
            twice.sort_unstable();
            let twice: Vec<&&str> = twice
                .windows(2)
                .filter(|pair| pair[0] == pair[1])
                .map(|pair| &pair[0])
                .collect();
            assert!(twice.is_empty(), "{language} has twice: {twice:?}");
            let wanted: BTreeSet<&str> = english.keys().copied().collect();
            let missing: Vec<_> = wanted.difference(&distinct).collect();
            let superfluous: Vec<_> = distinct.difference(&wanted).collect();
            assert!(
                missing.is_empty() && superfluous.is_empty(),
                "{language} lacks {missing:?}, has only here {superfluous:?}"
            );
            for (key, text) in parse(texts) {
                assert!(!text.is_empty(), "{language}: {key} is empty");
                assert_eq!(
                    text.matches("{}").count(),
                    english[key].matches("{}").count(),
                    "{language}: values of {key}"
                );
            }
        }
    }

    /// Every text in quotes behind `t("`, `t1("`, `n("`, `.text("`, `.with("`, `.with_all("`, `.count("`, and `text: "`.
    fn used(folder: &Path, found: &mut Vec<(String, bool, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                used(&path, found);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let source = source.split("mod tests {").next().unwrap();
            for (opening, counted) in [
                (".t(\"", false),
                (".t1(\"", false),
                (".n(\"", true),
                (".text(\"", false),
                (".with(\"", false),
                (".with_all(\"", false),
                (".count(\"", true),
            ] {
                for (at, _) in source.match_indices(opening) {
                    let key: String = source[at + opening.len()..].chars().take_while(|c| *c != '"').collect();
                    found.push((key, counted, path.display().to_string()));
                }
            }
        }
    }

    #[test]
    fn every_key_that_pages_use_exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        used(&root.join("src"), &mut found);
        used(&root.join("templates"), &mut found);
        assert!(found.len() > 50, "the keys are looked for in the wrong way");
        let texts = parse(files_of(Language::English));
        let missing: Vec<_> = found
            .iter()
            .filter(|(key, counted, _)| {
                if *counted {
                    !["one", "other"]
                        .iter()
                        .all(|form| texts.contains_key(format!("{key}.{form}").as_str()))
                } else {
                    !texts.contains_key(key.as_str())
                }
            })
            .collect();
        assert!(missing.is_empty(), "{missing:#?}");
    }

    #[test]
    fn the_best_known_language_is_spoken() {
        for (accepted, language) in [
            ("", Language::English),
            ("de", Language::German),
            ("de-AT,de;q=0.9,en;q=0.8", Language::German),
            ("fr,en;q=0.5,de;q=0.7", Language::German),
            ("en-GB,de;q=0.9", Language::English),
            ("de;q=0", Language::English),
            ("fr, ;;;q=x, de;q=nonsense", Language::English),
        ] {
            assert_eq!(Language::negotiate(accepted), language, "{accepted}");
        }
    }

    #[test]
    fn values_go_where_they_belong() {
        assert_eq!(filled("{} of {}", &[&1, &"two"]), "1 of two");
        assert_eq!(filled("none", &[&1]), "none");
        assert_eq!(filled("{}{}", &[&1]), "1");
    }
}
