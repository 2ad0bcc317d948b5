//! What people send about themselves, checked field by field; all that is wrong is told at once.

use super::{Email, FieldError, NewPassword, NotAnEmail};
use crate::secret::Secret;

/// No control characters, and none that turn the direction of the text around them.
fn is_printable(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'))
}

/// A nickname: 2 to 50 characters. Empty means none was chosen.
fn nickname(text: &str) -> Result<Option<String>, FieldError> {
    let text = text.trim();
    let fault = |code, msg| {
        Err(FieldError {
            path: "nickname",
            code,
            msg,
        })
    };
    if text.is_empty() {
        return Ok(None);
    }
    if !(2..=50).contains(&text.chars().count()) {
        return fault("nickname_length", "Nickname must have 2 to 50 characters");
    }
    if !is_printable(text) {
        return fault("nickname_characters", "Nickname must not contain control characters");
    }
    Ok(Some(text.to_owned()))
}

/// A first or last name: up to 100 characters. Empty means none.
fn name(path: &'static str, text: &str) -> Result<Option<String>, FieldError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text.chars().count() > 100 || !is_printable(text) {
        return Err(FieldError {
            path,
            code: "name_invalid",
            msg: "A name may have at most 100 characters, none of them a control character",
        });
    }
    Ok(Some(text.to_owned()))
}

/// Longest address of a picture, in bytes.
const MAX_AVATAR: usize = 500;

/// The address of a person's picture: https, and nothing in it that could end an attribute of a page. Empty means none.
fn avatar(text: &str) -> Result<Option<String>, FieldError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let host = text
        .strip_prefix("https://")
        .map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let harmless = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'\\' | b'`');
    let is_host = host.is_some_and(|host| !host.is_empty() && !host.contains('@'));
    if !is_host || text.len() > MAX_AVATAR || !text.bytes().all(harmless) {
        return Err(FieldError {
            path: "avatar",
            code: "avatar_invalid",
            msg: "The picture has to be an address that begins with https:// and has at most 500 characters",
        });
    }
    Ok(Some(text.to_owned()))
}

/// A registration that may be carried out.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Normalised address.
    pub email: Email,
    /// The password as typed.
    pub password: NewPassword,
    /// `None`: [`DEFAULT_NICKNAME`](super::DEFAULT_NICKNAME).
    pub nickname: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
}

impl Registration {
    /// Checks every field and reports all that are wrong.
    ///
    /// # Errors
    /// One [`FieldError`] for each field that is wrong.
    pub fn check(
        email: &str,
        password: &str,
        nickname: Option<&str>,
        first_name: Option<&str>,
        last_name: Option<&str>,
    ) -> Result<Self, Vec<FieldError>> {
        let email = Email::parse(email).map_err(|NotAnEmail| EMAIL_INVALID);
        let password = NewPassword::parse(password, email.as_ref().ok()).map_err(|fault| fault.at("password"));
        let nickname = self::nickname(nickname.unwrap_or_default());
        let first_name = name("firstName", first_name.unwrap_or_default());
        let last_name = name("lastName", last_name.unwrap_or_default());
        match (email, password, nickname, first_name, last_name) {
            (Ok(email), Ok(password), Ok(nickname), Ok(first_name), Ok(last_name)) => Ok(Self {
                email,
                password,
                nickname,
                first_name,
                last_name,
            }),
            (email, password, nickname, first_name, last_name) => Err([
                email.err(),
                password.err(),
                nickname.err(),
                first_name.err(),
                last_name.err(),
            ]
            .into_iter()
            .flatten()
            .collect()),
        }
    }
}

/// The refusal of an address.
pub const EMAIL_INVALID: FieldError = FieldError {
    path: "email",
    code: "email_invalid",
    msg: "A valid e-mail address is needed",
};

/// What somebody wants to log in with. The password is only looked at by bcrypt: rules apply where passwords are set.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The address as an account has it.
    pub email: Email,
    /// As typed.
    pub password: Secret,
    /// Six digits of the second factor or a recovery code, if given.
    pub code: Option<Secret>,
}

impl Credentials {
    /// Checks that there is an address and a password.
    ///
    /// # Errors
    /// One [`FieldError`] for each field that is wrong.
    pub fn check(email: &str, password: &str, code: Option<&str>) -> Result<Self, Vec<FieldError>> {
        let email = Email::of_existing_account(email).map_err(|NotAnEmail| EMAIL_INVALID);
        let empty = password.is_empty().then_some(FieldError {
            path: "password",
            code: "password_missing",
            msg: "A password is needed",
        });
        match (email, empty) {
            (Ok(email), None) => Ok(Self {
                email,
                password: Secret::new(password),
                code: code.map(str::trim).filter(|code| !code.is_empty()).map(Secret::new),
            }),
            (email, empty) => Err(email.err().into_iter().chain(empty).collect()),
        }
    }
}

/// A change of one's own profile. Outer `None`: leave it; inner `None`: empty it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// New nickname; emptied it becomes [`DEFAULT_NICKNAME`](super::DEFAULT_NICKNAME).
    pub nickname: Option<Option<String>>,
    /// New first name.
    pub first_name: Option<Option<String>>,
    /// New last name.
    pub last_name: Option<Option<String>>,
    /// New address of a picture.
    pub avatar: Option<Option<String>>,
}

impl ProfileChange {
    /// Checks the fields that are given; an empty text empties the field.
    ///
    /// # Errors
    /// One [`FieldError`] for each field that is wrong.
    pub fn check(
        nickname: Option<&str>,
        first_name: Option<&str>,
        last_name: Option<&str>,
        avatar: Option<&str>,
    ) -> Result<Self, Vec<FieldError>> {
        let nickname = nickname.map(self::nickname).transpose();
        let first_name = first_name.map(|text| name("firstName", text)).transpose();
        let last_name = last_name.map(|text| name("lastName", text)).transpose();
        let avatar = avatar.map(self::avatar).transpose();
        match (nickname, first_name, last_name, avatar) {
            (Ok(nickname), Ok(first_name), Ok(last_name), Ok(avatar)) => Ok(Self {
                nickname,
                first_name,
                last_name,
                avatar,
            }),
            (nickname, first_name, last_name, avatar) => {
                let errors = [nickname.err(), first_name.err(), last_name.err(), avatar.err()];
                Err(errors.into_iter().flatten().collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_wrong_field_of_a_registration_is_named_at_once() {
        let faults =
            Registration::check("nobody", "short", Some("x"), Some("a\u{1}"), Some(&"y".repeat(101))).unwrap_err();
        let paths: Vec<_> = faults.iter().map(|fault| fault.path).collect();
        assert_eq!(paths, ["email", "password", "nickname", "firstName", "lastName"]);
        let fine = Registration::check("ada@example.com", "Correct7Horse", Some("  "), None, Some("Žižek")).unwrap();
        assert_eq!(
            (fine.nickname, fine.first_name, fine.last_name),
            (None, None, Some("Žižek".into()))
        );
    }

    #[test]
    fn names_cannot_turn_the_text_around_them() {
        assert!(nickname("good\u{202e}dab").is_err());
        assert_eq!(nickname("Ёжик 🦔").unwrap().as_deref(), Some("Ёжик 🦔"));
        assert!(nickname(&"n".repeat(51)).is_err() && nickname(&"n".repeat(50)).is_ok());
    }

    #[test]
    fn logging_in_asks_only_that_the_password_is_not_empty() {
        assert!(Credentials::check("ada@example.com", "short", None).is_ok());
        let faults = Credentials::check("", "", None).unwrap_err();
        assert_eq!(faults.len(), 2);
    }

    #[test]
    fn a_change_tells_leaving_from_emptying() {
        let change = ProfileChange::check(None, Some(""), Some(" Lovelace "), None).unwrap();
        assert_eq!(
            change,
            ProfileChange {
                nickname: None,
                first_name: Some(None),
                last_name: Some(Some("Lovelace".into())),
                avatar: None,
            }
        );
    }

    #[test]
    fn a_picture_is_an_https_address() {
        let set = |text: &str| ProfileChange::check(None, None, None, Some(text)).map(|change| change.avatar);
        let fine = "https://pictures.example/ada.png?size=80";
        assert_eq!(set(&format!(" {fine} ")), Ok(Some(Some(fine.to_owned()))));
        assert_eq!(set(""), Ok(Some(None)), "emptied");
        for wrong in [
            "http://pictures.example/ada.png",
            "//pictures.example/ada.png",
            "https://",
            "https:///ada.png",
            "https://me:secret@pictures.example/",
            "javascript:alert(1)",
            "data:image/png;base64,AAAA",
            "https://pictures.example/a b.png",
            "https://pictures.example/\"onerror=x",
            "https://pictures.example/é.png",
        ] {
            assert_eq!(set(wrong).unwrap_err()[0].path, "avatar", "{wrong}");
        }
        assert!(set(&format!("https://a.example/{}", "x".repeat(500))).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _nickname = nickname(&text);
        }
    }
}
