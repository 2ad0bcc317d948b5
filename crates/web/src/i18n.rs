//! The languages that pages speak. Every text that a person reads stands in `messages/{language}/*.txt`, is compiled in,
//! and is looked up by its key.
//!
//! A file has one text a line, `key = text`; `#` begins a comment. `{}` is where a value goes. A text that depends on a
//! number has two lines, `key.one` and `key.other`. Tests hold all languages against each other and against the keys
//! that templates and sources use, so a text that is missing is found before anybody misses it.

use std::fmt::{self, Display};
use std::sync::LazyLock;

use lockstep_domain::language::{Language as Speech, Texts, filled, texts};
use lockstep_domain::money_form::MoneyForm;

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

/// A language that pages speak, and how its reader's region writes amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Language {
    speech: Speech,
    /// `None`: as the language usually does.
    form: Option<MoneyForm>,
}

impl Default for Language {
    /// What is spoken when nothing else is asked for.
    fn default() -> Self {
        Self::ENGLISH
    }
}

impl Language {
    pub(crate) const ENGLISH: Self = Self::usual(Speech::English);
    pub(crate) const GERMAN: Self = Self::usual(Speech::German);
    pub(crate) const ALL: [Self; 2] = [Self::ENGLISH, Self::GERMAN];

    const fn usual(speech: Speech) -> Self {
        Self { speech, form: None }
    }

    /// The language alone.
    pub(crate) const fn speech(self) -> Speech {
        self.speech
    }

    /// ISO 639-1.
    pub(crate) const fn code(self) -> &'static str {
        self.speech.code()
    }

    /// What its speakers call it.
    pub(crate) const fn name(self) -> &'static str {
        match self.speech {
            Speech::English => "English",
            Speech::German => "Deutsch",
        }
    }

    /// For Open Graph.
    pub(crate) const fn locale(self) -> &'static str {
        match self.speech {
            Speech::English => "en_GB",
            Speech::German => "de_DE",
        }
    }

    pub(crate) fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// How amounts and numbers are written.
    pub(crate) fn form(self) -> MoneyForm {
        self.form.unwrap_or_else(|| MoneyForm::of(self.code(), None))
    }

    /// The best of what an `Accept-Language` asks for.
    pub(crate) fn negotiate(accepted: &str) -> Self {
        Self::usual(Speech::accepted(accepted).unwrap_or_default())
    }

    /// The same language for a reader of the region that an `Accept-Language` names with it: `de` for one of `de-AT`.
    pub(crate) fn for_reader(self, accepted: &str) -> Self {
        let region = self.speech.accepted_region(accepted);
        let form = region.map(|region| MoneyForm::of(self.code(), Some(&region)));
        Self {
            form: form.filter(|form| *form != Self::usual(self.speech).form()),
            ..self
        }
    }

    fn texts(self) -> &'static Texts {
        static ENGLISH: LazyLock<Texts> = LazyLock::new(|| texts(files!("en")));
        static GERMAN: LazyLock<Texts> = LazyLock::new(|| texts(files!("de")));
        match self.speech {
            Speech::English => &ENGLISH,
            Speech::German => &GERMAN,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use lockstep_domain::language::lines;

    use super::*;

    fn files_of(language: Language) -> &'static [&'static str] {
        match language.speech {
            Speech::English => files!("en"),
            Speech::German => files!("de"),
        }
    }

    #[test]
    fn every_text_is_there_once_in_every_language_with_the_same_places_for_values() {
        let english = texts(files_of(Language::ENGLISH));
        for language in Language::ALL {
            let files = files_of(language);
            for line in files.iter().flat_map(|file| file.lines()) {
                let sound = line.trim().is_empty() || line.starts_with('#') || line.contains(" = ");
                assert!(sound, "{language}: {line:?} is no text");
            }
            let keys: Vec<&str> = lines(files).map(|(key, _)| key).collect();
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
            for (key, text) in texts(files) {
                assert!(!text.is_empty(), "{language}: {key} is empty");
                assert_eq!(
                    text.matches("{}").count(),
                    english[key].matches("{}").count(),
                    "{language}: values of {key}"
                );
            }
        }
    }

    /// What is wrong and what to do about it are two short sentences, and neither begs.
    #[test]
    fn texts_say_what_to_do_and_do_not_beg() {
        for language in Language::ALL {
            for (key, text) in texts(files_of(language)) {
                let words: Vec<String> = text
                    .split(|c: char| !c.is_alphanumeric())
                    .map(str::to_lowercase)
                    .collect();
                for beg in ["please", "bitte", "sorry", "leider"] {
                    assert!(!words.iter().any(|word| word == beg), "{language}: {key} = {text}");
                }
                let is_told = key.starts_with("wrong.") || key.starts_with("error.") && key.contains(".advice");
                assert!(
                    !is_told || text.ends_with('.'),
                    "{language}: {key} is no sentence: {text}"
                );
                assert!(
                    !is_told || text.chars().count() <= 140,
                    "{language}: {key} is too long: {text}"
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
        let texts = texts(files_of(Language::ENGLISH));
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
            ("", Language::ENGLISH),
            ("de", Language::GERMAN),
            ("de-AT,de;q=0.9,en;q=0.8", Language::GERMAN),
            ("fr,en;q=0.5,de;q=0.7", Language::GERMAN),
            ("en-GB,de;q=0.9", Language::ENGLISH),
            ("de;q=0", Language::ENGLISH),
            ("fr, ;;;q=x, de;q=nonsense", Language::ENGLISH),
        ] {
            assert_eq!(Language::negotiate(accepted), language, "{accepted}");
        }
    }

    #[test]
    fn the_readers_region_decides_how_amounts_are_written() {
        let price = lockstep_domain::Money::from_cents(123_450).unwrap();
        for (language, accepted, written) in [
            (Language::GERMAN, "de-AT,de;q=0.9", "€\u{a0}1.234,50"),
            (Language::GERMAN, "de-CH", "EUR\u{a0}1'234.50"),
            (Language::GERMAN, "de-Latn-CH,en;q=0.1", "EUR\u{a0}1'234.50"),
            (Language::GERMAN, "de,de-AT;q=0.9", "1.234,50\u{a0}€"),
            (Language::GERMAN, "en-AU,de-DE;q=0.5", "1.234,50\u{a0}€"),
            (Language::GERMAN, "fr-CH", "1.234,50\u{a0}€"),
            (Language::ENGLISH, "de-AT,en-IN;q=0.2", "€1,234.50"),
            (Language::ENGLISH, "en-AU", "EUR\u{a0}1,234.50"),
            (Language::ENGLISH, "en-x-private, en-;q=0.1", "€1,234.50"),
            (Language::ENGLISH, "", "€1,234.50"),
        ] {
            assert_eq!(language.for_reader(accepted).form().price(price), written, "{accepted}");
        }
        // Pages are kept by how they are written, not by region.
        assert_eq!(Language::GERMAN.for_reader("de-LU"), Language::GERMAN);
    }
}
