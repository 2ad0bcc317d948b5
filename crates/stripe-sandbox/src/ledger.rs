//! What money really moved, added up from the balance transactions.

use serde_json::Value;

use crate::state::{State, cents};

/// Sums of the account, in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// What cards paid.
    pub charged: i64,
    /// What went back to cards by refunds that did not fail.
    pub refunded: i64,
    /// What disputes have taken and not given back.
    pub disputed: i64,
    /// What Stripe has kept.
    pub fees: i64,
    /// What is left.
    pub balance: i64,
}

impl Ledger {
    pub(crate) fn of(state: &State) -> Self {
        let mut sums = Self::default();
        for transaction in state.all("balance_transaction") {
            let amount = cents(&transaction, "amount");
            sums.fees += cents(&transaction, "fee");
            match transaction.get("reporting_category").and_then(Value::as_str) {
                Some("charge") => sums.charged += amount,
                Some("refund" | "refund_failure") => sums.refunded -= amount,
                Some("payout") => {}
                _ => sums.disputed -= amount,
            }
        }
        sums.balance = sums.charged - sums.refunded - sums.disputed - sums.fees;
        sums
    }
}
