//! Which passwords are accepted: the existing shop's rule, and none of the most common passwords.

use std::collections::HashSet;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization as _;

use super::precis::is_free_form;
use super::{Email, FieldError};
use crate::secret::Secret;

/// bcrypt ignores everything after this number of bytes.
pub const MAX_PASSWORD_BYTES: usize = 72;

/// The canonical form in which a password is set and checked, independent of the device: the `OpaqueString` profile of
/// RFC 8265, which maps every kind of space to U+0020 and composes accents (NFC).
fn normal(text: &str) -> String {
    let space = |c: char| {
        let is_space = matches!(
            c,
            '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
        );
        if is_space { ' ' } else { c }
    };
    text.chars().map(space).nfc().collect()
}

/// The texts whose hash may be stored for a typed password, the likeliest first: its canonical form, the text as typed
/// (passwords were once hashed unnormalised), and the text with its accents decomposed.
pub fn password_forms(typed: &Secret) -> Vec<Secret> {
    let typed = typed.expose();
    let mut forms = vec![normal(typed)];
    for other in [typed.to_owned(), typed.nfd().collect()] {
        if !forms.contains(&other) {
            forms.push(other);
        }
    }
    forms.into_iter().map(Secret::new).collect()
}

/// A password that may be set: long enough, mixed, not among the most common ones, and short enough for bcrypt.
#[derive(Debug, Clone)]
pub struct NewPassword(Secret);

/// Why a password was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// Fewer than 8 characters.
    #[error("the password needs at least 8 characters")]
    TooShort,
    /// More than 72 bytes: bcrypt would ignore the rest, so two different passwords would match.
    #[error("the password may have at most 72 bytes (fewer characters when some are not plain letters)")]
    TooLong,
    /// No lower-case letter.
    #[error("the password needs a lower-case letter")]
    NoLowerCase,
    /// No upper-case letter.
    #[error("the password needs an upper-case letter")]
    NoUpperCase,
    /// No digit.
    #[error("the password needs a digit")]
    NoDigit,
    /// A control character, which cannot be typed.
    #[error("the password contains a control character")]
    ControlCharacter,
    /// A character that others do not see or that Unicode does not know: outside the `FreeformClass` of RFC 8264.
    #[error("the password contains an invisible or unknown character")]
    UnusableCharacter,
    /// Among the first that an attacker tries, or the person's own address.
    #[error("the password is too easy to guess")]
    TooCommon,
}

impl PasswordFault {
    /// Stable code of the fault.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooShort => "password_too_short",
            Self::TooLong => "password_too_long",
            Self::NoLowerCase => "password_needs_lower_case",
            Self::NoUpperCase => "password_needs_upper_case",
            Self::NoDigit => "password_needs_digit",
            Self::ControlCharacter => "password_control_character",
            Self::UnusableCharacter => "password_unusable_character",
            Self::TooCommon => "password_too_common",
        }
    }

    const fn msg(self) -> &'static str {
        match self {
            Self::TooShort => "Password must have at least 8 characters",
            Self::TooLong => "Password must have at most 72 bytes",
            Self::NoLowerCase => "Password must contain a lower-case letter",
            Self::NoUpperCase => "Password must contain an upper-case letter",
            Self::NoDigit => "Password must contain a digit",
            Self::ControlCharacter => "Password must not contain control characters",
            Self::UnusableCharacter => "Password must not contain invisible or unknown characters",
            Self::TooCommon => "Password is too easy to guess. Choose a longer or less common one.",
        }
    }

    /// The fault as an error of the form field `path`.
    pub const fn at(self, path: &'static str) -> FieldError {
        FieldError {
            path,
            code: self.code(),
            msg: self.msg(),
        }
    }
}

/// In lower case, one per line.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

impl NewPassword {
    /// Checks a password that is to be set. The rule is that of the existing shop (8 characters, lower, upper, digit), for
    /// its normal form, and that of `OpaqueString` for its characters; white space counts.
    ///
    /// # Errors
    /// The first [`PasswordFault`] found.
    pub fn parse(text: &str, owner: Option<&Email>) -> Result<Self, PasswordFault> {
        let text = normal(text);
        let text = text.as_str();
        let fault = if text.chars().count() < 8 {
            PasswordFault::TooShort
        } else if text.len() > MAX_PASSWORD_BYTES {
            PasswordFault::TooLong
        } else if text.chars().any(char::is_control) {
            PasswordFault::ControlCharacter
        } else if !is_free_form(text) {
            PasswordFault::UnusableCharacter
        } else if !text.chars().any(char::is_lowercase) {
            PasswordFault::NoLowerCase
        } else if !text.chars().any(char::is_uppercase) {
            PasswordFault::NoUpperCase
        } else if !text.chars().any(|c| c.is_ascii_digit()) {
            PasswordFault::NoDigit
        } else if is_common(text) || owner.is_some_and(|email| is_own(text, email)) {
            PasswordFault::TooCommon
        } else {
            return Ok(Self(Secret::new(text)));
        };
        Err(fault)
    }

    /// The password, for hashing.
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

/// True if the list has the text, as it is or without trailing symbols.
fn is_common(text: &str) -> bool {
    let lower = text.to_lowercase();
    COMMON.contains(lower.as_str()) || COMMON.contains(lower.trim_end_matches(|c: char| c.is_ascii_punctuation()))
}

fn is_own(text: &str, email: &Email) -> bool {
    let lower = text.to_lowercase();
    lower == email.as_str() || lower == email.local_part()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn password_faults_name_the_missing_class() {
        let fault = |text: &str| NewPassword::parse(text, None).err();
        assert_eq!(fault("Ab1"), Some(PasswordFault::TooShort));
        assert_eq!(fault("ABCDEFG1"), Some(PasswordFault::NoLowerCase));
        assert_eq!(fault("abcdefg1"), Some(PasswordFault::NoUpperCase));
        assert_eq!(fault("Abcdefgh"), Some(PasswordFault::NoDigit));
        assert_eq!(fault("Tricky\u{7}Bell1"), Some(PasswordFault::ControlCharacter));
        // Of what a keyboard or a copied text brings in without anybody seeing it. What was set before is still right.
        for unseen in [
            "\u{200b}",
            "\u{feff}",
            "\u{ad}",
            "\u{2764}\u{fe0f}",
            "\u{e000}",
            "\u{378}",
        ] {
            let text = format!("Correct7{unseen}Horse");
            assert_eq!(fault(&text), Some(PasswordFault::UnusableCharacter), "{unseen:?}");
            assert!(password_forms(&Secret::new(&text)).contains(&Secret::new(&text)));
        }
        assert_eq!(fault("Correct7Horse"), None);
        assert_eq!(fault("Correct7Horse\u{1f984}"), None);
        assert_eq!(fault("  Spaces 7 count  "), None);
    }

    #[test]
    fn password_form_is_independent_of_the_device() {
        for (one, other) in [
            ("Z\u{fc}rich-2027", "Zu\u{308}rich-2027"),
            ("Vi\u{1ec7}t-Nam-1", "Vie\u{323}\u{302}t-Nam-1"),
            ("Pass\u{a0}word 7x", "Pass word 7x"),
            (
                "\u{d55c}\u{ae00}Key-77",
                "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}Key-77",
            ),
        ] {
            let set = |text: &str| NewPassword::parse(text, None).unwrap();
            assert_eq!(set(one).secret(), set(other).secret(), "{one}");
            assert_eq!(
                password_forms(&Secret::new(one))[0],
                password_forms(&Secret::new(other))[0]
            );
        }
        // Case and width are significant, and the text as typed comes second.
        assert_ne!(normal("\u{ff21}"), "A");
        let forms = password_forms(&Secret::new("u\u{308}"));
        assert_eq!(forms, [Secret::new("\u{fc}"), Secret::new("u\u{308}")]);
        assert_eq!(password_forms(&Secret::new("Correct7Horse")).len(), 1);
    }

    #[test]
    fn common_passwords_are_rejected_in_any_case_and_with_suffix_symbols() {
        for text in ["Password1", "PASSWORd123", "Password123!!", "Qwerty123", "Iloveyou1"] {
            assert_eq!(
                NewPassword::parse(text, None).err(),
                Some(PasswordFault::TooCommon),
                "{text}"
            );
        }
        assert!(
            COMMON.len() > 300
                && COMMON
                    .iter()
                    .all(|word| word.chars().count() >= 8 && *word == word.to_lowercase())
        );
    }

    #[test]
    fn own_address_is_rejected_as_password() {
        let email = Email::parse("adalovelace1@example.com").unwrap();
        for text in ["Adalovelace1@example.com", "AdaLovelace1"] {
            assert_eq!(
                NewPassword::parse(text, Some(&email)).err(),
                Some(PasswordFault::TooCommon)
            );
        }
    }

    #[test]
    fn seventy_two_bytes_pass_and_seventy_three_do_not() {
        let text = format!("Ab1{}", "x".repeat(69));
        assert!(NewPassword::parse(&text, None).is_ok());
        assert_eq!(
            NewPassword::parse(&format!("{text}x"), None).err(),
            Some(PasswordFault::TooLong)
        );
        // Bytes, not characters.
        assert_eq!(
            NewPassword::parse(&format!("Ab1{}", "é".repeat(35)), None).err(),
            Some(PasswordFault::TooLong)
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _password = NewPassword::parse(&text, None);
        }
    }
}
