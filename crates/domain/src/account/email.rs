//! E-mail addresses, normalised for storage and comparison.
//!
//! Normalisation is that of the existing shop (express-validator's `normalizeEmail` with its defaults): its rows hold
//! normalised addresses, and users must find their accounts again.

use std::fmt;

use serde::Serialize;
use unicode_normalization::UnicodeNormalization as _;

/// A valid e-mail address, normalised.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Email(String);

/// The text is not an acceptable e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid e-mail address")]
pub struct NotAnEmail;

impl Email {
    /// Parses and normalises an address. Surrounding white space is ignored. Letters outside ASCII are rejected because
    /// most mail servers would not deliver to them.
    ///
    /// # Errors
    /// [`NotAnEmail`].
    pub fn parse(text: &str) -> Result<Self, NotAnEmail> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(NotAnEmail)?;
        if text.len() > 254 || local.len() > 64 || !is_local_part(local) || !is_domain(domain) {
            return Err(NotAnEmail);
        }
        let (local, domain) = normalised(local, &domain.to_ascii_lowercase());
        // Removing a tag may leave an empty local part, or one that ends in a dot.
        if !is_local_part(&local) {
            return Err(NotAnEmail);
        }
        Ok(Self(format!("{local}@{domain}")))
    }

    /// Parses an address that an account from the existing shop may have. That shop's rules (npm's validator 13) accept
    /// more than [`parse`](Self::parse): letters outside ASCII, a quoted local part, and what remains when a tag is
    /// removed (`a.` of `a.+c@hotmail.com`). For lookups only.
    ///
    /// # Errors
    /// [`NotAnEmail`].
    pub fn of_existing_account(text: &str) -> Result<Self, NotAnEmail> {
        if let Ok(email) = Self::parse(text) {
            return Ok(email);
        }
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(NotAnEmail)?;
        if local.len() > 64 || domain.len() > 254 || !is_old_local_part(local) || !is_old_domain(domain) {
            return Err(NotAnEmail);
        }
        let (local, domain) = normalised(local, &domain.to_lowercase());
        if local.is_empty() {
            return Err(NotAnEmail);
        }
        Ok(Self(format!("{}@{domain}", local.to_lowercase())))
    }

    /// This text, then the composed and the decomposed form of its letters, each once: devices type `ü` as one character
    /// or as two, and the existing shop stored whatever was typed. For lookups.
    pub fn spellings(&self) -> Vec<String> {
        let mut all = vec![self.0.clone()];
        if !self.0.is_ascii() {
            for text in [self.0.nfc().collect::<String>(), self.0.nfd().collect()] {
                if !all.contains(&text) {
                    all.push(text);
                }
            }
        }
        all
    }

    /// The address with composed letters: the same for all its [`spellings`](Self::spellings).
    pub fn composed(&self) -> String {
        self.0.nfc().collect()
    }

    /// Whether an e-mail can be addressed to it. The existing shop took addresses to which no mail server delivers: an
    /// empty quoted local part (`""@example.com`), a dot at the end of one.
    pub fn takes_mail(&self) -> bool {
        let Some((local, _)) = self.0.rsplit_once('@') else {
            return false;
        };
        let is_readable = match local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            None => local.split('.').all(|atom| !atom.is_empty()),
            Some(quoted) => !quoted.is_empty() && is_quoted_text(quoted),
        };
        is_readable && self.0.len() <= 254
    }

    /// The normalised address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn local_part(&self) -> &str {
        self.0.split('@').next().unwrap_or_default()
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Logs must distinguish users, not identify them.
        write!(
            f,
            "Email({}…@{})",
            self.0.chars().next().unwrap_or('?'),
            self.0.rsplit('@').next().unwrap_or_default()
        )
    }
}

fn is_local_part(local: &str) -> bool {
    !local.is_empty()
        && local.split('.').all(|atom| !atom.is_empty())
        && local
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b))
}

fn is_domain(domain: &str) -> bool {
    let labels: Vec<&str> = domain.split('.').collect();
    let is_label = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = labels.last().copied().unwrap_or_default();
    labels.len() >= 2 && labels.iter().all(is_label) && top.len() >= 2 && !top.bytes().all(|b| b.is_ascii_digit())
}

/// The existing shop's rule: atoms that may contain letters outside ASCII, or a quoted string.
fn is_old_local_part(local: &str) -> bool {
    if let Some(quoted) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return quoted.is_ascii() && !quoted.chars().any(char::is_control);
    }
    // Removing a tag can leave a trailing dot.
    let atoms = local.strip_suffix('.').unwrap_or(local);
    !atoms.is_empty()
        && atoms.split('.').all(|atom| !atom.is_empty())
        && atoms.chars().all(|c| {
            c.is_ascii_alphanumeric()
                || "!#$%&'*+-/=?^_`{|}~.".contains(c)
                || matches!(c, '\u{a1}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{ffef}')
        })
        && !atoms.chars().any(is_invisible)
}

/// The content of a quoted string (RFC 5321): a quote and a backslash only behind a backslash.
fn is_quoted_text(quoted: &str) -> bool {
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        let is_fine = match letter {
            '"' => false,
            '\\' => letters.next().is_some_and(|next| next.is_ascii_graphic()),
            letter => !letter.is_control(),
        };
        if !is_fine {
            return false;
        }
    }
    true
}

fn is_old_domain(domain: &str) -> bool {
    let labels: Vec<&str> = domain.split('.').collect();
    let is_label = |label: &&str| {
        !label.is_empty()
            && label.chars().count() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || (c >= '\u{a1}' && !is_invisible(c)))
    };
    let top = labels.last().copied().unwrap_or_default();
    labels.len() >= 2
        && labels.iter().all(is_label)
        && top.chars().count() >= 2
        && !top.bytes().all(|b| b.is_ascii_digit())
}

/// Spaces and bidirectional control characters.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Maps all spellings of one mailbox at the provider of `domain` to one text.
fn normalised(local: &str, domain: &str) -> (String, String) {
    let before = |mark: char| local.split(mark).next().unwrap_or_default();
    let (local, domain) = if matches!(domain, "gmail.com" | "googlemail.com") {
        (before('+').replace('.', ""), "gmail.com")
    } else if matches!(domain, "icloud.com" | "me.com") || is_outlook(domain) {
        (before('+').to_owned(), domain)
    } else if YAHOO.contains(&domain) {
        (
            local.rsplit_once('-').map_or(local, |(mailbox, _)| mailbox).to_owned(),
            domain,
        )
    } else if matches!(
        domain,
        "yandex.ru" | "yandex.ua" | "yandex.kz" | "yandex.com" | "yandex.by" | "ya.ru"
    ) {
        (local.to_owned(), "yandex.ru")
    } else {
        (local.to_owned(), domain)
    };
    (local.to_ascii_lowercase(), domain.to_owned())
}

const YAHOO: &[&str] = &[
    "rocketmail.com",
    "yahoo.ca",
    "yahoo.co.uk",
    "yahoo.com",
    "yahoo.de",
    "yahoo.fr",
    "yahoo.in",
    "yahoo.it",
    "ymail.com",
];

/// Outlook's domains: each brand with the top-level domains under which it exists.
fn is_outlook(domain: &str) -> bool {
    const HOTMAIL: &str = "at be ca cl co.il co.nz co.th co.uk com com.ar com.au com.br com.gr com.mx com.pe com.tr com.vn \
                           cz de dk es fr hu id ie in it jp kr lv my ph pt sa sg sk";
    const LIVE: &str = "be co.uk com com.ar com.mx de es eu fr it nl";
    const OUTLOOK: &str = "at be cl co.il co.nz co.th com com.ar com.au com.br com.gr com.pe com.tr com.vn cz de dk es fr \
                           hu id ie in it jp kr lv my ph pt sa sg sk";
    let Some((brand, ending)) = domain.split_once('.') else {
        return false;
    };
    let endings = match brand {
        "hotmail" => HOTMAIL,
        "live" => LIVE,
        "outlook" => OUTLOOK,
        "msn" | "passport" => "com",
        _ => return false,
    };
    endings.split_whitespace().any(|known| known == ending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn email(text: &str) -> Option<String> {
        Email::parse(text).ok().map(|email| email.0)
    }

    #[test]
    fn addresses_of_one_mailbox_normalise_alike() {
        for (typed, stored) in [
            ("Ada@Example.COM", "ada@example.com"),
            ("  ada@example.com\n", "ada@example.com"),
            ("a.d.a+shop@gmail.com", "ada@gmail.com"),
            ("A.D.A@GoogleMail.com", "ada@gmail.com"),
            ("ada+x+y@googlemail.com", "ada@gmail.com"),
            ("ada.b+x@outlook.com", "ada.b@outlook.com"),
            ("Ada+x@hotmail.co.uk", "ada@hotmail.co.uk"),
            ("ada+x@live.nl", "ada@live.nl"),
            ("ada+x@msn.com", "ada@msn.com"),
            ("ada+x@passport.com", "ada@passport.com"),
            ("ada+x@icloud.com", "ada@icloud.com"),
            ("ada+x@me.com", "ada@me.com"),
            ("ada-shop@yahoo.com", "ada@yahoo.com"),
            ("ada-b-shop@ymail.com", "ada-b@ymail.com"),
            ("ada+x@yahoo.co.uk", "ada+x@yahoo.co.uk"),
            ("Ada.B+x@ya.ru", "ada.b+x@yandex.ru"),
            // At other providers, tags and dots may be significant.
            ("Ada.B+x@example.com", "ada.b+x@example.com"),
            ("ada+x@hotmail.example", "ada+x@hotmail.example"),
            ("ada+x@mac.com", "ada+x@mac.com"),
            ("o'neil_{1}@sub.example.co.uk", "o'neil_{1}@sub.example.co.uk"),
        ] {
            assert_eq!(email(typed).as_deref(), Some(stored), "{typed}");
        }
    }

    #[test]
    fn invalid_addresses_are_rejected() {
        let long = format!("{}@example.com", "a".repeat(65));
        let longer = format!("a@{}.com", "b.".repeat(130));
        for text in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.com",
            "ada@example",
            "ada@@example.com",
            "a b@example.com",
            "ada@exa mple.com",
            ".ada@example.com",
            "ada.@example.com",
            "a..b@example.com",
            "ada@-example.com",
            "ada@example-.com",
            "ada@.com",
            "ada@example..com",
            "ada@127.0.0.1",
            "ada@[127.0.0.1]",
            "\"ada\"@example.com",
            "ada@example.com\r\nBcc: eve@example.com",
            "ada\0@example.com",
            "ада@example.com",
            "ada@пример.рф",
            "+tag@gmail.com",
            "...@gmail.com",
            "-tag@yahoo.com",
            "a,b@example.com",
            "<ada@example.com>",
            "ada@example.c",
            "guest-1@temp.local\u{202e}",
            &long,
            &longer,
        ] {
            assert_eq!(email(text), None, "{text:?}");
        }
    }

    /// What npm's validator 13.15 (`isEmail`, then `normalizeEmail`) makes of each; crates/auth/tests/existing_shop has more.
    #[test]
    fn existing_shop_addresses_normalise_as_stored() {
        let existing = |text: &str| Email::of_existing_account(text).ok().map(|email| email.0);
        for (typed, stored) in [
            ("User@M\u{fc}nchen.de", "user@m\u{fc}nchen.de"),
            ("J\u{d6}RG@example.com", "j\u{f6}rg@example.com"),
            ("\"Ada Lovelace\"@Example.com", "\"ada lovelace\"@example.com"),
            ("\"a@b\"@example.com", "\"a@b\"@example.com"),
            ("a.+c@hotmail.com", "a.@hotmail.com"),
            ("a.@hotmail.com", "a.@hotmail.com"),
            (
                "\u{430}\u{434}\u{430}@\u{43f}\u{440}\u{438}\u{43c}\u{435}\u{440}.\u{440}\u{444}",
                "\u{430}\u{434}\u{430}@\u{43f}\u{440}\u{438}\u{43c}\u{435}\u{440}.\u{440}\u{444}",
            ),
            // The rules for registration are unchanged.
            ("A.D.A+x@GoogleMail.com", "ada@gmail.com"),
        ] {
            assert_eq!(existing(typed).as_deref(), Some(stored), "{typed}");
        }
        for text in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.com",
            "ada@example",
            "a b@example.com",
            "ada@example.com\r\nBcc: eve@example.com",
            "a..b@example.com",
            "ada@exa mple.com",
            "ada\0@example.com",
            "ada@127.0.0.1",
            "+tag@gmail.com",
            "ada\u{202e}@example.com",
            "ada@example\u{200b}.com",
        ] {
            assert_eq!(existing(text), None, "{text:?}");
        }
    }

    #[test]
    fn accents_are_looked_up_in_both_forms() {
        let (composed, decomposed) = ("m\u{fc}ller@example.com", "mu\u{308}ller@example.com");
        for (typed, first, spellings) in [
            (composed, composed, vec![composed, decomposed]),
            (decomposed, composed, vec![decomposed, composed]),
            ("Ada@example.com", "ada@example.com", vec!["ada@example.com"]),
        ] {
            let email = Email::of_existing_account(typed).unwrap();
            assert_eq!(email.spellings(), spellings, "{typed}");
            assert_eq!(email.composed(), first);
        }
    }

    proptest! {
        #[test]
        fn addresses_of_registrations_take_mail(local in "[A-Za-z0-9.+_-]{1,20}", domain in "[a-z]{1,9}\\.(com|de)") {
            if let Ok(email) = Email::parse(&format!("{local}@{domain}")) {
                prop_assert!(email.takes_mail());
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _email = Email::parse(&text);
            let _email = Email::of_existing_account(&text).map(|email| (email.takes_mail(), email.spellings()));
        }

        #[test]
        fn normalisation_is_idempotent(
            local in "[A-Za-z0-9.+_-]{1,20}",
            domain in prop::sample::select(vec!["gmail.com", "googlemail.com", "Outlook.com", "yahoo.de", "me.com", "ya.ru", "example.org"]),
        ) {
            if let Ok(once) = Email::parse(&format!("{local}@{domain}")) {
                // A second pass would remove a second tag of a Yahoo address, as in the existing shop.
                if !once.as_str().ends_with("yahoo.de") {
                    prop_assert_eq!(&Email::parse(once.as_str()).unwrap(), &once);
                }
                prop_assert_eq!(once.as_str().to_lowercase(), once.as_str());
            }
        }
    }
}
