//! The saga's decisions as pure functions: from an outcome to what follows.
//!
//! The worker and the exhaustive model check (`tests/model.rs`) call the same functions, and both take their
//! transitions from [`UnitState::may_become`].

use lockstep_domain::order::{RefundReason, UnitState};

/// Outcome of creating an order at G2A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CreateOutcome {
    /// Created, at or below the maximum cost.
    Created,
    /// Created, above the maximum cost.
    OverMaxCost,
    /// G2A refused, and the product is sold out.
    SoldOut,
    /// G2A refused for an unknown reason.
    Refused,
    /// Nothing was sent, or G2A was busy.
    NothingDone,
    /// The outcome is unknown.
    Unsure,
}

/// What follows from [`CreateOutcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AfterCreate {
    /// Record the id: `ORDERED`.
    Record,
    /// Let the created order lapse and start over later: `NEW`.
    Anew,
    /// Ask again later, still `ORDERING`.
    AskAgain,
    /// Refund the unit: `REFUNDED`.
    Refund,
}

/// Decides from the outcome of creating the order. `has_tries`: attempts are left; `is_patient`: the game is a preorder
/// that the shop still waits for.
pub fn after_create(seen: CreateOutcome, has_tries: bool, is_patient: bool) -> AfterCreate {
    match seen {
        CreateOutcome::Created => AfterCreate::Record,
        CreateOutcome::NothingDone => AfterCreate::AskAgain,
        _ if is_patient => AfterCreate::Anew,
        CreateOutcome::Unsure if has_tries => AfterCreate::AskAgain,
        CreateOutcome::OverMaxCost | CreateOutcome::Refused if has_tries => AfterCreate::Anew,
        CreateOutcome::SoldOut | CreateOutcome::OverMaxCost | CreateOutcome::Refused | CreateOutcome::Unsure => {
            AfterCreate::Refund
        }
    }
}

/// The reason shown to the user when [`AfterCreate::Refund`] follows.
pub fn refund_reason(seen: CreateOutcome) -> RefundReason {
    match seen {
        CreateOutcome::SoldOut => RefundReason::SoldOut,
        CreateOutcome::OverMaxCost => RefundReason::TooDear,
        CreateOutcome::Created | CreateOutcome::Refused | CreateOutcome::NothingDone | CreateOutcome::Unsure => {
            RefundReason::NotDelivered
        }
    }
}

/// Outcome of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayOutcome {
    /// G2A took the money.
    Accepted,
    /// Certainly not paid: nothing was sent, or G2A refused before doing anything.
    NothingDone,
    /// The outcome is unknown.
    Unsure,
}

/// What follows in `PAYING`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Paying {
    /// `PAID`.
    Paid,
    /// `ORDERED`: the payment may be tried again.
    NotPaid,
    /// Read the order's details before anything else.
    Look,
    /// The same order may be paid once more.
    PayAgain,
    /// `NEW`: the order was never paid and can no longer be.
    GiveUp,
}

/// Decides from the answer to the payment.
pub fn after_pay(seen: PayOutcome) -> Paying {
    match seen {
        PayOutcome::Accepted => Paying::Paid,
        PayOutcome::NothingDone => Paying::NotPaid,
        PayOutcome::Unsure => Paying::Look,
    }
}

/// The state of an order at G2A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DetailsOutcome {
    /// Not paid.
    Unpaid,
    /// Paid; the key is available.
    Paid,
    /// In progress, outcome open.
    Pending,
    /// Cancelled or refunded by G2A.
    TakenBack,
    /// G2A does not know the order.
    NotFound,
    /// No answer, or an unknown status.
    Unclear,
}

/// Decides from the order's details. `nothing_under_way`: the last payment is so old that none of its requests can
/// arrive any more; `reservation_over`: a payment that arrived now would be too late.
pub fn after_details(seen: DetailsOutcome, nothing_under_way: bool, reservation_over: bool) -> Paying {
    match seen {
        DetailsOutcome::Paid => Paying::Paid,
        DetailsOutcome::Unpaid | DetailsOutcome::NotFound if nothing_under_way && reservation_over => Paying::GiveUp,
        DetailsOutcome::TakenBack if nothing_under_way => Paying::GiveUp,
        DetailsOutcome::Unpaid if nothing_under_way => Paying::PayAgain,
        _ => Paying::Look,
    }
}

/// Outcome of reading the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyOutcome {
    /// The key is stored.
    Stored,
    /// Certainly not handed out: nothing was sent, or G2A answered "not yet".
    NotYet,
    /// Handed out before, in an answer that was not stored.
    Gone,
    /// The outcome is unknown, or the answer contains no key.
    Unsure,
}

/// What follows in `FETCHING`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fetching {
    /// `DONE`.
    Done,
    /// `PAID`: ask again later.
    NotYet,
    /// `LOST`.
    Lost,
    /// Ask once more, still `FETCHING`: G2A reports whether the key was handed out.
    AskAgain,
}

/// Decides from the answer to the key call. `has_tries`: attempts are left; without any, a key that never arrives
/// counts as lost.
pub fn after_key(seen: KeyOutcome, has_tries: bool) -> Fetching {
    match seen {
        KeyOutcome::Stored => Fetching::Done,
        KeyOutcome::NotYet => Fetching::NotYet,
        KeyOutcome::Unsure if has_tries => Fetching::AskAgain,
        KeyOutcome::Gone | KeyOutcome::Unsure => Fetching::Lost,
    }
}

/// How a lost key is compensated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compensation {
    /// Buy another one: `NEW`.
    Replace,
    /// Refund the unit: `REFUNDED`.
    Refund,
}

/// Decides about a lost key. `has_budget`: the unit has replacements left; `is_replacement`: it was bought in place of a faulty
/// key, for which no other is bought.
pub fn after_loss(has_budget: bool, cancel_asked: bool, is_replacement: bool) -> Compensation {
    if has_budget && !cancel_asked && !is_replacement {
        Compensation::Replace
    } else {
        Compensation::Refund
    }
}

/// How a unit ends for which no key was bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WithoutKey {
    /// The price is refunded: `REFUNDED`.
    Refund,
    /// The unit was delivered, and has its faulty key again: `DONE`. Staff decide about a refund.
    KeepFaultyKey,
}

/// Decides about a unit for which no key was bought. `is_replacement`: another key was to be bought in place of a faulty one.
pub fn without_key(is_replacement: bool) -> WithoutKey {
    if is_replacement {
        WithoutKey::KeepFaultyKey
    } else {
        WithoutKey::Refund
    }
}

/// Whether a cancelled order's unit is no longer bought. One that was delivered is not cancelled with its order, so another key
/// is still bought in place of its faulty one.
pub fn is_cancelled(cancel_asked: bool, is_replacement: bool) -> bool {
    cancel_asked && !is_replacement
}

/// The state that a decision leads to, to check each against the state machine.
pub fn leads_to(from: UnitState, paying: Paying) -> UnitState {
    match paying {
        Paying::Paid => UnitState::Paid,
        Paying::NotPaid => UnitState::Ordered,
        Paying::GiveUp => UnitState::New,
        Paying::Look | Paying::PayAgain => from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_that_may_be_paid_are_never_abandoned() {
        for seen in [DetailsOutcome::Paid, DetailsOutcome::Pending, DetailsOutcome::Unclear] {
            for (nothing_under_way, reservation_over) in [(false, false), (false, true), (true, false), (true, true)] {
                let next = after_details(seen, nothing_under_way, reservation_over);
                assert!(
                    !matches!(next, Paying::GiveUp | Paying::PayAgain),
                    "{seen:?} {nothing_under_way} {reservation_over}: {next:?}"
                );
            }
        }
        for seen in [
            DetailsOutcome::Unpaid,
            DetailsOutcome::NotFound,
            DetailsOutcome::TakenBack,
        ] {
            for reservation_over in [false, true] {
                assert_eq!(
                    after_details(seen, false, reservation_over),
                    Paying::Look,
                    "a request may still arrive"
                );
            }
        }
        assert_eq!(after_pay(PayOutcome::Unsure), Paying::Look);
    }

    #[test]
    fn every_payment_decision_is_an_allowed_transition() {
        for paying in [
            Paying::Paid,
            Paying::NotPaid,
            Paying::GiveUp,
            Paying::Look,
            Paying::PayAgain,
        ] {
            let to = leads_to(UnitState::Paying, paying);
            assert!(
                to == UnitState::Paying || UnitState::Paying.may_become(to),
                "{paying:?}"
            );
        }
    }
}
