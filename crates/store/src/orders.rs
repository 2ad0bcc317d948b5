//! Orders: placed in one transaction, shown to their owner, refunded as goodwill.
//!
//! The steps between placing an order and its keys (buying at G2A, delivery, refund of what is unavailable) are in
//! `crates/fulfilment`.

mod cancel;
mod change;
mod goodwill;
mod keys;
mod place;
mod read;

pub use cancel::cancel;
pub use change::{ChangeError, Changed, OrderChange, change};
pub use goodwill::{GoodwillError, Refunded, refund};
pub use keys::reveal;
pub use place::{PlaceError, Placed, PromoFault, place, quote};
pub use read::{MAX_LISTED, by_id, by_number, list};
