//! Texts of e-mails, by language: `messages/{language}.txt`.

use std::fmt::Display;
use std::sync::LazyLock;

use lockstep_domain::Money;
use lockstep_domain::language::{Language, Texts, filled, texts};
use lockstep_domain::money_form::MoneyForm;

/// The texts of the recipient's language.
#[derive(Clone, Copy)]
pub(crate) struct Words(pub(crate) Language);

impl Words {
    fn all(self) -> &'static Texts {
        static ENGLISH: LazyLock<Texts> = LazyLock::new(|| texts(&[include_str!("../messages/en.txt")]));
        static GERMAN: LazyLock<Texts> = LazyLock::new(|| texts(&[include_str!("../messages/de.txt")]));
        static FRENCH: LazyLock<Texts> = LazyLock::new(|| texts(&[include_str!("../messages/fr.txt")]));
        static SPANISH: LazyLock<Texts> = LazyLock::new(|| texts(&[include_str!("../messages/es.txt")]));
        static POLISH: LazyLock<Texts> = LazyLock::new(|| texts(&[include_str!("../messages/pl.txt")]));
        match self.0 {
            Language::English => &ENGLISH,
            Language::German => &GERMAN,
            Language::French => &FRENCH,
            Language::Spanish => &SPANISH,
            Language::Polish => &POLISH,
        }
    }

    /// A text without placeholders. A missing key fails a test.
    pub(crate) fn text(self, key: &str) -> String {
        self.with(key, &[])
    }

    /// A text with its placeholders filled.
    pub(crate) fn with(self, key: &str, values: &[&dyn Display]) -> String {
        filled(self.all().get(key).copied().unwrap_or("…"), values)
    }

    /// The text for a number of something, with its placeholders filled.
    pub(crate) fn count(self, key: &str, number: usize, values: &[&dyn Display]) -> String {
        let form = self.0.plural_form(u64::try_from(number).unwrap_or(u64::MAX));
        self.with(&format!("{key}.{form}"), values)
    }

    /// An amount in the format of the language.
    pub(crate) fn price(self, amount: Money) -> String {
        MoneyForm::of(self.0.code(), None).price(amount)
    }
}

#[cfg(test)]
mod tests {
    use lockstep_domain::language::differences;

    use super::*;

    #[test]
    fn every_language_has_every_text() {
        for language in Language::ALL {
            let found = differences(language, Words(language).all(), Words(Language::English).all());
            assert!(found.is_empty(), "{found:#?}");
        }
    }

    #[test]
    fn every_used_key_exists() {
        let source = include_str!("render.rs").split("mod tests {").next().unwrap();
        let mut used = 0;
        for opening in [".text(\"", ".with(\"", "button(\""] {
            for (at, _) in source.match_indices(opening) {
                let key: String = source[at + opening.len()..].chars().take_while(|c| *c != '"').collect();
                assert!(Words(Language::English).all().contains_key(key.as_str()), "{key}");
                used += 1;
            }
        }
        for (at, opening) in source.match_indices(".count(\"") {
            let key: String = source[at + opening.len()..].chars().take_while(|c| *c != '"').collect();
            assert!(
                Words(Language::English)
                    .all()
                    .contains_key(format!("{key}.other").as_str()),
                "{key}"
            );
            used += 1;
        }
        assert!(used > 30, "{used}");
    }
}
