//! The state machines of orders and order units (`docs/data-model.md`), and the sign of a transaction.
//!
//! The database enforces the same rules by triggers and checks; a test in `crates/store` compares the two tables.

use serde::{Deserialize, Serialize};

/// Status of an order: PENDING → PROCESSING → COMPLETED or FAILED, or CANCELLED by staff before delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OrderStatus {
    /// Accepted and paid from the balance; no request to G2A yet.
    Pending,
    /// Keys are being bought.
    Processing,
    /// At least one key is delivered, everything else is refunded.
    Completed,
    /// Nothing is delivered, everything is refunded.
    Failed,
    /// Cancelled before delivery and refunded.
    Cancelled,
}

impl OrderStatus {
    /// All statuses, in the order of the database enum.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Processing,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The value of the database enum.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Processing => "PROCESSING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether an order may change from `self` to `next`. An unchanged status is not a transition.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Processing | Self::Failed | Self::Cancelled)
                | (Self::Processing, Self::Completed | Self::Failed | Self::Cancelled)
        )
    }
}

/// State of one order unit (`docs/consistency.md`, the purchase saga).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum UnitState {
    /// Nothing was done yet.
    New,
    /// About to create an order at G2A; what was created is unpaid and may be abandoned.
    Ordering,
    /// G2A's order id is recorded.
    Ordered,
    /// About to pay, or paid with an unknown outcome.
    Paying,
    /// Paid, confirmed.
    Paid,
    /// About to read the key, which is possible only once.
    Fetching,
    /// The key is stored.
    Done,
    /// The key was never received and cannot be read again: a replacement or a refund follows.
    Lost,
    /// The amount was refunded.
    Refunded,
}

impl UnitState {
    /// All states, in the sequence of a sale.
    pub const ALL: [Self; 9] = [
        Self::New,
        Self::Ordering,
        Self::Ordered,
        Self::Paying,
        Self::Paid,
        Self::Fetching,
        Self::Done,
        Self::Lost,
        Self::Refunded,
    ];

    /// The value of the database enum.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Ordering => "ORDERING",
            Self::Ordered => "ORDERED",
            Self::Paying => "PAYING",
            Self::Paid => "PAID",
            Self::Fetching => "FETCHING",
            Self::Done => "DONE",
            Self::Lost => "LOST",
            Self::Refunded => "REFUNDED",
        }
    }

    /// True for the states in which nothing is to be done: delivered, or refunded.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Refunded)
    }

    /// Whether a unit may change from `self` to `next`.
    ///
    /// `NEW → DONE` sells a key from the shop's stock. `ORDERED → NEW` abandons an unpaid order (too expensive, or
    /// expired). `PAYING → NEW` does the same once G2A confirms that the order was never paid and can no longer be.
    /// `DONE → NEW` buys another key in place of a faulty one.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::New, Self::Ordering | Self::Done | Self::Refunded)
                | (Self::Ordering, Self::Ordered | Self::New | Self::Refunded)
                | (Self::Ordered, Self::Paying | Self::New | Self::Refunded)
                | (Self::Paying, Self::Paid | Self::Ordered | Self::New | Self::Refunded)
                | (Self::Paid, Self::Fetching)
                | (Self::Fetching, Self::Done | Self::Lost | Self::Paid)
                | (Self::Done, Self::New)
                | (Self::Lost, Self::New | Self::Refunded | Self::Done)
        )
    }
}

/// Why a unit was refunded, as shown to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RefundReason {
    /// The supplier was sold out at the time of the purchase.
    SoldOut,
    /// The supplier's price was too high for the shop.
    TooDear,
    /// Its key was lost in transit, and so was that of its replacement.
    KeyLost,
    /// The order was cancelled.
    Cancelled,
    /// Any other reason.
    NotDelivered,
}

impl RefundReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::SoldOut,
        Self::TooDear,
        Self::KeyLost,
        Self::Cancelled,
        Self::NotDelivered,
    ];

    /// The value in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SoldOut => "SOLD_OUT",
            Self::TooDear => "TOO_DEAR",
            Self::KeyLost => "KEY_LOST",
            Self::Cancelled => "CANCELLED",
            Self::NotDelivered => "NOT_DELIVERED",
        }
    }

    /// The reason in words, to follow a title and a colon.
    pub const fn words(self) -> &'static str {
        match self {
            Self::SoldOut => "sold out before it could be bought",
            Self::TooDear => "its price rose before it could be bought",
            Self::KeyLost => "its key was lost on the way",
            Self::Cancelled => "cancelled",
            Self::NotDelivered => "it could not be delivered",
        }
    }
}

/// Type of a transaction; it determines the sign of the amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TransactionType {
    /// A deposit to the balance: positive.
    TopUp,
    /// A payment for an order: negative.
    Purchase,
    /// A refund to the balance: positive.
    Refund,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_order_statuses_have_no_successor() {
        use OrderStatus::{Cancelled, Completed, Failed, Pending, Processing};
        for end in [Completed, Failed, Cancelled] {
            assert!(
                OrderStatus::ALL.iter().all(|next| !end.may_become(*next)),
                "{end:?} is final"
            );
        }
        assert!(Pending.may_become(Processing) && Processing.may_become(Completed) && Processing.may_become(Failed));
        assert!(
            !Pending.may_become(Completed),
            "nothing is delivered without PROCESSING"
        );
        assert!(!Processing.may_become(Pending), "no way back");
    }

    #[test]
    fn paid_units_fetch_their_key_refunded_ones_stay_so_and_delivered_ones_are_only_bought_again() {
        for next in UnitState::ALL {
            assert_eq!(
                UnitState::Paid.may_become(next),
                next == UnitState::Fetching,
                "a paid unit fetches its key: {next:?}"
            );
            assert_eq!(UnitState::Done.may_become(next), next == UnitState::New, "{next:?}");
            assert!(!UnitState::Refunded.may_become(next));
        }
    }
}
