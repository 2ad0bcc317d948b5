//! Promo codes as staff see them.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::catalogue::iso_millis;
use crate::money::Money;
use crate::purchase::iso_millis_or_none;

/// A percentage above 0 and at most 100 with at most two decimals; a number in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(Decimal);

/// A text is no [`Percent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a number above 0 and at most 100, with at most two decimals")]
pub struct NotAPercentage;

impl Percent {
    /// A percentage; `None` if it is out of range or has more decimals.
    pub fn new(percent: Decimal) -> Option<Self> {
        let percent = percent.normalize();
        (percent.scale() <= 2 && percent > Decimal::ZERO && percent <= Decimal::ONE_HUNDRED).then_some(Self(percent))
    }

    /// As a decimal.
    pub const fn decimal(self) -> Decimal {
        self.0
    }
}

impl FromStr for Percent {
    type Err = NotAPercentage;

    fn from_str(text: &str) -> Result<Self, NotAPercentage> {
        text.parse().ok().and_then(Self::new).ok_or(NotAPercentage)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

/// A promo code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromoCodeRow {
    /// Identifier.
    pub id: Uuid,
    /// The code.
    pub code: String,
    /// Percent of the subtotal.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub discount: Percent,
    /// Maximum number of orders that may use it; `null` for no limit.
    pub max_uses: Option<i32>,
    /// Orders that used it, without those of which all money went back.
    pub used_count: i32,
    /// Start of its validity.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub valid_from: DateTime<Utc>,
    /// End of its validity; `null` for no end.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub valid_until: Option<DateTime<Utc>>,
    /// Whether it is switched on.
    pub active: bool,
    /// When it was created.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// Figures about all promo codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromoCodeStatistics {
    /// Number of codes.
    pub total_codes: u64,
    /// Those that an order can use now.
    pub active_codes: u64,
    /// Those whose validity has ended.
    pub expired_codes: u64,
    /// Orders that used a code.
    pub total_uses: u64,
    /// Sum of their discounts, EUR.
    pub total_discount_given: Money,
    /// The code that was used most; `null` if none was used.
    pub most_used_code: Option<MostUsed>,
}

/// The promo code that was used most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MostUsed {
    /// The code.
    pub code: String,
    /// Number of orders.
    pub uses: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_exact_and_bounded() {
        for (text, json) in [("0.01", "0.01"), ("12.50", "12.5"), ("100", "100"), ("10", "10")] {
            let percent: Percent = text.parse().unwrap();
            assert_eq!(serde_json::to_string(&percent).unwrap(), json);
        }
        for wrong in ["0", "-1", "100.01", "0.001", "1e-3", "x", ""] {
            assert_eq!(wrong.parse::<Percent>(), Err(NotAPercentage), "{wrong}");
        }
    }
}
