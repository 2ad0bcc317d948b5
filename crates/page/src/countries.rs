//! Countries by name, for forms.

use std::sync::LazyLock;

use crate::i18n::Language;

type Names = Vec<(&'static str, &'static str)>;

static ENGLISH: LazyLock<Names> = LazyLock::new(|| names(include_str!("../countries/en.txt")));
static GERMAN: LazyLock<Names> = LazyLock::new(|| names(include_str!("../countries/de.txt")));

fn names(text: &'static str) -> Names {
    let mut names: Names = text.lines().filter_map(|line| line.split_once(" = ")).collect();
    // Umlauts and accents where a reader looks for them.
    names.sort_by_cached_key(|(_, name)| lockstep_domain::slug::slugify(name));
    names
}

/// All countries in the order of their names: code and name.
pub fn countries(language: Language) -> &'static [(&'static str, &'static str)] {
    if language.code() == "de" { &GERMAN } else { &ENGLISH }
}

/// The name of a country; its code if it has none.
pub fn country_name(language: Language, code: &str) -> String {
    let known = countries(language).iter().find(|(known, _)| *known == code);
    known.map_or(code, |(_, name)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use lockstep_domain::tax::{Country, MEMBER_STATES};

    use super::*;

    #[test]
    fn every_member_state_has_a_name_in_every_language() {
        for language in Language::ALL {
            assert!(
                countries(language)
                    .iter()
                    .all(|(code, name)| code.len() == 2 && !name.is_empty())
            );
            for code in MEMBER_STATES {
                assert_ne!(country_name(language, code), code);
            }
            assert_eq!(country_name(language, "QQ"), "QQ");
        }
        assert_eq!(country_name(Language::GERMAN, "AT"), "Österreich");
        let codes = countries(Language::ENGLISH)
            .iter()
            .filter(|(code, _)| Country::new(code).is_some());
        assert_eq!(codes.count(), countries(Language::ENGLISH).len());
    }
}
