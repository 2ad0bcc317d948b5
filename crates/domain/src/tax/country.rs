//! Countries by their ISO 3166-1 code.

use std::fmt;

use serde::{Serialize, Serializer};

/// The member states of the EU.
pub const MEMBER_STATES: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// An ISO 3166-1 code of two letters. Monaco counts as France, as it does for VAT.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The country of a code in any case; `None` for what is none, and for the codes with which proxies say "unknown".
    pub fn new(code: &str) -> Option<Self> {
        let [first, second] = *code.trim().as_bytes() else {
            return None;
        };
        let code = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
        let is_code = code.iter().all(u8::is_ascii_uppercase);
        match &code {
            // Unknown, unknown and Tor.
            b"XX" | b"ZZ" | b"T1" => None,
            b"EL" => Some(Self(*b"GR")),
            b"UK" => Some(Self(*b"GB")),
            b"MC" => Some(Self(*b"FR")),
            _ => is_code.then_some(Self(code)),
        }
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether it is a member state of the EU.
    pub fn is_member_state(&self) -> bool {
        MEMBER_STATES.contains(&self.as_str())
    }

    /// With what a VAT id of it begins.
    pub fn vat_prefix(&self) -> &str {
        if &self.0 == b"GR" { "EL" } else { self.as_str() }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_two_letters_of_a_known_country() {
        let code = |text| Country::new(text).map(|country| country.to_string());
        assert_eq!(code("de").as_deref(), Some("DE"));
        assert_eq!(code(" AT ").as_deref(), Some("AT"));
        assert_eq!(code("EL").as_deref(), Some("GR"));
        assert_eq!(code("MC").as_deref(), Some("FR"));
        for nothing in ["", "-", "D", "DEU", "D1", "T1", "XX", "zz", "ÄÖ", "é"] {
            assert_eq!(code(nothing), None, "{nothing}");
        }
        assert!(Country::new("GR").unwrap().is_member_state() && !Country::new("GB").unwrap().is_member_state());
        assert_eq!(Country::new("GR").unwrap().vat_prefix(), "EL");
    }
}
