//! The saga's decisions, free of everything else: what was seen, and what follows.
//!
//! The worker and the exhaustive check of the saga (`tests/model.rs`) call the same functions, and both take their
//! transitions from [`UnitState::may_become`].

use lockstep_domain::order::{RefundReason, UnitState};

/// What came of creating an order at G2A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CreateSeen {
    /// It exists, for a price that the floor allows.
    Created,
    /// It exists, for more.
    AboveFloor,
    /// G2A said no, and the product is gone.
    SoldOut,
    /// G2A said no for a reason that we do not know.
    Refused,
    /// Nothing was sent, or G2A was busy.
    NothingDone,
    /// Nobody knows.
    Unsure,
}

/// What follows from [`CreateSeen`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AfterCreate {
    /// Record the id: `ORDERED`.
    Record,
    /// Leave what was made to lapse, and begin anew later: `NEW`.
    Anew,
    /// Ask again later, still `ORDERING`.
    AskAgain,
    /// The money back: `REFUNDED`.
    Refund,
}

/// `has_tries`: attempts are left; `is_patient`: the game is a preorder that is still waited for.
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

/// What the shopper is told when [`AfterCreate::Refund`] follows.
pub fn told(seen: CreateSeen) -> RefundReason {
    match seen {
        CreateSeen::SoldOut => RefundReason::SoldOut,
        CreateSeen::AboveFloor => RefundReason::TooDear,
        CreateSeen::Created | CreateSeen::Refused | CreateSeen::NothingDone | CreateSeen::Unsure => {
            RefundReason::NotDelivered
        }
    }
}

/// What came of paying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaySeen {
    /// G2A took the money.
    Accepted,
    /// Certainly not: nothing was sent, or G2A said no before doing anything.
    NothingDone,
    /// Anything else.
    Unsure,
}

/// What follows in `PAYING`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Paying {
    /// `PAID`.
    Paid,
    /// `ORDERED`: it may be tried again.
    NotPaid,
    /// Read the order's details before anything else.
    Look,
    /// The same order may be paid once more.
    PayAgain,
    /// `NEW`: it was never paid and no longer can be.
    GiveUp,
}

/// From the answer to the payment itself.
pub fn after_pay(seen: PaySeen) -> Paying {
    match seen {
        PaySeen::Accepted => Paying::Paid,
        PaySeen::NothingDone => Paying::NotPaid,
        PaySeen::Unsure => Paying::Look,
    }
}

/// What G2A says of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DetailsSeen {
    /// Not paid.
    Unpaid,
    /// Paid, the key can be had.
    Paid,
    /// On its way, one way or the other.
    Pending,
    /// Cancelled or refunded by G2A.
    TakenBack,
    /// G2A does not know it.
    NotFound,
    /// No answer, or words that mean neither.
    Unclear,
}

/// From the order's details. `nothing_under_way`: the last payment was asked for so long ago that no request of it can
/// arrive any more; `reservation_over`: it could not be paid any more if it arrived.
pub fn after_details(seen: DetailsSeen, nothing_under_way: bool, reservation_over: bool) -> Paying {
    match seen {
        DetailsSeen::Paid => Paying::Paid,
        DetailsSeen::Unpaid | DetailsSeen::NotFound if nothing_under_way && reservation_over => Paying::GiveUp,
        DetailsSeen::TakenBack if nothing_under_way => Paying::GiveUp,
        DetailsSeen::Unpaid if nothing_under_way => Paying::PayAgain,
        _ => Paying::Look,
    }
}

/// What came of reading the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeySeen {
    /// It is here, and stored.
    Stored,
    /// Certainly not given out: nothing was sent, or G2A said "not yet".
    NotYet,
    /// Given out before, to somebody who has not stored it.
    Gone,
    /// Nobody knows; what arrived holds no key.
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
    /// Ask once more, still `FETCHING`: if it was given out G2A will say so.
    AskAgain,
}

/// From the answer to the key call. `has_tries`: attempts are left; a key that never arrives is lost in the end.
pub fn after_key(seen: KeySeen, has_tries: bool) -> Fetching {
    match seen {
        KeySeen::Stored => Fetching::Done,
        KeySeen::NotYet => Fetching::NotYet,
        KeySeen::Unsure if has_tries => Fetching::AskAgain,
        KeySeen::Gone | KeySeen::Unsure => Fetching::Lost,
    }
}

/// What makes a lost key good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compensation {
    /// Another one is bought: `NEW`.
    Replace,
    /// The money back: `REFUNDED`.
    Refund,
}

/// `has_budget`: fewer keys of this copy were lost than may be replaced.
pub fn after_loss(has_budget: bool, cancel_asked: bool) -> Compensation {
    if has_budget && !cancel_asked {
        Compensation::Replace
    } else {
        Compensation::Refund
    }
}

/// The state that a decision leads to, for the check that each is a way that the state machine has.
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
    fn an_order_that_may_be_paid_is_never_given_up() {
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
    fn every_decision_is_a_way_of_the_state_machine() {
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
