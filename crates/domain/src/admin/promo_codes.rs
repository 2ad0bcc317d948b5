//! Promo codes as staff see them.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Exact, Paging};
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

/// What a promo code is worth beyond a percentage, and for whom and what it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromoTerms {
    /// EUR off, in place of a percentage; left out for a percentage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// The least subtotal of an order, EUR; left out if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_order: Option<Money>,
    /// Only for customers without an order whose money did not go back; left out if it is for all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub first_order_only: bool,
    /// Announced to everybody, so that it counts for the lowest price of 30 days; left out otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_public: bool,
    /// Most orders of one customer that may use it; left out for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_uses_per_customer: Option<i32>,
    /// The games that it holds for; left out if it does not name any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub game_ids: Vec<Uuid>,
    /// It holds for games of any of these genres; left out if it does not name any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub genre_ids: Vec<Uuid>,
    /// It holds for games of any of these platforms; left out if it does not name any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platform_ids: Vec<Uuid>,
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
    /// Percent of the subtotal of the items that it holds for; 0 with an `amount`.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub discount: Exact,
    /// Maximum number of orders that may use it; `null` for no limit.
    pub max_uses: Option<i32>,
    /// Orders that used it, without those of which all money went back.
    pub used_count: i32,
    /// Start of its validity.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub valid_from: DateTime<Utc>,
    /// End of its validity; the last moment of the year 9999 for no end, because front-ends expect a time.
    #[serde(serialize_with = "until_or_far")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub valid_until: Option<DateTime<Utc>>,
    /// Whether it is switched on.
    pub active: bool,
    /// When it was created.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// What it is worth beyond a percentage, and for whom and what it holds.
    #[serde(flatten)]
    pub terms: PromoTerms,
    /// The batch that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<Uuid>,
}

/// Figures about one promo code, or about all codes of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromoUses {
    /// Orders that used it, without those of which all money went back.
    pub uses: u64,
    /// Orders that used it and of which all money went back.
    pub returned_uses: u64,
    /// Customers who used it.
    pub customers: u64,
    /// Sum of the discounts, EUR.
    pub discount_given: Money,
    /// Sum of what these orders cost after the discount, EUR.
    pub revenue: Money,
    /// When it was used first.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub first_used_at: Option<DateTime<Utc>>,
    /// When it was used last.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A batch of codes that can be used once each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromoBatchRow {
    /// Identifier.
    pub id: Uuid,
    /// What staff call it.
    pub name: String,
    /// Number of codes.
    pub codes: u64,
    /// Codes that were used.
    pub used: u64,
    /// Codes that are switched on.
    pub active: u64,
    /// Sum of their discounts on orders, EUR.
    pub discount_given: Money,
    /// When it was created.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A page of batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromoBatchList {
    /// The batches, newest first.
    pub batches: Vec<PromoBatchRow>,
    /// Position within the list.
    #[serde(flatten)]
    pub paging: Paging,
}

/// What stands for no end: the last moment that the existing front-ends can show.
const NO_END: &str = "9999-12-31T23:59:59.999Z";

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn until_or_far<S: Serializer>(until: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match until {
        Some(until) => iso_millis::serialize(until, serializer),
        None => serializer.serialize_str(NO_END),
    }
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
