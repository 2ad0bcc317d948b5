//! Checkouts whose payment is on its way: the states of one, and what its shopper is told.
//!
//! One intent covers the top-up of what is missing and the order (`docs/payments.md`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::catalogue::iso_millis;
use crate::ids::{OrderId, TopUpId};
use crate::money::Money;

/// The state of a pending checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CheckoutState {
    /// It waits for the payment.
    Waiting,
    /// It was not paid, or another one has taken its place.
    Expired,
    /// It was paid, and the order was not placed: the money is on the balance, and the shopper decides.
    Ask,
    /// The order is placed.
    Placed,
    /// The shopper has decided otherwise, or left.
    Abandoned,
}

impl CheckoutState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Expired, Self::Ask, Self::Placed, Self::Abandoned];

    /// The name in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Expired => "EXPIRED",
            Self::Ask => "ASK",
            Self::Placed => "PLACED",
            Self::Abandoned => "ABANDONED",
        }
    }

    /// Whether the database lets it become `next`: only forwards. What is paid late is never placed unasked.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Waiting => !matches!(next, Self::Waiting),
            Self::Expired => matches!(next, Self::Ask | Self::Abandoned),
            Self::Ask => matches!(next, Self::Placed | Self::Abandoned),
            Self::Placed | Self::Abandoned => false,
        }
    }
}

/// Why a pending checkout ended without an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CheckoutReason {
    /// The payment failed, or its page has lapsed.
    NotPaid,
    /// The shopper has begun another one.
    Replaced,
    /// The total has risen.
    PriceRisen,
    /// A game is out of stock.
    SoldOut,
    /// A game is no longer in the shop.
    Gone,
    /// The promo code no longer holds.
    PromoCode,
    /// The balance was spent on something else meanwhile.
    Balance,
    /// The total exceeds the chargeable maximum.
    TooMuch,
    /// The payment came when it was no longer waited for.
    Late,
}

impl CheckoutReason {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::NotPaid,
        Self::Replaced,
        Self::PriceRisen,
        Self::SoldOut,
        Self::Gone,
        Self::PromoCode,
        Self::Balance,
        Self::TooMuch,
        Self::Late,
    ];

    /// The name in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotPaid => "NOT_PAID",
            Self::Replaced => "REPLACED",
            Self::PriceRisen => "PRICE_RISEN",
            Self::SoldOut => "SOLD_OUT",
            Self::Gone => "GONE",
            Self::PromoCode => "PROMO_CODE",
            Self::Balance => "BALANCE",
            Self::TooMuch => "TOO_MUCH",
            Self::Late => "LATE",
        }
    }
}

/// A checkout as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckoutView {
    /// Identifier: that of its top-up. Absent if the balance has paid for everything.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<uuid::Uuid>))]
    pub id: Option<TopUpId>,
    /// State. `PLACED`: `orderId` is the order; `ASK`: the money is on the balance, and `reason` says why nothing was ordered.
    pub status: CheckoutState,
    /// Why nothing was ordered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<CheckoutReason>,
    /// The order, once it is placed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<uuid::Uuid>))]
    pub order_id: Option<OrderId>,
    /// Total of the order as it was shown, EUR.
    pub total: Money,
    /// Amount to pay: what the balance lacks, at least the smallest payment; the rest stays on the balance. EUR.
    pub amount: Money,
    /// URL of the payment page, while it can be paid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub redirect_url: Option<String>,
    /// Promo code of the order.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub promo_code: Option<String>,
    /// When it was begun.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_in_json_are_those_of_the_database() {
        for state in CheckoutState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for reason in CheckoutReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    fn state() -> impl Strategy<Value = CheckoutState> {
        prop::sample::select(CheckoutState::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn whatever_happens_a_checkout_only_goes_forwards_and_is_placed_once(
            wished in prop::collection::vec(state(), 0..40),
        ) {
            let mut passed = vec![CheckoutState::Waiting];
            for next in wished {
                if passed.last().unwrap().may_become(next) {
                    passed.push(next);
                }
            }
            for (place, state) in passed.iter().enumerate() {
                prop_assert!(!passed[..place].contains(state), "{:?}", passed);
            }
            let placed = passed.iter().position(|state| *state == CheckoutState::Placed);
            prop_assert!(placed.is_none_or(|place| place + 1 == passed.len()), "{:?}", passed);
            // What is paid late is asked about first.
            if let (Some(late), Some(place)) = (passed.iter().position(|state| *state == CheckoutState::Expired), placed) {
                let asked = passed.iter().position(|state| *state == CheckoutState::Ask);
                prop_assert!(asked.is_some_and(|asked| late < asked && asked < place));
            }
        }
    }
}
