//! The languages of the pages. Every visible text is in `messages/{language}/*.txt`, is compiled in, and is looked up
//! by its key.
//!
//! A file has one text per line, `key = text`; `#` begins a comment. `{}` is a placeholder. A text that depends on a
//! number has a line for each plural form of the language, `key.one`, `key.other`, … Tests compare all languages with
//! each other and with the keys that templates and sources use, so a missing text fails a test.
//!
//! **What is in which language** is decided by file. `common`, `shop`, `help` and `account` are what shoppers read, and
//! exist in every language. `console`, `system`, `content`, `catalogue`, `payments` and `doctor` are what only staff read, and exist in
//! English and German; a page of the console reads no other language ([`Preferences::of_console`]), so that for readers of
//! French, Spanish or Polish it is in English, or in German if their browser accepts that too. A text that both the shop
//! and the console show is in a file of the shop.
//!
//! [`Preferences::of_console`]: crate::visit::Preferences::of_console

use std::fmt::{self, Display};
use std::sync::LazyLock;

use lockstep_domain::language::{Language as Speech, Sentence, Texts, filled, texts};
use lockstep_domain::money_form::MoneyForm;

/// What shoppers read, in one language.
macro_rules! shop_files {
    ($language:literal $(, $more:expr)*) => {
        &[
            include_str!(concat!("../messages/", $language, "/common.txt")),
            include_str!(concat!("../messages/", $language, "/shop.txt")),
            include_str!(concat!("../messages/", $language, "/help.txt")),
            include_str!(concat!("../messages/", $language, "/account.txt")),
            $($more),*
        ]
    };
}

/// The same, and what only staff read.
macro_rules! all_files {
    ($language:literal) => {
        shop_files!(
            $language,
            include_str!(concat!("../messages/", $language, "/console.txt")),
            include_str!(concat!("../messages/", $language, "/system.txt")),
            include_str!(concat!("../messages/", $language, "/content.txt")),
            include_str!(concat!("../messages/", $language, "/catalogue.txt")),
            include_str!(concat!("../messages/", $language, "/payments.txt")),
            include_str!(concat!("../messages/", $language, "/doctor.txt"))
        )
    };
}

/// A language of the pages, and the format of amounts in the reader's region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Language {
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
    /// English.
    pub const ENGLISH: Self = Self::usual(Speech::English);
    /// German.
    pub const GERMAN: Self = Self::usual(Speech::German);
    /// French.
    pub const FRENCH: Self = Self::usual(Speech::French);
    /// Spanish.
    pub const SPANISH: Self = Self::usual(Speech::Spanish);
    /// Polish.
    pub const POLISH: Self = Self::usual(Speech::Polish);
    /// All languages of the shop's pages.
    pub const ALL: [Self; 5] = [Self::ENGLISH, Self::GERMAN, Self::FRENCH, Self::SPANISH, Self::POLISH];
    /// The languages of the console.
    pub const CONSOLE: [Self; 2] = [Self::ENGLISH, Self::GERMAN];

    const fn usual(speech: Speech) -> Self {
        Self { speech, form: None }
    }

    /// The language without the region's format.
    pub const fn speech(self) -> Speech {
        self.speech
    }

    /// The ISO 639-1 code.
    pub const fn code(self) -> &'static str {
        self.speech.code()
    }

    /// The name of the language in that language.
    pub const fn name(self) -> &'static str {
        self.speech.name()
    }

    /// The locale for Open Graph.
    pub const fn locale(self) -> &'static str {
        match self.speech {
            Speech::English => "en_GB",
            Speech::German => "de_DE",
            Speech::French => "fr_FR",
            Speech::Spanish => "es_ES",
            Speech::Polish => "pl_PL",
        }
    }

    /// The language with an ISO 639-1 code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// The format of amounts and numbers.
    pub fn form(self) -> MoneyForm {
        self.form.unwrap_or_else(|| MoneyForm::of(self.code(), None))
    }

    /// Whether the console is in it.
    pub fn is_of_console(self) -> bool {
        Self::CONSOLE.iter().any(|language| language.speech == self.speech)
    }

    /// The language of the shop's pages that an `Accept-Language` header prefers.
    pub fn negotiate(accepted: &str) -> Self {
        Self::usual(Speech::accepted(accepted).unwrap_or_default())
    }

    /// The language of the console that an `Accept-Language` header prefers.
    pub fn negotiate_console(accepted: &str) -> Self {
        let known = Self::CONSOLE.map(Self::speech);
        Self::usual(Speech::accepted_of(&known, accepted).unwrap_or_default())
    }

    /// The same language in the format of the region that an `Accept-Language` names with it: `de` for a reader with
    /// `de-AT`.
    #[must_use]
    pub fn for_reader(self, accepted: &str) -> Self {
        let region = self.speech.accepted_region(accepted);
        let form = region.map(|region| MoneyForm::of(self.code(), Some(&region)));
        Self {
            form: form.filter(|form| *form != Self::usual(self.speech).form()),
            ..self
        }
    }

    fn texts(self) -> &'static Texts {
        static ENGLISH: LazyLock<Texts> = LazyLock::new(|| texts(all_files!("en")));
        static GERMAN: LazyLock<Texts> = LazyLock::new(|| texts(all_files!("de")));
        static FRENCH: LazyLock<Texts> = LazyLock::new(|| texts(shop_files!("fr")));
        static SPANISH: LazyLock<Texts> = LazyLock::new(|| texts(shop_files!("es")));
        static POLISH: LazyLock<Texts> = LazyLock::new(|| texts(shop_files!("pl")));
        match self.speech {
            Speech::English => &ENGLISH,
            Speech::German => &GERMAN,
            Speech::French => &FRENCH,
            Speech::Spanish => &SPANISH,
            Speech::Polish => &POLISH,
        }
    }

    /// The text under a key. A missing key is shown as the key, and fails a test.
    pub fn text(self, key: &str) -> &'static str {
        self.find(key).unwrap_or_else(|| {
            tracing::error!(key, language = self.code(), "missing text {key:?}");
            "…"
        })
    }

    /// The text under a key that comes from data (a platform, a genre), if there is one.
    pub fn find(self, key: &str) -> Option<&'static str> {
        self.texts().get(key).copied()
    }

    /// The text with its one placeholder filled.
    pub fn with(self, key: &str, value: impl Display) -> String {
        filled(self.text(key), &[&value])
    }

    /// The text with its placeholders filled in order.
    pub fn with_all(self, key: &str, values: &[&dyn Display]) -> String {
        filled(self.text(key), values)
    }

    /// A sentence in this language.
    pub fn tell(self, sentence: &Sentence) -> String {
        sentence.told(&|key| self.text(key))
    }

    /// The text for a number of something.
    pub fn count(self, key: &str, number: u64) -> String {
        let form = self.speech.plural_form(number);
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
    use std::path::Path;

    use lockstep_domain::language::{differences, lines};

    use super::*;

    fn files_of(language: Language) -> &'static [&'static str] {
        match language.speech {
            Speech::English => all_files!("en"),
            Speech::German => all_files!("de"),
            Speech::French => shop_files!("fr"),
            Speech::Spanish => shop_files!("es"),
            Speech::Polish => shop_files!("pl"),
        }
    }

    #[test]
    fn files_hold_each_text_once() {
        for language in Language::ALL {
            let files = files_of(language);
            for line in files.iter().flat_map(|file| file.lines()) {
                let sound = line.trim().is_empty() || line.starts_with('#') || line.contains(" = ");
                assert!(sound, "{language}: {line:?} is no text");
            }
            let mut keys: Vec<&str> = lines(files).map(|(key, _)| key).collect();
            keys.sort_unstable();
            let twice: Vec<&str> = keys
                .windows(2)
                .filter(|pair| pair[0] == pair[1])
                .map(|pair| pair[0])
                .collect();
            assert!(twice.is_empty(), "{language} has twice: {twice:?}");
        }
    }

    /// Keys, plural forms and placeholders. What staff read is in the languages of the console.
    #[test]
    fn every_language_has_every_text() {
        let shop = texts(shop_files!("en"));
        for language in Language::ALL {
            let english = if language.is_of_console() {
                Language::ENGLISH.texts()
            } else {
                &shop
            };
            let found = differences(language.speech, language.texts(), english);
            assert!(found.is_empty(), "{found:#?}");
        }
    }

    /// The shop's pages use no text that only staff read.
    #[test]
    fn pages_of_the_shop_use_texts_of_the_shop() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        for folder in ["src", "../web/src", "../web/templates"] {
            used(&root.join(folder), &mut found);
        }
        let shop = texts(shop_files!("en"));
        let foreign: Vec<_> = found
            .iter()
            .filter(|(key, counted, _)| {
                let key = if *counted { format!("{key}.other") } else { key.clone() };
                !shop.contains_key(key.as_str())
            })
            .collect();
        assert!(foreign.is_empty(), "{foreign:#?}");
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
                for beg in [
                    "please", "bitte", "sorry", "leider", "désolé", "proszę", "prosimy", "niestety",
                ] {
                    assert!(!words.iter().any(|word| word == beg), "{language}: {key} = {text}");
                }
                for beg in ["s’il vous plaît", "por favor", "lo sentimos"] {
                    assert!(!text.to_lowercase().contains(beg), "{language}: {key} = {text}");
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
    /// `text: "`, and the key of every `?done=`.
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
            // What a page says about the action that led to it.
            let prefix = if path.display().to_string().contains("/console/") {
                "console.done."
            } else {
                "done."
            };
            for (at, opening) in source.match_indices("?done=").chain(source.match_indices("&done=")) {
                let name: String = source[at + opening.len()..]
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
                    .collect();
                // A name in braces is filled in elsewhere.
                if !name.is_empty() {
                    found.push((format!("{prefix}{name}"), false, path.display().to_string()));
                }
            }
        }
    }

    #[test]
    fn every_key_used_by_pages_exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        for folder in [
            "src",
            "../web/src",
            "../web/templates",
            "../console/src",
            "../console/templates",
        ] {
            used(&root.join(folder), &mut found);
        }
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
            ("it,en;q=0.5,de;q=0.7", Language::GERMAN),
            ("fr-CA,en;q=0.5,de;q=0.7", Language::FRENCH),
            ("es-419", Language::SPANISH),
            ("pl", Language::POLISH),
            ("en-GB,de;q=0.9", Language::ENGLISH),
            ("de;q=0", Language::ENGLISH),
            ("it, ;;;q=x, de;q=nonsense", Language::ENGLISH),
        ] {
            assert_eq!(Language::negotiate(accepted), language, "{accepted}");
        }
        assert_eq!(Language::negotiate_console("fr"), Language::ENGLISH);
        assert_eq!(Language::negotiate_console("pl,de;q=0.1"), Language::GERMAN);
    }

    #[test]
    fn numbers_choose_the_plural_form() {
        let games = |language: Language| [0, 1, 2, 5, 22].map(|number| language.count("catalogue.count", number));
        assert_eq!(
            games(Language::ENGLISH),
            ["0 games", "1 game", "2 games", "5 games", "22 games"]
        );
        assert_eq!(
            games(Language::FRENCH),
            ["0 jeu", "1 jeu", "2 jeux", "5 jeux", "22 jeux"]
        );
        assert_eq!(
            games(Language::SPANISH),
            ["0 juegos", "1 juego", "2 juegos", "5 juegos", "22 juegos"]
        );
        assert_eq!(
            games(Language::POLISH),
            ["0 gier", "1 gra", "2 gry", "5 gier", "22 gry"]
        );
        assert_eq!(
            Language::SPANISH.count("catalogue.count", 1_000_000),
            "1.000.000 de juegos"
        );
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
            (Language::FRENCH, "fr-CH", "1\u{202f}234.50\u{a0}€"),
            (Language::SPANISH, "es-MX,es;q=0.9", "EUR\u{a0}1,234.50"),
            (Language::POLISH, "pl-PL", "1234,50\u{a0}€"),
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
