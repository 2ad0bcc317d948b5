//! Slugs: the readable part of a URL for a game, genre or platform.

use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;

/// The longest slug, in bytes; leaves room for a suffix that makes it unique.
pub const MAX_LEN: usize = 120;

/// Whether a text has the form of a slug, also of one that an earlier version made.
pub fn is_slug(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 300
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Turns a title into lower-case ASCII words joined by `-`, at most [`MAX_LEN`] bytes.
///
/// Accents are dropped (`Pokémon` → `pokemon`), `&` becomes `and`, `+` becomes `plus`. A title without a Latin letter
/// or digit gives an empty slug; the caller must fall back to an id.
pub fn slugify(title: &str) -> String {
    let mut slug = String::with_capacity(title.len());
    // Trademark symbols go first: compatibility decomposition would spell them out ("tm").
    for c in title.chars().filter(|c| !matches!(c, '™' | '®' | '©')).nfkd() {
        match c {
            'a'..='z' | '0'..='9' => slug.push(c),
            'A'..='Z' => slug.push(c.to_ascii_lowercase()),
            '&' => push_word(&mut slug, "and"),
            '+' => push_word(&mut slug, "plus"),
            'ß' => slug.push_str("ss"),
            'ø' | 'Ø' => slug.push('o'),
            'æ' | 'Æ' => slug.push_str("ae"),
            'ł' | 'Ł' => slug.push('l'),
            // Apostrophes and combining accents do not split a word.
            '\'' | '’' | '‘' => {}
            c if ('\u{0300}'..='\u{036f}').contains(&c) => {}
            _ => break_word(&mut slug),
        }
    }
    if slug.len() > MAX_LEN {
        let cut = slug.get(..MAX_LEN).and_then(|head| head.rfind('-')).unwrap_or(MAX_LEN);
        slug.truncate(cut);
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// The slug of a name: as [`slugify`] makes it; where that leaves out letters of another script, with twelve digits of the
/// name's SHA-256 (`3-5d5fa0d18b2c`, and `n-…` when nothing else is left), so that two such names have two slugs.
pub fn slug_of_name(name: &str) -> String {
    let slug = slugify(name);
    let is_left_out = |c: char| c.is_alphanumeric() && slugify(c.encode_utf8(&mut [0; 4])).is_empty();
    if !slug.is_empty() && !name.chars().any(is_left_out) {
        return slug;
    }
    let head = if slug.is_empty() {
        "n"
    } else {
        slug.get(..80).unwrap_or(&slug).trim_end_matches('-')
    };
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(6).fold(format!("{head}-"), |mut slug, byte| {
        slug.extend([byte >> 4, byte & 15].map(|half| char::from_digit(half.into(), 16).unwrap_or('0')));
        slug
    })
}

fn break_word(slug: &mut String) {
    if !slug.is_empty() && !slug.ends_with('-') {
        slug.push('-');
    }
}

fn push_word(slug: &mut String, word: &str) {
    break_word(slug);
    slug.push_str(word);
    slug.push('-');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn titles_become_readable_addresses() {
        assert_eq!(
            slugify("Killing Floor 2 Steam Key GLOBAL"),
            "killing-floor-2-steam-key-global"
        );
        assert_eq!(slugify("Pokémon™: Let's Go & Win!"), "pokemon-lets-go-and-win");
        assert_eq!(slugify("  ---  "), "");
        assert_eq!(slugify("東京"), "");
        assert_eq!(slugify("Straße nach Łódź"), "strasse-nach-lodz");
    }

    #[test]
    fn names_in_every_script_have_slugs_of_their_own() {
        assert_eq!(slug_of_name("Role Play"), "role-play");
        assert_eq!(slug_of_name("Pokémon™ & Łódź: ½"), slugify("Pokémon™ & Łódź: ½"));
        let (noir, thriller) = (slug_of_name("Нуар 2"), slug_of_name("Триллер 2"));
        assert!(noir.starts_with("2-") && noir != thriller, "{noir} {thriller}");
        let (tokyo, kyoto) = (slug_of_name("東京"), slug_of_name("京都"));
        assert!(
            is_slug(&tokyo) && tokyo != kyoto && tokyo == slug_of_name("東京"),
            "{tokyo} {kyoto}"
        );
        assert_eq!(slugify(&tokyo), tokyo, "it is a slug that a form accepts");
    }

    proptest! {
        #[test]
        fn a_slug_is_always_a_safe_address(title in ".*") {
            let slug = slugify(&title);
            prop_assert!(slug.len() <= MAX_LEN);
            prop_assert!(!slug.starts_with('-') && !slug.ends_with('-') && !slug.contains("--"));
            prop_assert!(slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            prop_assert_eq!(slugify(&slug), slug, "a slug of a slug is itself");
        }
    }
}
