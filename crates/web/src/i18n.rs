//! The languages of the pages. Every visible text is in `messages/{language}/*.txt`, is compiled in, and is looked up
//! by its key.
//!
//! A file has one text per line, `key = text`; `#` begins a comment. `{}` is a placeholder. A text that depends on a
//! number has two lines, `key.one` and `key.other`. Tests compare all languages with each other and with the keys that
//! templates and sources use, so a missing text fails a test.

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

/// A language of the pages, and the format of amounts in the reader's region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Language {
    speech: Speech,
    /// `None`: the usual format of the language.
    form: Option<MoneyForm>,
}

impl Default for Language {
    /// The language when the request names none.
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

    /// The language without the region's format.
    pub(crate) const fn speech(self) -> Speech {
        self.speech
    }

    /// The ISO 639-1 code.
    pub(crate) const fn code(self) -> &'static str {
        self.speech.code()
    }

    /// The name of the language in that language.
    pub(crate) const fn name(self) -> &'static str {
        match self.speech {
            Speech::English => "English",
            Speech::German => "Deutsch",
        }
    }

    /// The locale for Open Graph.
    pub(crate) const fn locale(self) -> &'static str {
        match self.speech {
            Speech::English => "en_GB",
            Speech::German => "de_DE",
        }
    }

    pub(crate) fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// The format of amounts and numbers.
    pub(crate) fn form(self) -> MoneyForm {
        self.form.unwrap_or_else(|| MoneyForm::of(self.code(), None))
    }

    /// The best supported language of an `Accept-Language` header.
    pub(crate) fn negotiate(accepted: &str) -> Self {
        Self::usual(Speech::accepted(accepted).unwrap_or_default())
    }

    /// The same language in the format of the region that an `Accept-Language` names with it: `de` for a reader with
    /// `de-AT`.
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

    /// The text under a key. A missing key is shown as the key, and fails a test.
    pub(crate) fn text(self, key: &str) -> &'static str {
        self.find(key).unwrap_or_else(|| {
            tracing::error!(key, language = self.code(), "missing text {key:?}");
            "…"
        })
    }

    /// The text under a key that comes from data (a platform, a genre), if there is one.
    pub(crate) fn find(self, key: &str) -> Option<&'static str> {
        self.texts().get(key).copied()
    }

    /// The text with its one placeholder filled.
    pub(crate) fn with(self, key: &str, value: impl Display) -> String {
        filled(self.text(key), &[&value])
    }

    /// The text with its placeholders filled in order.
    pub(crate) fn with_all(self, key: &str, values: &[&dyn Display]) -> String {
        filled(self.text(key), values)
    }

    /// The text for a number of something.
    pub(crate) fn count(self, key: &str, number: u64) -> String {
        let form = if number == 1 { "one" } else { "other" };
        filled(self.text(&format!("{key}.{form}")), &[&self.form().number(number)])
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
    fn languages_have_the_same_keys_and_placeholders() {
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

    /// An error text is short, says what is wrong and what to do, and does not plead.
    #[test]
    fn texts_do_not_plead_and_error_texts_are_short() {
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

    /// Collects every quoted text after `t("`, `t1("`, `n("`, `.text("`, `.with("`, `.with_all("`, `.count("`, and
    /// `text: "`.
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
    fn every_key_used_by_pages_exists() {
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
    fn the_best_supported_language_is_negotiated() {
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
    fn amounts_use_the_format_of_the_readers_region() {
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
        // Pages are cached by format, not by region.
        assert_eq!(Language::GERMAN.for_reader("de-LU"), Language::GERMAN);
    }
}
