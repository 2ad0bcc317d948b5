//! The test cards of the payment page, with the numbers that Stripe documents (docs.stripe.com/testing).

/// A card, by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    /// Pays.
    Succeeds,
    /// Is declined.
    Declined,
    /// Needs 3-D Secure.
    Authenticates,
    /// Pays, and is disputed as fraud at once.
    Disputed,
    /// Pays, and an early fraud warning follows at once.
    FraudWarning,
    /// Pays; its refunds stay pending.
    RefundPending,
    /// Pays; its refunds fail after they had succeeded.
    RefundFails,
}

impl Card {
    /// All cards, in the order of the page.
    pub const ALL: [Self; 7] = [
        Self::Succeeds,
        Self::Declined,
        Self::Authenticates,
        Self::Disputed,
        Self::FraudWarning,
        Self::RefundPending,
        Self::RefundFails,
    ];

    /// Its number.
    pub const fn number(self) -> &'static str {
        match self {
            Self::Succeeds => "4242424242424242",
            Self::Declined => "4000000000000002",
            Self::Authenticates => "4000002760003184",
            Self::Disputed => "4000000000000259",
            Self::FraudWarning => "4000000000005423",
            Self::RefundPending => "4000000000007726",
            Self::RefundFails => "4000000000005126",
        }
    }

    /// What the page says of it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Succeeds => "pays",
            Self::Declined => "is declined",
            Self::Authenticates => "needs 3-D Secure",
            Self::Disputed => "pays, and is disputed",
            Self::FraudWarning => "pays, and is reported as fraud",
            Self::RefundPending => "pays; refunds stay pending",
            Self::RefundFails => "pays; refunds fail",
        }
    }

    /// The card with this number.
    pub(crate) fn of(number: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|card| card.number() == number)
    }

    /// The country of its bank.
    pub(crate) const fn country(self) -> &'static str {
        match self {
            Self::Authenticates => "DE",
            Self::Disputed | Self::FraudWarning => "US",
            _ => "FR",
        }
    }
}
