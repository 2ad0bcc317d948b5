//! The saga's decisions as pure functions: from an outcome to what follows.
//!
//! The worker and the exhaustive model check (`tests/model.rs`) call the same functions, and both take their
//! transitions from [`UnitState::may_become`].

use lockstep_domain::order::{RefundReason, UnitState};

/// Outcome of creating an order at G2A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CreateSeen {
    /// Created, at or below the maximum cost.
    Created,
    /// Created, above the maximum cost.
    AboveFloor,
    /// G2A refused, and the product is sold out.
    SoldOut,
    /// G2A refused for an unknown reason.
    Refused,
    /// Nothing was sent, or G2A was busy.
    NothingDone,
    /// The outcome is unknown.
    Unsure,
}

/// What follows from [`CreateSeen`].
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
pub fn after_create(seen: CreateSeen, has_tries: bool, is_patient: bool) -> AfterCreate {
    match seen {
        CreateSeen::Created => AfterCreate::Record,
        CreateSeen::NothingDone => AfterCreate::AskAgain,
        _ if is_patient => AfterCreate::Anew,
        CreateSeen::Unsure if has_tries => AfterCreate::AskAgain,
        CreateSeen::AboveFloor | CreateSeen::Refused if has_tries => AfterCreate::Anew,
        CreateSeen::SoldOut | CreateSeen::AboveFloor | CreateSeen::Refused | CreateSeen::Unsure => AfterCreate::Refund,
    }
}

/// The reason shown to the user when [`AfterCreate::Refund`] follows.
pub fn told(seen: CreateSeen) -> RefundReason {
    match seen {
        CreateSeen::SoldOut => RefundReason::SoldOut,
        CreateSeen::AboveFloor => RefundReason::TooDear,
        CreateSeen::Created | CreateSeen::Refused | CreateSeen::NothingDone | CreateSeen::Unsure => {
            RefundReason::NotDelivered
        }
    }
}

/// Outcome of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaySeen {
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
pub fn after_pay(seen: PaySeen) -> Paying {
    match seen {
        PaySeen::Accepted => Paying::Paid,
        PaySeen::NothingDone => Paying::NotPaid,
        PaySeen::Unsure => Paying::Look,
    }
}

/// The state of an order at G2A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DetailsSeen {
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
pub fn after_details(seen: DetailsSeen, nothing_under_way: bool, reservation_over: bool) -> Paying {
    match seen {
        DetailsSeen::Paid => Paying::Paid,
        DetailsSeen::Unpaid | DetailsSeen::NotFound if nothing_under_way && reservation_over => Paying::GiveUp,
        DetailsSeen::TakenBack if nothing_under_way => Paying::GiveUp,
        DetailsSeen::Unpaid if nothing_under_way => Paying::PayAgain,
        _ => Paying::Look,
    }
}

/// Outcome of reading the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeySeen {
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
pub fn after_key(seen: KeySeen, has_tries: bool) -> Fetching {
    match seen {
        KeySeen::Stored => Fetching::Done,
        KeySeen::NotYet => Fetching::NotYet,
        KeySeen::Unsure if has_tries => Fetching::AskAgain,
        KeySeen::Gone | KeySeen::Unsure => Fetching::Lost,
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

/// Decides about a lost key. `has_budget`: the unit has replacements left.
pub fn after_loss(has_budget: bool, cancel_asked: bool) -> Compensation {
    if has_budget && !cancel_asked {
        Compensation::Replace
    } else {
        Compensation::Refund
    }
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
        for seen in [DetailsSeen::Paid, DetailsSeen::Pending, DetailsSeen::Unclear] {
            for (nothing_under_way, reservation_over) in [(false, false), (false, true), (true, false), (true, true)] {
                let next = after_details(seen, nothing_under_way, reservation_over);
                assert!(
                    !matches!(next, Paying::GiveUp | Paying::PayAgain),
                    "{seen:?} {nothing_under_way} {reservation_over}: {next:?}"
                );
            }
        }
        for seen in [DetailsSeen::Unpaid, DetailsSeen::NotFound, DetailsSeen::TakenBack] {
            for reservation_over in [false, true] {
                assert_eq!(
                    after_details(seen, false, reservation_over),
                    Paying::Look,
                    "a request may still arrive"
                );
            }
        }
        assert_eq!(after_pay(PaySeen::Unsure), Paying::Look);
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
