//! Which game a product is an edition of: "Portal 2 Deluxe Edition" and "Portal 2" are one game in two editions.

use super::{OFFER, PLACES};

/// Words before "Edition" that say which one it is.
const KINDS: &[&str] = &[
    "standard",
    "digital",
    "deluxe",
    "premium",
    "ultimate",
    "complete",
    "definitive",
    "enhanced",
    "extended",
    "special",
    "limited",
    "legendary",
    "anniversary",
    "collector's",
    "collector’s",
    "collectors",
    "game of the year",
    "goty",
    "day one",
    "launch",
    "starter",
    "supporter",
    "founder's",
    "founder’s",
    "bronze",
    "silver",
    "gold",
    "platinum",
    "diamond",
    "super",
    "mega",
    "royal",
    "imperial",
    "master",
    "champions",
    "director's cut",
    "director’s cut",
];

/// Editions that titles name without the word.
const BARE: &[&str] = &[
    "game of the year",
    "goty",
    "digital deluxe",
    "deluxe",
    "director's cut",
    "director’s cut",
];

/// Numbers before "Anniversary".
const ORDINALS: &[&str] = &["5th", "10th", "15th", "20th", "25th", "30th"];

/// The name of the game of which a product called `name` (see [`own`](super::own)) is an edition: without the edition at
/// its end. Never empty.
pub fn base(name: &str) -> &str {
    let name = name.trim();
    let inside = name
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once('('))
        .filter(|(_, inside)| is_edition(inside));
    let base = match inside {
        Some((before, _)) => before.trim_end_matches(SEPARATORS),
        None => without_edition(name).unwrap_or(name),
    };
    if base.is_empty() { name } else { base }
}

/// The signs in a name that tell games apart although search drops them, in their order: `C++` and `C#` are two games.
pub fn signs(name: &str) -> String {
    let narrow = |letter| match letter {
        '+' | '\u{ff0b}' => Some('+'),
        '#' | '\u{ff03}' | '\u{266f}' => Some('#'),
        _ => None,
    };
    name.chars().filter_map(narrow).collect()
}

/// The words that may follow a game's name in the title of any edition or offer of it, folded as search folds them; each
/// the first of its kind, so that titles can be looked for by how they begin.
pub fn followers() -> Vec<String> {
    let mut words: Vec<String> = [OFFER, PLACES, KINDS, BARE, ORDINALS, &["edition"]]
        .into_iter()
        .flatten()
        .filter_map(|phrase| {
            let word = phrase.split([' ', '.', '/']).next()?;
            Some(word.replace(['\'', '’'], ""))
        })
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// What may stand between a name and its edition.
const SEPARATORS: [char; 7] = [' ', '-', '–', '—', ':', ',', '|'];

fn is_edition(text: &str) -> bool {
    let text = text.trim();
    text.eq_ignore_ascii_case("edition") || without_edition(text).is_some_and(str::is_empty)
}

/// `None` when no edition stands at the end of `name`.
fn without_edition(name: &str) -> Option<&str> {
    let Some(mut base) = cut(name, "edition") else {
        return BARE.iter().find_map(|edition| cut(name, edition));
    };
    let mut is_known = false;
    while let Some(shorter) = KINDS.iter().find_map(|kind| cut(base, kind)) {
        let is_anniversary = base.len() >= 11 && cut(base, "anniversary").is_some();
        base = shorter;
        is_known = true;
        if is_anniversary && let Some(shorter) = ORDINALS.iter().find_map(|number| cut(base, number)) {
            base = shorter;
        }
    }
    is_known.then_some(base)
}

/// `text` without a last word or two, and without what separates them from it; nothing may be left.
fn cut<'t>(text: &'t str, words: &str) -> Option<&'t str> {
    let at = text.len().checked_sub(words.len())?;
    let (before, end) = (text.get(..at)?, text.get(at..)?);
    let is_whole = before.is_empty() || before.ends_with(SEPARATORS);
    (is_whole && end.to_lowercase() == words).then(|| before.trim_end_matches(SEPARATORS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::own;

    #[test]
    fn editions_of_a_game_have_its_name() {
        for (title, game) in [
            ("Portal 2", "Portal 2"),
            ("Portal 2 Deluxe Edition", "Portal 2"),
            ("Portal 2: Digital Deluxe Edition", "Portal 2"),
            ("Portal 2 - Gold Edition (PC) - Steam Key - EUROPE", "Portal 2"),
            ("Portal 2 (Collector’s Edition)", "Portal 2"),
            ("Portal 2 GOTY", "Portal 2"),
            ("Portal 2 – Game of the Year Edition", "Portal 2"),
            ("Portal 2 | 20th Anniversary Edition", "Portal 2"),
            ("Zoo Deluxe", "Zoo"),
            ("Überland DIRECTOR'S CUT", "Überland"),
            // Not known as an edition, or no edition at all.
            ("Skyline Edition", "Skyline Edition"),
            ("Pokémon Gold", "Pokémon Gold"),
            ("The Gold (Rush)", "The Gold (Rush)"),
            ("Portal 2 Season Pass", "Portal 2 Season Pass"),
            // Nothing would be left.
            ("Deluxe Edition", "Deluxe Edition"),
            ("Deluxe", "Deluxe"),
            ("Edition", "Edition"),
            ("(Edition)", "(Edition)"),
            ("", ""),
        ] {
            assert_eq!(base(own(title, Some("EUROPE"))), game, "{title}");
        }
    }

    #[test]
    fn signs_tell_names_apart() {
        for (name, signs_of_it) in [
            ("Learn C", ""),
            ("Learn C++", "++"),
            ("Learn C#", "#"),
            ("Ｌｅａｒｎ Ｃ＋＋", "++"),
            ("Learn C\u{266f}", "#"),
            ("F-1 & Co.", ""),
        ] {
            assert_eq!(signs(name), signs_of_it, "{name}");
        }
    }

    #[test]
    fn what_may_follow_a_name_is_one_folded_word_each() {
        let words = followers();
        for word in [
            "steam",
            "gog",
            "battle",
            "ea",
            "deluxe",
            "collectors",
            "game",
            "20th",
            "edition",
            "key",
        ] {
            assert!(words.iter().any(|known| known == word), "{word}");
        }
        assert!(words.len() < 90, "{}: each is a look into the index", words.len());
        for word in &words {
            assert!(
                word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()),
                "{word}"
            );
        }
    }
}
