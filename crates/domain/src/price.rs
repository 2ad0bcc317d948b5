//! From G2A's prices to the shop's: price basis, markup and displayed discount.
//!
//! The shop's price is a price of G2A plus a markup, updated by the synchronisation. Which of G2A's prices counts is a
//! setting (`G2A_PRICE_BASIS`), because the prices that G2A lists and charges differ and it does not document when.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::money::Money;

/// The price of G2A that the shop's price is based on (`G2A_PRICE_BASIS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PriceBasis {
    /// `minPrice`, the cheapest listed offer; the default.
    #[default]
    #[serde(rename = "minPrice")]
    MinPrice,
    /// `retail_min_price`, which some buyers report as the amount charged.
    #[serde(rename = "retail_min_price")]
    RetailMinPrice,
    /// The higher of the two: never below cost, sometimes above the market price.
    #[serde(rename = "max")]
    Max,
}

impl FromStr for PriceBasis {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "minPrice" => Ok(Self::MinPrice),
            "retail_min_price" => Ok(Self::RetailMinPrice),
            "max" => Ok(Self::Max),
            _ => Err("expected minPrice, retail_min_price or max"),
        }
    }
}

/// The pricing rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pricing {
    /// Which of G2A's prices counts.
    pub basis: PriceBasis,
    /// Markup in percent, 2 by default; may have decimals (`G2A_MARKUP_PERCENT`).
    pub markup_percent: Decimal,
}

impl Default for Pricing {
    fn default() -> Self {
        Self {
            basis: PriceBasis::MinPrice,
            markup_percent: Decimal::TWO,
        }
    }
}

/// The displayed price of one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListPrice {
    /// Price, EUR.
    pub price: Money,
    /// G2A's retail price with the same markup, EUR, if that is higher than `price`; otherwise `None`.
    pub original_price: Option<Money>,
    /// Whole percent by which `price` is below `original_price`, rounded down so that a saving is never overstated; 0
    /// without an original price.
    pub discount: i32,
}

impl ListPrice {
    /// A price beside a reference price, which is left out unless it is higher.
    pub fn of(price: Money, original_price: Option<Money>) -> Self {
        let original_price = original_price.filter(|original| *original > price);
        Self {
            price,
            original_price,
            discount: original_price.map_or(0, |original| discount_percent(original, price)),
        }
    }

    /// The same listing at a price of at least `floor`; the displayed discount shrinks accordingly.
    #[must_use]
    pub fn at_least(self, floor: Money) -> Self {
        if self.price >= floor {
            return self;
        }
        Self::of(floor, self.original_price)
    }
}

/// A reduction as the shop announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reduction {
    /// The higher price that the price is compared with, EUR; `None` without a reduction.
    pub original_price: Option<Money>,
    /// Whole percent below it; `None` instead of 0.
    pub discount: Option<i32>,
    /// The lowest price of the 30 days before the reduction began, EUR, if it is known.
    pub lowest: Option<Money>,
}

impl Reduction {
    /// The reduction of `price` as stored. If reductions are measured (`is_measured`), one is announced from the lowest price
    /// of the 30 days before it began, and none without that.
    pub fn announced(
        price: Money,
        original_price: Option<Money>,
        discount: Option<i32>,
        lowest: Option<Money>,
        is_measured: bool,
    ) -> Self {
        let original_price = original_price.filter(|original| *original > price);
        let lowest = lowest.filter(|_| original_price.is_some());
        if !is_measured {
            return Self {
                original_price,
                discount: discount.filter(|percent| *percent > 0),
                lowest,
            };
        }
        let list = ListPrice::of(price, lowest);
        Self {
            original_price: list.original_price,
            discount: Some(list.discount).filter(|percent| *percent > 0),
            lowest: lowest.filter(|_| list.original_price.is_some()),
        }
    }
}

impl Pricing {
    /// The shop's price of a product from G2A's two prices; `None` when the relevant one is missing or not positive
    /// (such a product cannot be sold).
    ///
    /// The amount plus the markup, rounded half up to cents.
    pub fn list_price(&self, min_price: Option<Decimal>, retail_min_price: Option<Decimal>) -> Option<ListPrice> {
        let price = self.marked_up(self.cost(min_price, retail_min_price)?)?;
        let original = retail_min_price.and_then(|retail| self.marked_up(retail));
        Some(ListPrice::of(price, original))
    }

    /// The supplier's price that the shop's price is based on; `None` when it is missing or not positive.
    pub fn cost(&self, min_price: Option<Decimal>, retail_min_price: Option<Decimal>) -> Option<Decimal> {
        let positive = |price: Option<Decimal>| price.filter(|p| *p > Decimal::ZERO);
        let (min, retail) = (positive(min_price), positive(retail_min_price));
        match self.basis {
            PriceBasis::MinPrice => min,
            PriceBasis::RetailMinPrice => retail,
            PriceBasis::Max => min.max(retail),
        }
    }

    /// `amount` plus the markup, rounded half up to cents; `None` unless the result is positive and can be stored.
    pub fn marked_up(&self, amount: Decimal) -> Option<Money> {
        let factor = Decimal::ONE.checked_add(self.markup_percent.checked_div(Decimal::ONE_HUNDRED)?)?;
        Money::rounded(amount.checked_mul(factor)?)
            .ok()
            .filter(|price| price.is_positive())
    }
}

/// Whole percent by which `price` is below `original`, rounded down, between 0 and 100.
fn discount_percent(original: Money, price: Money) -> i32 {
    let (original, price) = (original.cents(), price.cents());
    if original <= 0 || price >= original {
        return 0;
    }
    i32::try_from((original - price) * 100 / original).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn shown(pricing: Pricing, min: &str, retail: &str) -> (String, Option<String>, i32) {
        let list = pricing.list_price(Some(d(min)), Some(d(retail))).unwrap();
        (
            list.price.to_string(),
            list.original_price.map(|p| p.to_string()),
            list.discount,
        )
    }

    #[test]
    fn two_percent_on_min_price_rounded_half_up() {
        let pricing = Pricing::default();
        assert_eq!(shown(pricing, "4.99", "4.99"), ("5.09".into(), None, 0)); // 5.0898
        assert_eq!(shown(pricing, "0.25", "0"), ("0.26".into(), None, 0)); // 0.255, a half goes up
        assert_eq!(shown(pricing, "5", "9.25"), ("5.10".into(), Some("9.44".into()), 45)); // 45.97 % is not 46 %
    }

    #[test]
    fn the_basis_decides_which_price_counts() {
        let with = |basis| Pricing {
            basis,
            ..Pricing::default()
        };
        assert_eq!(shown(with(PriceBasis::RetailMinPrice), "10", "8").0, "8.16");
        assert_eq!(shown(with(PriceBasis::Max), "10", "8").0, "10.20");
        assert_eq!(shown(with(PriceBasis::Max), "8", "10").0, "10.20");
    }

    #[test]
    fn a_product_without_a_positive_price_has_no_list_price() {
        let pricing = Pricing::default();
        assert_eq!(pricing.list_price(None, Some(d("5"))), None);
        assert_eq!(pricing.list_price(Some(d("0")), Some(d("5"))), None);
        assert_eq!(pricing.list_price(Some(d("-1")), None), None);
        assert_eq!(pricing.list_price(Some(d("0.004")), None), None, "rounds to nothing");
        assert_eq!(
            pricing.list_price(Some(d("9999999999.99")), None),
            None,
            "does not fit the column"
        );
    }

    #[test]
    fn a_measured_reduction_is_announced_from_the_lowest_price_or_not_at_all() {
        let money = |text: &str| text.parse::<Money>().unwrap();
        let announced = |lowest: Option<&str>, is_measured| {
            let reduction = Reduction::announced(
                money("80"),
                Some(money("120")),
                Some(33),
                lowest.map(money),
                is_measured,
            );
            (
                reduction.original_price.map(|price| price.to_string()),
                reduction.discount,
                reduction.lowest.map(|price| price.to_string()),
            )
        };
        assert_eq!(
            announced(Some("100"), true),
            (Some("100.00".into()), Some(20), Some("100.00".into()))
        );
        // Dearer than, or as dear as, it was: no reduction.
        assert_eq!(announced(Some("80"), true), (None, None, None));
        assert_eq!(announced(Some("70"), true), (None, None, None));
        // A new product has no earlier price.
        assert_eq!(announced(None, true), (None, None, None));
        assert_eq!(announced(None, false), (Some("120.00".into()), Some(33), None));
        assert_eq!(
            announced(Some("100"), false),
            (Some("120.00".into()), Some(33), Some("100.00".into()))
        );
    }

    proptest! {
        #[test]
        fn floor_only_raises_the_price_and_never_overstates_the_discount(
            min in 1i64..10_000_000, retail in 0i64..10_000_000, floor in 1i64..10_000_000
        ) {
            let listed = Pricing::default().list_price(Some(Decimal::new(min, 2)), Some(Decimal::new(retail, 2))).unwrap();
            let floor = Money::new(Decimal::new(floor, 2)).unwrap();
            let raised = listed.at_least(floor);
            prop_assert_eq!(raised.price, listed.price.max(floor));
            prop_assert!(raised.discount <= listed.discount);
            prop_assert!(raised.original_price.is_none_or(|original| original > raised.price));
            prop_assert_eq!(raised.discount == 0 || raised.original_price.is_some(), true);
        }

        #[test]
        fn price_covers_the_basis_and_discount_is_never_overstated(min in 1i64..10_000_000, retail in 0i64..10_000_000) {
            let list = Pricing::default().list_price(Some(Decimal::new(min, 2)), Some(Decimal::new(retail, 2))).unwrap();
            prop_assert!(list.price.cents() >= min);
            prop_assert!((0..100).contains(&list.discount));
            if let Some(original) = list.original_price {
                prop_assert!(original > list.price);
                prop_assert!(i64::from(list.discount) * original.cents() <= (original.cents() - list.price.cents()) * 100);
            } else {
                prop_assert_eq!(list.discount, 0);
            }
        }
    }
}
