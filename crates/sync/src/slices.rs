//! Divides a long list so that no part exceeds the last page that G2A returns.
//!
//! A slice is a filter: a range of `minPrice` in whole cents, and optionally of `updatedAt` in whole seconds, both ends
//! included. The first slice is everything; one that is too long is divided in two, by price as long as possible.

use chrono::{DateTime, Duration, SubsecRound as _, TimeZone as _, Utc};
use lockstep_g2a::ProductQuery;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The first cut of an unbounded price range, in cents: about half of a catalogue of games is cheaper.
const FIRST_CUT: i64 = 1_000;
/// Maximum price of a cut, in cents (a million euros).
const HIGHEST_CUT: i64 = 100_000_000;

/// One part of the list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// Lower end of `minPrice`, in cents; `None` is unbounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) price_from: Option<i64>,
    /// Upper end of `minPrice`, in cents; `None` is unbounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) price_to: Option<i64>,
    /// Lower end of `updatedAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) updated_from: Option<DateTime<Utc>>,
    /// Upper end of `updatedAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) updated_to: Option<DateTime<Utc>>,
}

impl Slice {
    /// The slice of everything changed at or after `from`.
    pub(crate) fn changed_since(from: DateTime<Utc>) -> Self {
        Self {
            updated_from: Some(from),
            ..Self::default()
        }
    }

    /// Returns the query for one page of it.
    pub(crate) fn query(&self, page: u32, include_out_of_stock: bool) -> ProductQuery {
        ProductQuery {
            page,
            min_price_from: self.price_from.map(|cents| Decimal::new(cents, 2)),
            min_price_to: self.price_to.map(|cents| Decimal::new(cents, 2)),
            include_out_of_stock,
            updated_at_from: self.updated_from,
            updated_at_to: self.updated_to,
            ..ProductQuery::default()
        }
    }

    /// Divides the slice in two; `None` if it cannot be divided further. A cut by time omits products without a time of
    /// change, so it is the last resort.
    pub(crate) fn split(&self, now: DateTime<Utc>) -> Option<(Self, Self)> {
        let cut = match (self.price_from, self.price_to) {
            (None, None) => Some(FIRST_CUT),
            (None, Some(to)) => (to > 0).then_some(to / 2),
            (Some(from), None) => (from < HIGHEST_CUT).then_some(from.max(1) * 2),
            (Some(from), Some(to)) => (from < to).then_some(from + (to - from) / 2),
        };
        if let Some(cut) = cut {
            let low = Self {
                price_to: Some(cut),
                ..self.clone()
            };
            let high = Self {
                price_from: Some(cut + 1),
                ..self.clone()
            };
            return Some((low, high));
        }
        let from = self
            .updated_from
            .or_else(|| Utc.with_ymd_and_hms(2005, 1, 1, 0, 0, 0).single())?;
        let to = self.updated_to.unwrap_or(now).trunc_subsecs(0);
        let half = Duration::seconds((to - from).num_seconds() / 2);
        if to - from < Duration::seconds(1) {
            return None;
        }
        let early = Self {
            updated_to: Some(from + half),
            ..self.clone()
        };
        let late = Self {
            updated_from: Some(from + half + Duration::seconds(1)),
            ..self.clone()
        };
        Some((early, late))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holds(slice: &Slice, price: i64, updated: DateTime<Utc>) -> bool {
        slice.price_from.is_none_or(|from| price >= from)
            && slice.price_to.is_none_or(|to| price <= to)
            && slice.updated_from.is_none_or(|from| updated >= from)
            && slice.updated_to.is_none_or(|to| updated <= to)
    }

    proptest! {
        #[test]
        fn repeated_splits_cover_every_product_exactly_once(
            price in 0i64..200_000, seconds in 0i64..700_000_000, turns in prop::collection::vec(any::<bool>(), 0..60),
        ) {
            let now = Utc.with_ymd_and_hms(2027, 5, 4, 3, 2, 1).single().unwrap();
            let updated = now - Duration::seconds(seconds);
            let mut slice = Slice::default();
            for turn in turns {
                let Some((low, high)) = slice.split(now) else { break };
                prop_assert_eq!(
                    holds(&slice, price, updated),
                    holds(&low, price, updated) != holds(&high, price, updated)
                );
                slice = if turn { high } else { low };
            }
        }

        #[test]
        fn repeated_splits_end_at_one_cent_and_one_second(price in 0i64..100_000, seconds in 0i64..600_000_000) {
            let now = Utc.with_ymd_and_hms(2027, 5, 4, 3, 2, 1).single().unwrap();
            let updated = now - Duration::seconds(seconds);
            let mut slice = Slice::default();
            let mut cuts = 0;
            while let Some((low, high)) = slice.split(now) {
                slice = if holds(&low, price, updated) { low } else { high };
                prop_assert!(holds(&slice, price, updated));
                cuts += 1;
                prop_assert!(cuts < 100);
            }
            prop_assert_eq!((slice.price_from.unwrap_or(0), slice.price_to), (price, Some(price)));
        }
    }
}
