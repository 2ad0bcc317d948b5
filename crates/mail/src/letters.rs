//! What the letters say, in text and in HTML. The templates are checked when Lockstep is built.

use askama::Template;
use lockstep_domain::letter::Letter;

/// Whose paper the letters are written on.
#[derive(Debug, Clone)]
pub struct Letterhead {
    /// Name of the shop.
    pub shop: String,
    /// Where shoppers reach it, without a slash at the end.
    pub public_url: String,
}

/// A letter in words. It has no `Debug` on purpose: that would show codes.
pub struct Written {
    /// One line.
    pub subject: String,
    /// For programs that show text.
    pub text: String,
    /// For programs that show HTML.
    pub html: String,
}

#[derive(Template)]
#[template(path = "letter.txt", escape = "none")]
struct Text<'a> {
    head: &'a Letterhead,
    letter: &'a Letter,
}

#[derive(Template)]
#[template(path = "letter.html")]
struct Html<'a> {
    head: &'a Letterhead,
    subject: &'a str,
    letter: &'a Letter,
}

/// How somebody is greeted whose name cannot be used.
const SOMEBODY: &str = "there";

/// Whether a mail program might make a link of a name.
fn leads_somewhere(name: &str) -> bool {
    name.contains('@')
        || name.contains("//")
        || name.contains(r"\\")
        || name.split_whitespace().any(|word| {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            word.rsplit_once('.')
                .is_some_and(|(_, end)| end.chars().nth(1).is_some())
        })
}

/// The letter with a name that leads nowhere: anybody can register anybody's address, and what they call themselves then is
/// read by somebody else.
fn greeting_only(letter: &Letter) -> Letter {
    let mut letter = letter.clone();
    let (Letter::Welcome { nickname, .. }
    | Letter::Verification { nickname, .. }
    | Letter::Reset { nickname, .. }
    | Letter::OrderReceived { nickname, .. }
    | Letter::TopUp { nickname, .. }
    | Letter::PasswordChanged { nickname, .. }
    | Letter::NewDevice { nickname, .. }
    | Letter::KeysReady { nickname, .. }
    | Letter::BackInStock { nickname, .. }
    | Letter::SecondFactorAdded { nickname }
    | Letter::SecondFactorRemoved { nickname }
    | Letter::SecondFactorReset { nickname }
    | Letter::AccountDeleted { nickname }
    | Letter::Refund { nickname, .. }) = &mut letter;
    if leads_somewhere(nickname) {
        SOMEBODY.clone_into(nickname);
    }
    letter
}

/// Puts a letter into words.
///
/// # Errors
/// Only when memory ends: the templates were checked.
pub fn write(letter: &Letter, head: &Letterhead) -> Result<Written, askama::Error> {
    let letter = &greeting_only(letter);
    let subject = match letter {
        Letter::Welcome { .. } => format!("Welcome to {}", head.shop),
        Letter::Verification { .. } => format!("Your verification code for {}", head.shop),
        Letter::Reset { .. } => format!("Set a new password for {}", head.shop),
        Letter::OrderReceived { .. } => format!("Your order at {}", head.shop),
        Letter::TopUp { amount, .. } => format!("{amount} EUR were added to your balance at {}", head.shop),
        Letter::PasswordChanged { .. } => format!("Your password for {} was changed", head.shop),
        Letter::NewDevice { .. } => format!("New log-in to {}", head.shop),
        Letter::KeysReady { copies, .. } if copies.len() == 1 => format!("Your key from {}", head.shop),
        Letter::KeysReady { .. } => format!("Your keys from {}", head.shop),
        Letter::SecondFactorAdded { .. } => {
            format!("Two-factor authentication is on for your account at {}", head.shop)
        }
        Letter::SecondFactorRemoved { .. } | Letter::SecondFactorReset { .. } => {
            format!("Two-factor authentication is off for your account at {}", head.shop)
        }
        Letter::AccountDeleted { .. } => format!("Your account at {} is deleted", head.shop),
        // Whoever names games may not name headers.
        Letter::BackInStock { title, .. } => format!("{} is back", title.replace(char::is_control, " ")),
        Letter::Refund { amount, .. } => format!("{amount} EUR went back to your balance at {}", head.shop),
    };
    Ok(Written {
        text: Text { head, letter }.render()?,
        html: Html {
            head,
            subject: &subject,
            letter,
        }
        .render()?,
        subject,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_domain::letter::{DeliveredCopy, OrderedLine, RefundedCopy};
    use lockstep_domain::order::RefundReason;
    use lockstep_domain::secret::Secret;

    fn head() -> Letterhead {
        Letterhead {
            shop: "Lockstep".into(),
            public_url: "https://shop.example".into(),
        }
    }

    fn one_of_each(nickname: &str) -> Vec<(Letter, Vec<&'static str>)> {
        let nickname = nickname.to_owned();
        let code = Secret::new("123456");
        vec![
            (
                Letter::Welcome {
                    nickname: nickname.clone(),
                    code: code.clone(),
                    minutes: 60,
                },
                vec!["123456", "60 minutes", "https://shop.example/verify-email?code=123456"],
            ),
            (
                Letter::Verification {
                    nickname: nickname.clone(),
                    code,
                    minutes: 60,
                },
                vec!["123456", "60 minutes", "https://shop.example/verify-email?code=123456"],
            ),
            (
                Letter::Reset {
                    nickname: nickname.clone(),
                    token: Secret::new("abc123"),
                    minutes: 30,
                },
                vec!["https://shop.example/reset-password?token=abc123", "30 minutes"],
            ),
            (
                Letter::OrderReceived {
                    nickname: nickname.clone(),
                    order: "0197".into(),
                    total: "30.25".parse().unwrap(),
                    lines: vec![OrderedLine {
                        title: "Half-Life".into(),
                        quantity: 3,
                    }],
                },
                vec!["30.25", "3", "Half-Life", "https://shop.example/orders/0197"],
            ),
            (
                Letter::TopUp {
                    nickname: nickname.clone(),
                    amount: "25".parse().unwrap(),
                    balance: "31.50".parse().unwrap(),
                },
                vec!["25.00", "31.50"],
            ),
            (
                Letter::PasswordChanged {
                    nickname: nickname.clone(),
                },
                vec!["was changed"],
            ),
            (
                Letter::SecondFactorAdded {
                    nickname: nickname.clone(),
                },
                vec!["recovery codes", "https://shop.example/forgot-password"],
            ),
            (
                Letter::SecondFactorRemoved {
                    nickname: nickname.clone(),
                },
                vec!["no longer asks for a code", "https://shop.example/forgot-password"],
            ),
            (
                Letter::SecondFactorReset {
                    nickname: nickname.clone(),
                },
                vec![
                    "removed the authenticator app",
                    "https://shop.example/account/second-factor",
                ],
            ),
            (
                Letter::AccountDeleted {
                    nickname: nickname.clone(),
                },
                vec!["is deleted"],
            ),
            (
                Letter::NewDevice {
                    nickname: nickname.clone(),
                    address: Some("203.0.113.7".into()),
                    user_agent: Some("Browser 1.0".into()),
                },
                vec!["203.0.113.7", "Browser 1.0"],
            ),
            (
                Letter::KeysReady {
                    nickname: nickname.clone(),
                    order: "0198".into(),
                    copies: vec![
                        DeliveredCopy {
                            title: "Portal".into(),
                            key: None,
                        },
                        DeliveredCopy {
                            title: "Myst".into(),
                            key: Some(Secret::new("AAAA-BBBB")),
                        },
                    ],
                },
                vec!["https://shop.example/orders/0198", "Portal", "Myst", "AAAA-BBBB"],
            ),
            (
                Letter::BackInStock {
                    nickname: nickname.clone(),
                    title: "Portal".into(),
                    slug: "portal-steam".into(),
                    price: "9.99".parse().unwrap(),
                },
                vec!["Portal", "9.99", "https://shop.example/game/portal-steam"],
            ),
            (
                Letter::Refund {
                    nickname,
                    order: "0198".into(),
                    amount: "12.30".parse().unwrap(),
                    copies: vec![RefundedCopy {
                        title: "Portal".into(),
                        reason: Some(RefundReason::SoldOut),
                    }],
                },
                vec![
                    "12.30",
                    "Portal: sold out before it could be bought",
                    "https://shop.example/orders/0198",
                ],
            ),
        ]
    }

    #[test]
    fn every_letter_says_what_it_has_to_in_both_forms() {
        for (letter, says) in one_of_each("Ada") {
            let written = write(&letter, &head()).unwrap();
            assert!(!written.subject.is_empty() && !written.subject.contains('\n'));
            for form in [&written.text, &written.html] {
                for what in says.iter().chain(&["Ada", "https://shop.example"]) {
                    assert!(form.contains(what), "{what:?} is missing in {form}");
                }
                assert!(!form.contains("{{") && !form.contains("{%"));
            }
        }
    }

    #[test]
    fn a_name_cannot_write_html() {
        for (letter, _) in one_of_each("<b>Ada</b>") {
            let written = write(&letter, &head()).unwrap();
            assert!(!written.html.contains("<b>") && written.text.contains("<b>Ada</b>"));
        }
    }

    #[test]
    fn a_name_leads_nobody_anywhere() {
        for name in [
            "win 50 EUR at evil.example",
            "https://evil.example/a",
            "www.evil.example.",
            "a@evil.example",
        ] {
            for (letter, _) in one_of_each(name) {
                let written = write(&letter, &head()).unwrap();
                assert!(
                    !written.html.contains("evil") && !written.text.contains("evil"),
                    "{}",
                    written.text
                );
                assert!(written.text.contains("Hello there,"));
            }
        }
        for name in ["Ada", "J.R.R. T.", "St. John", "Ada (42)", "..", "Zoë"] {
            let (letter, _) = one_of_each(name).remove(0);
            assert!(
                write(&letter, &head())
                    .unwrap()
                    .text
                    .contains(&format!("Hello {name},")),
                "{name}"
            );
        }
    }

    #[test]
    fn a_device_that_says_nothing_is_described_as_unknown() {
        let letter = Letter::NewDevice {
            nickname: "Ada".into(),
            address: None,
            user_agent: None,
        };
        assert!(write(&letter, &head()).unwrap().text.contains("unknown"));
    }
}
