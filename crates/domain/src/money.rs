//! Money: exact euro amounts with two decimals.
//!
//! The database column is `numeric(12,2)`; in memory it is a [`Decimal`] that never has more than two decimals; in JSON
//! it is a bare number (the shop's front-end calls `.toFixed(2)` on it). No conversion uses floating point.

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The largest amount that `numeric(12,2)` holds.
const MAX_CENTS: i64 = 999_999_999_999;

/// An exact amount in euro with at most two decimals, possibly negative (a purchase is booked as a negative amount).
///
/// Magnitude never exceeds what `numeric(12,2)` holds, so a value of this type can always be stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(Decimal);

/// Why a text or number is not an amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a decimal number.
    #[error("not a decimal number")]
    NotANumber,
    /// More than two decimals: a separate error, because silent rounding would create or lose a cent.
    #[error("more than two decimals")]
    TooPrecise,
    /// Larger than `numeric(12,2)` can hold.
    #[error("amount out of range")]
    OutOfRange,
}

impl Money {
    /// Zero.
    pub const ZERO: Self = Self(Decimal::from_parts(0, 0, 0, false, 2));

    /// An amount from whole cents.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] beyond `numeric(12,2)`.
    pub fn from_cents(cents: i64) -> Result<Self, MoneyError> {
        if cents.unsigned_abs() > MAX_CENTS.unsigned_abs() {
            return Err(MoneyError::OutOfRange);
        }
        Ok(Self(Decimal::new(cents, 2)))
    }

    /// An amount from an exact decimal that already has at most two decimals (trailing zeros do not count).
    ///
    /// # Errors
    /// [`MoneyError::TooPrecise`] or [`MoneyError::OutOfRange`].
    pub fn new(amount: Decimal) -> Result<Self, MoneyError> {
        let amount = amount.normalize();
        if amount.scale() > 2 {
            return Err(MoneyError::TooPrecise);
        }
        Self::in_range(amount)
    }

    /// An amount rounded to cents, halves away from zero ("rounded half up" for the positive prices it is used on).
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn rounded(amount: Decimal) -> Result<Self, MoneyError> {
        Self::in_range(amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero))
    }

    /// The amount that a program meant which adds amounts in binary floating point, such as 0.30 for 0.30000000000000004;
    /// `None` if it is further from whole cents than such sums get.
    pub fn of_binary_sum(text: &str) -> Option<Self> {
        let written = exact_decimal(text)?;
        let amount = Self::rounded(written).ok()?;
        let noise = (written - amount.0).abs();
        // An f64 of ten billion is exact to two millionths.
        (noise < Decimal::new(1, 5)).then_some(amount)
    }

    fn in_range(mut amount: Decimal) -> Result<Self, MoneyError> {
        if amount.abs() > Decimal::new(MAX_CENTS, 2) {
            return Err(MoneyError::OutOfRange);
        }
        amount.rescale(2);
        if amount.is_zero() {
            amount.set_sign_positive(true);
        }
        Ok(Self(amount))
    }

    /// The amount as a decimal with exactly two decimals, for binding to `numeric(12,2)`.
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// The amount in whole cents.
    pub fn cents(self) -> i64 {
        // In range by construction, and the scale is always two.
        i64::try_from(self.0.mantissa()).unwrap_or(i64::MAX)
    }

    /// True for amounts above zero; prices must be positive (`docs/data-model.md`).
    pub fn is_positive(self) -> bool {
        self.0 > Decimal::ZERO
    }

    /// The sum, or `None` beyond `numeric(12,2)`.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::in_range(self.0.checked_add(other.0)?).ok()
    }

    /// The difference, or `None` beyond `numeric(12,2)`.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Self::in_range(self.0.checked_sub(other.0)?).ok()
    }

    /// A unit price times a quantity, or `None` beyond `numeric(12,2)`.
    #[must_use]
    pub fn checked_mul(self, quantity: u32) -> Option<Self> {
        Self::in_range(self.0.checked_mul(Decimal::from(quantity))?).ok()
    }
}

impl Default for Money {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "€{}", self.0)
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let looks_like_a_number = text.bytes().any(|b| b.is_ascii_digit())
            && text
                .trim()
                .bytes()
                .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
        match exact_decimal(text) {
            Some(amount) => Self::new(amount),
            None if looks_like_a_number => Err(MoneyError::OutOfRange),
            None => Err(MoneyError::NotANumber),
        }
    }
}

/// Reads a decimal exactly as written, plain or in exponent form; `None` when it is not a number or does not fit.
pub fn exact_decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    if text.contains('_') {
        return None; // the parser below would read it as a digit separator
    }
    if text.contains(['e', 'E']) {
        Decimal::from_scientific(text).ok()
    } else {
        Decimal::from_str_exact(text).ok()
    }
}

/// Serialises as a bare JSON number with two decimals (`12.30`), from the digits and not through a float.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

/// Deserialises from a JSON number or a JSON string of digits, read as text. More than two decimals is an error.
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        raw.get().trim_matches('"').parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn sums_in_binary_floating_point_are_the_cents_that_were_meant() {
        for (left, right, cents) in [
            (0.1_f64, 0.2, 30),
            (1.1, 2.2, 330),
            (-0.3, 0.1, -20),
            (9_999_999_998.99, 0.7, 999_999_999_969),
        ] {
            let sum = left + right;
            let meant = Money::from_cents(cents).unwrap();
            assert_eq!(Money::of_binary_sum(&format!("{sum}")), Some(meant), "{sum}");
        }
        for text in ["0.001", "0.30004", "1e-3", "x", "1e30", ""] {
            assert_eq!(Money::of_binary_sum(text), None, "{text}");
        }
    }

    #[test]
    fn parse_errors_are_distinct() {
        assert_eq!("1.001".parse::<Money>(), Err(MoneyError::TooPrecise));
        assert_eq!("1.000".parse::<Money>(), Ok(money("1")));
        assert_eq!("ten".parse::<Money>(), Err(MoneyError::NotANumber));
        assert_eq!("".parse::<Money>(), Err(MoneyError::NotANumber));
        assert_eq!("NaN".parse::<Money>(), Err(MoneyError::NotANumber));
        assert_eq!("1_000".parse::<Money>(), Err(MoneyError::NotANumber));
        assert_eq!("1e30".parse::<Money>(), Err(MoneyError::OutOfRange));
        assert_eq!("10000000000".parse::<Money>(), Err(MoneyError::OutOfRange));
        assert_eq!(money("9999999999.99").cents(), MAX_CENTS);
    }

    #[test]
    fn json_is_a_number_with_two_decimals() {
        assert_eq!(serde_json::to_string(&money("12.3")).unwrap(), "12.30");
        assert_eq!(serde_json::to_string(&Money::ZERO).unwrap(), "0.00");
        assert_eq!(serde_json::from_str::<Money>("4.77").unwrap(), money("4.77"));
        assert_eq!(serde_json::from_str::<Money>("5").unwrap(), money("5"));
        assert!(serde_json::from_str::<Money>("4.775").is_err());
        assert!(serde_json::from_str::<Money>("null").is_err());
    }

    #[test]
    fn there_is_no_negative_zero() {
        assert_eq!(serde_json::to_string(&money("-0.00")).unwrap(), "0.00");
    }

    proptest! {
        #[test]
        fn cents_round_trip_through_text_and_json(cents in -MAX_CENTS..=MAX_CENTS) {
            let amount = Money::from_cents(cents).unwrap();
            prop_assert_eq!(amount.cents(), cents);
            prop_assert_eq!(amount.to_string().parse::<Money>().unwrap(), amount);
            let json = serde_json::to_string(&amount).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), amount);
        }

        #[test]
        fn arithmetic_matches_that_of_cents(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000, q in 0u32..100) {
            let (x, y) = (Money::from_cents(a).unwrap(), Money::from_cents(b).unwrap());
            prop_assert_eq!(x.checked_add(y).unwrap().cents(), a + b);
            prop_assert_eq!(x.checked_sub(y).unwrap().cents(), a - b);
            prop_assert_eq!(x.checked_mul(q).unwrap().cents(), a * i64::from(q));
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            let _unused = text.parse::<Money>();
        }
    }
}
