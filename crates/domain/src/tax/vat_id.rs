//! VAT identification numbers of the member states. Only their form is checked; VIES knows which exist.

use std::fmt;

use super::country::Country;

/// The forms by country, without the prefix: `9` is a digit, `?` a letter, `*` either, `+` also `+` and `*`; anything else is itself.
const FORMS: &[(&str, &[&str])] = &[
    ("AT", &["U99999999"]),
    ("BE", &["0999999999", "1999999999"]),
    ("BG", &["999999999", "9999999999"]),
    ("CY", &["99999999?"]),
    ("CZ", &["99999999", "999999999", "9999999999"]),
    ("DE", &["999999999"]),
    ("DK", &["99999999"]),
    ("EE", &["999999999"]),
    ("ES", &["?99999999", "99999999?", "?9999999?"]),
    ("FI", &["99999999"]),
    ("FR", &["**999999999"]),
    ("GR", &["999999999"]),
    ("HR", &["99999999999"]),
    ("HU", &["99999999"]),
    ("IE", &["9999999?", "9999999??", "9+99999?"]),
    ("IT", &["99999999999"]),
    ("LT", &["999999999", "999999999999"]),
    ("LU", &["99999999"]),
    ("LV", &["99999999999"]),
    ("MT", &["99999999"]),
    ("NL", &["++++++++++99"]),
    ("PL", &["9999999999"]),
    ("PT", &["999999999"]),
    (
        "RO",
        &[
            "99",
            "999",
            "9999",
            "99999",
            "999999",
            "9999999",
            "99999999",
            "999999999",
            "9999999999",
        ],
    ),
    ("SE", &["999999999999"]),
    ("SI", &["99999999"]),
    ("SK", &["9999999999"]),
];

/// A VAT id in the form of its country: the prefix, then its number, without blanks.
#[derive(Clone, PartialEq, Eq)]
pub struct VatId {
    text: String,
    country: Country,
}

/// Why a text is no VAT id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VatIdFault {
    /// It does not begin with a member state.
    #[error("A VAT ID begins with the letters of an EU country, such as DE")]
    Country,
    /// It does not have the form of its country.
    #[error("This is not how VAT IDs of this country look")]
    Form,
}

impl VatId {
    /// Reads a VAT id; blanks, dots and hyphens do not count.
    ///
    /// # Errors
    /// [`VatIdFault`].
    pub fn new(text: &str) -> Result<Self, VatIdFault> {
        let text: String = text
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, '.' | '-'))
            .take(20)
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let (prefix, number) = text.split_at_checked(2).ok_or(VatIdFault::Country)?;
        let country = Country::new(prefix)
            .filter(|country| country.vat_prefix() == prefix)
            .ok_or(VatIdFault::Country)?;
        let (_, forms) = FORMS
            .iter()
            .find(|(code, _)| *code == country.as_str())
            .ok_or(VatIdFault::Country)?;
        if !forms.iter().any(|form| fits(form, number)) {
            return Err(VatIdFault::Form);
        }
        Ok(Self { text, country })
    }

    /// The whole id, with its prefix.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The number without the prefix.
    pub fn number(&self) -> &str {
        self.text.get(2..).unwrap_or_default()
    }

    /// The member state that gave it.
    pub fn country(&self) -> Country {
        self.country
    }
}

impl fmt::Display for VatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for VatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VatId({}…)", self.country)
    }
}

fn fits(form: &str, number: &str) -> bool {
    form.len() == number.len()
        && form
            .bytes()
            .zip(number.bytes())
            .all(|(expected, found)| match expected {
                b'9' => found.is_ascii_digit(),
                b'?' => found.is_ascii_uppercase(),
                b'*' => found.is_ascii_uppercase() || found.is_ascii_digit(),
                b'+' => found.is_ascii_uppercase() || found.is_ascii_digit() || matches!(found, b'+' | b'*'),
                other => found == other,
            })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::country::MEMBER_STATES;
    use super::*;

    #[test]
    fn each_country_has_its_form() {
        for id in [
            "ATU12345678",
            "BE0123456789",
            "BG123456789",
            "CY12345678X",
            "CZ12345678",
            "DE123456789",
            "DK12345678",
            "EE123456789",
            "EL123456789",
            "ESX1234567X",
            "ESX12345678",
            "ES12345678X",
            "FI12345678",
            "FRXX123456789",
            "FR12123456789",
            "HR12345678901",
            "HU12345678",
            "IE1234567WA",
            "IE1S12345L",
            "IE1*12345L",
            "IT12345678901",
            "LT123456789",
            "LT123456789012",
            "LU12345678",
            "LV12345678901",
            "MT12345678",
            "NL123456789B12",
            "PL1234567890",
            "PT123456789",
            "RO12",
            "RO1234567890",
            "SE123456789012",
            "SI12345678",
            "SK1234567890",
        ] {
            assert_eq!(VatId::new(id).map(|id| id.to_string()), Ok(id.to_owned()), "{id}");
        }
        let covered: Vec<&str> = FORMS.iter().map(|(code, _)| *code).collect();
        assert_eq!(covered, MEMBER_STATES);
        let greek = VatId::new("el 123.456-789").unwrap();
        assert_eq!(
            (greek.as_str(), greek.number(), greek.country().as_str()),
            ("EL123456789", "123456789", "GR")
        );
    }

    #[test]
    fn other_texts_are_none() {
        for (text, fault) in [
            ("", VatIdFault::Country),
            ("D", VatIdFault::Country),
            ("123456789", VatIdFault::Country),
            ("GB123456789", VatIdFault::Country),
            ("GR123456789", VatIdFault::Country),
            ("CHE123456789", VatIdFault::Country),
            ("DE12345678", VatIdFault::Form),
            ("DE1234567890", VatIdFault::Form),
            ("DE12345678X", VatIdFault::Form),
            ("ATX12345678", VatIdFault::Form),
            ("ES123456789", VatIdFault::Form),
            ("RO1", VatIdFault::Form),
            ("BE2123456789", VatIdFault::Form),
            ("DE", VatIdFault::Form),
        ] {
            assert_eq!(VatId::new(text).unwrap_err(), fault, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,30}") {
            if let Ok(id) = VatId::new(&text) {
                prop_assert!(id.as_str().is_ascii() && (4..=14).contains(&id.as_str().len()));
            }
        }
    }
}
