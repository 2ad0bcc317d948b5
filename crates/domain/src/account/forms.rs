//! Account forms, validated field by field; all errors are reported at once.

use super::{Email, FieldError, NewPassword, NotAnEmail};
use crate::secret::Secret;

/// True without control characters and bidirectional overrides.
pub(crate) fn is_printable(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'))
}

/// A nickname: 2 to 50 characters. Empty means none.
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
            msg: "A name must have at most 100 characters, none of them a control character",
        });
    }
    Ok(Some(text.to_owned()))
}

/// Longest avatar URL, in bytes.
const MAX_AVATAR: usize = 500;

/// An avatar URL: https only, without characters that could end an HTML attribute. Empty means none.
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
            msg: "Enter the address of a picture: it begins with https:// and has at most 500 characters",
        });
    }
    Ok(Some(text.to_owned()))
}

/// A validated registration.
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
    /// Validates every field and reports all errors.
    ///
    /// # Errors
    /// One [`FieldError`] for each invalid field.
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

/// The error for an invalid e-mail address.
pub const EMAIL_INVALID: FieldError = FieldError {
    path: "email",
    code: "email_invalid",
    msg: "Enter a valid e-mail address",
};

/// The error for an address that an account may have, and to which no e-mail can be sent.
pub const EMAIL_UNREACHABLE: FieldError = FieldError {
    path: "email",
    code: "email_unreachable",
    msg: "No e-mail can be sent to this address; write to the shop from another one",
};

/// Credentials for a login. Password rules do not apply here, only where a password is set; bcrypt alone checks it.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account's address.
    pub email: Email,
    /// As typed.
    pub password: Secret,
    /// A six-digit two-factor code or a recovery code, if given.
    pub code: Option<Secret>,
}

impl Credentials {
    /// The same when the code was typed behind the password and a space, for front-ends without a field for it.
    pub fn with_code_of_password(&self) -> Option<Self> {
        let (password, code) = self.password.expose().rsplit_once(' ')?;
        let is_code = code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
        (self.code.is_none() && is_code && !password.is_empty()).then(|| Self {
            email: self.email.clone(),
            password: Secret::new(password),
            code: Some(Secret::new(code)),
        })
    }

    /// Validates the address and requires a password.
    ///
    /// # Errors
    /// One [`FieldError`] for each invalid field.
    pub fn check(email: &str, password: &str, code: Option<&str>) -> Result<Self, Vec<FieldError>> {
        let email = Email::of_existing_account(email).map_err(|NotAnEmail| EMAIL_INVALID);
        let empty = password.is_empty().then_some(FieldError {
            path: "password",
            code: "password_missing",
            msg: "Enter your password",
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

/// A change to the user's own profile. Outer `None`: leave unchanged; inner `None`: clear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// New nickname; when cleared, it becomes [`DEFAULT_NICKNAME`](super::DEFAULT_NICKNAME).
    pub nickname: Option<Option<String>>,
    /// New first name.
    pub first_name: Option<Option<String>>,
    /// New last name.
    pub last_name: Option<Option<String>>,
    /// New avatar URL.
    pub avatar: Option<Option<String>>,
}

impl ProfileChange {
    /// Validates the given fields; an empty text clears the field.
    ///
    /// # Errors
    /// One [`FieldError`] for each invalid field.
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
    fn registration_reports_every_invalid_field() {
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
    fn names_must_not_contain_bidirectional_controls() {
        assert!(nickname("good\u{202e}dab").is_err());
        assert_eq!(nickname("Ёжик 🦔").unwrap().as_deref(), Some("Ёжик 🦔"));
        assert!(nickname(&"n".repeat(51)).is_err() && nickname(&"n".repeat(50)).is_ok());
    }

    #[test]
    fn login_only_requires_a_nonempty_password() {
        assert!(Credentials::check("ada@example.com", "short", None).is_ok());
        let faults = Credentials::check("", "", None).unwrap_err();
        assert_eq!(faults.len(), 2);
    }

    #[test]
    fn profile_change_distinguishes_unchanged_from_cleared() {
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
    fn avatar_must_be_an_https_url() {
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
