//! The state machines of the seed: orders, their units, and the sign of a transaction.
//!
//! The database holds the same rules as triggers and checks; a test in `crates/store` compares the two tables.

use serde::{Deserialize, Serialize};

/// Status of an order (the seed: "PENDING → PROCESSING → COMPLETED/FAILED"; CANCELLED by an admin before delivery).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OrderStatus {
    /// Accepted and paid from the balance; nothing asked of G2A yet.
    Pending,
    /// Keys are being bought.
    Processing,
    /// At least one key delivered, everything else refunded.
    Completed,
    /// Nothing delivered, everything refunded.
    Failed,
    /// Taken back before delivery, refunded.
    Cancelled,
}

impl OrderStatus {
    /// All of them, in the seed's order.
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

    /// Whether an order may go from `self` to `next`. Staying is not a transition.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Processing | Self::Failed | Self::Cancelled)
                | (Self::Processing, Self::Completed | Self::Failed | Self::Cancelled)
        )
    }
}

/// State of one unit, that is one key of an order (`docs/consistency.md`, the purchase saga).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum UnitState {
    /// Nothing done yet.
    New,
    /// About to create an order at G2A; what was created is unpaid and may be abandoned.
    Ordering,
    /// G2A's order id is recorded.
    Ordered,
    /// About to pay, or paid with an unknown outcome.
    Paying,
    /// Paid for certain.
    Paid,
    /// About to read the key, which works once.
    Fetching,
    /// The key is stored.
    Done,
    /// The key was read by nobody and cannot be read again: a replacement or a refund follows.
    Lost,
    /// The shopper's money went back.
    Refunded,
}

impl UnitState {
    /// All of them, in the order of a sale.
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

    /// True at the end of the way: delivered, or refunded.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Refunded)
    }

    /// Whether a unit may go from `self` to `next`.
    ///
    /// `NEW → DONE` sells a key of our own stock. `ORDERED → NEW` abandons an unpaid order (too dear, or lapsed).
    /// `PAYING → NEW` does the same once G2A has said that the order was never paid and no longer can be.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::New, Self::Ordering | Self::Done | Self::Refunded)
                | (Self::Ordering, Self::Ordered | Self::New | Self::Refunded)
                | (Self::Ordered, Self::Paying | Self::New | Self::Refunded)
                | (Self::Paying, Self::Paid | Self::Ordered | Self::New | Self::Refunded)
                | (Self::Paid, Self::Fetching)
                | (Self::Fetching, Self::Done | Self::Lost | Self::Paid)
                | (Self::Lost, Self::New | Self::Refunded | Self::Done)
        )
    }
}

/// Why a copy's money went back, as its owner is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RefundReason {
    /// The supplier had none left when it was to be bought.
    SoldOut,
    /// The supplier asked for more than the shop had.
    TooDear,
    /// Its key was lost on the way, and so was the one bought instead.
    KeyLost,
    /// Somebody took the order back.
    Cancelled,
    /// Anything else.
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

    /// In words, to follow a title and a colon.
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

/// Type of a transaction; it fixes the sign of the amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TransactionType {
    /// Money in: positive.
    TopUp,
    /// An order: negative.
    Purchase,
    /// Money back to the balance: positive.
    Refund,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_ends_and_stays_ended() {
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
    fn money_that_is_spent_is_never_forgotten() {
        for next in UnitState::ALL {
            assert_eq!(
                UnitState::Paid.may_become(next),
                next == UnitState::Fetching,
                "a paid unit fetches its key: {next:?}"
            );
            assert!(!UnitState::Done.may_become(next) && !UnitState::Refunded.may_become(next));
        }
    }
}
