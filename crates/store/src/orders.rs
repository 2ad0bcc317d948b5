//! Orders: placed in one transaction, shown to their owner, refunded out of goodwill.
//!
//! What happens between the placing and the key (buying at G2A, delivery, refund of what cannot be had) is not here but
//! in `crates/fulfil`.

mod cancel;
mod goodwill;
mod keys;
mod place;
mod read;

pub use cancel::cancel;
pub use goodwill::{GoodwillError, Refunded, refund};
pub use keys::reveal;
pub use place::{Idempotency, PlaceError, Placed, PromoFault, place, quote};
pub use read::{MAX_LISTED, by_id, by_number, list};
