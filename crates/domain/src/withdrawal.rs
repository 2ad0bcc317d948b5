//! A declaration of withdrawal from a contract: what its form asks, and what is refused.

use crate::account::{Email, FieldError};

/// Most characters of a name.
const NAME: usize = 100;
/// Most characters of an order number, as people write it.
const ORDER_NUMBER: usize = 60;

/// A checked declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithdrawalForm {
    /// Name, one line.
    pub name: String,
    /// Order number as it was written, one line.
    pub order_number: String,
    /// The address for the answer.
    pub contact: Email,
}

impl WithdrawalForm {
    /// Checks the three fields. The acknowledgement repeats them to an address that anybody can enter, so they cannot carry
    /// a link.
    ///
    /// # Errors
    /// Each field that is missing, too long, or holds what it cannot.
    pub fn check(name: &str, order_number: &str, contact: &str) -> Result<Self, Vec<FieldError>> {
        let mut faults = Vec::new();
        let mut line =
            |path: &'static str, text: &str, most: usize, codes: [&'static str; 2], messages: [&'static str; 2]| {
                let text = text.trim().to_owned();
                let length = text.chars().count();
                let fault = if length == 0 || length > most {
                    Some((codes[0], messages[0]))
                } else if text.chars().any(char::is_control) || is_link(&text) {
                    Some((codes[1], messages[1]))
                } else {
                    None
                };
                faults.extend(fault.map(|(code, msg)| FieldError { path, code, msg }));
                text
            };
        let name = line(
            "name",
            name,
            NAME,
            ["name_length", "name_characters"],
            [
                "Enter your name, at most 100 characters.",
                "Enter your name without links.",
            ],
        );
        let order_number = line(
            "orderNumber",
            order_number,
            ORDER_NUMBER,
            ["order_number_length", "order_number_characters"],
            [
                "Enter the order number, at most 60 characters.",
                "Enter the order number without links.",
            ],
        );
        let contact = Email::parse(contact).map_err(|_| {
            faults.push(FieldError {
                path: "contact",
                code: "email_invalid",
                msg: "Enter a valid e-mail address.",
            });
        });
        match contact {
            Ok(contact) if faults.is_empty() => Ok(Self {
                name,
                order_number,
                contact,
            }),
            _ => Err(faults),
        }
    }
}

/// Whether mail programs might show a text as a link.
fn is_link(text: &str) -> bool {
    text.contains('@')
        || text.contains("//")
        || text.contains('\\')
        || text.split_whitespace().any(|word| {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            word.rsplit_once('.').is_some_and(|(before, end)| {
                !before.is_empty() && end.chars().filter(|c| c.is_alphabetic()).count() >= 2
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_needs_a_name_an_order_and_an_address() {
        let form = WithdrawalForm::check(" Ada Lovelace ", "7ZK3-M0Q9-XA", "Ada@Example.org").unwrap();
        assert_eq!(
            (form.name.as_str(), form.order_number.as_str()),
            ("Ada Lovelace", "7ZK3-M0Q9-XA")
        );
        let codes = |name: &str, number: &str, contact: &str| -> Vec<&str> {
            let faults = WithdrawalForm::check(name, number, contact).unwrap_err();
            faults.into_iter().map(|fault| fault.code).collect()
        };
        assert_eq!(
            codes("", " ", "x"),
            ["name_length", "order_number_length", "email_invalid"]
        );
        assert_eq!(codes(&"x".repeat(101), "1", "a@b.example"), ["name_length"]);
        assert_eq!(codes("Ada", "a\nb", "a@b.example"), ["order_number_characters"]);
        for link in ["win.example now", "http://x", "a@b.example", "see www.win.example/1"] {
            assert_eq!(codes(link, "1", "a@b.example"), ["name_characters"], "{link}");
        }
        // Initials are no link.
        assert!(WithdrawalForm::check("A. Lovelace-King Jr.", "1", "a@b.example").is_ok());
    }
}
