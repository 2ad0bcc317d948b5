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
        match self.0 {
            Language::English => &ENGLISH,
            Language::German => &GERMAN,
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

    /// An amount in the format of the language.
    pub(crate) fn price(self, amount: Money) -> String {
        MoneyForm::of(self.0.code(), None).price(amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_have_the_same_texts_and_placeholders() {
        let (english, german) = (Words(Language::English).all(), Words(Language::German).all());
        let keys = |texts: &Texts| {
            let mut keys: Vec<&str> = texts.keys().copied().collect();
            keys.sort_unstable();
            keys
        };
        assert_eq!(keys(english), keys(german));
        for (key, text) in english {
            // A greeting without a name has no placeholder.
            assert_eq!(text.matches("{}").count(), german[key].matches("{}").count(), "{key}");
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
        assert!(used > 30, "{used}");
    }
}
