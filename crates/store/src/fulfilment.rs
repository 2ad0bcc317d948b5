//! What fulfilment does to the database: units on their way from `NEW` to a key or the money back.
//!
//! Each function is one step of one transaction. A *decision* about a unit is fenced: it names the lease that it was
//! made under and the state that it was made in, and changes nothing when either is no longer so
//! ([`StoreError::Fenced`](crate::StoreError::Fenced)). A *fact* that cannot be had again, that is a key, is stored
//! whatever the fence says ([`keys::record`]).
//!
//! Locks are taken in one order, order before unit before user, so that two units of an order cannot wait for each other.
//!
//! `queue` is about who works on what, `steps` about a unit's way through G2A, `keys` about keys at rest, `money` about
//! refunds and the end of an order, `letters` about telling, `incidents` about what a person should know, `events`
//! about signed events from outside, `shelf` about correcting what the shop shows, `stops` about what is not bought,
//! `unreadable` about answers without a readable key, `review` about comparing.

pub mod events;
pub mod incidents;
pub mod keys;
mod letters;
mod money;
mod queue;
pub mod review;
mod shelf;
mod steps;
pub mod stops;
pub mod unreadable;

pub use letters::{KeyText, Letters};
pub use money::{Cancelled, NotRefundable, Settled, cancel_order, refund, refund_unit};
pub use queue::{Lease, Load, Unit, claim, load, next_due, release_worker, renew, waiting};
pub use shelf::{asked_price, sold_out};
pub use steps::{
    begin_fetching, begin_ordering, begin_paying, bought_again, give_up, lost, not_paid, not_ready, ordered, paid,
    pay_again, postpone, refused, too_late,
};
