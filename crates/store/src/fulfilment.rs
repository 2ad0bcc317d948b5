//! The database side of fulfilment: units on their way from `NEW` to a key or a refund.
//!
//! Each function is one step of one transaction. A *decision* about a unit is fenced: it names the lease and the state
//! in which it was made, and changes nothing if either no longer holds
//! ([`StoreError::Fenced`](crate::StoreError::Fenced)). A *fact* that cannot be obtained again, that is a key, is
//! stored regardless of the fence ([`keys::record`]).
//!
//! Locks are taken in one order (order, unit, user), so two units of an order cannot deadlock.
//!
//! `queue` assigns work, `steps` holds a unit's steps at G2A, `keys` stored keys, `money` refunds and the completion of
//! an order, `replace` the replacement of faulty keys, `emails` e-mails, `incidents` what needs a person's attention, `events` signed events from outside,
//! `shelf` corrections of what the shop shows, `stops` what is not bought, `unreadable` answers without a readable key,
//! `review` reconciliation.

mod emails;
pub mod events;
pub mod incidents;
pub mod keys;
mod money;
mod queue;
mod replace;
pub mod review;
mod steps;
mod stock;
pub mod stops;
pub mod unreadable;

pub use emails::{EmailSettings, KeyText};
pub use money::{Cancelled, NotRefundable, Settled, cancel_order, keep_faulty_key, refund, refund_unit};
pub use queue::{Lease, Load, Unit, claim, load, next_due, release_worker, renew, waiting};
pub use replace::{ReplaceError, Replaced, ReplacementBudget, ReplacementWay, replace, replacement_way};
pub use steps::{
    begin_fetching, begin_ordering, begin_paying, bought_again, give_up, hold, lost, not_paid, not_ready, ordered,
    paid, pay_again, postpone, refused, too_late,
};
pub use stock::{AskedPrice, asked_price, sold_out};
