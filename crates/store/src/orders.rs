//! Orders: placed in one transaction, shown to their owner, refunded as goodwill.
//!
//! The steps between placing an order and its keys (buying at G2A, delivery, refund of what is unavailable) are in
//! `crates/fulfilment`.

mod cancel;
mod change;
mod consents;
mod goodwill;
mod keys;
mod place;
mod promo;
mod read;

pub use cancel::cancel;
pub(crate) use cancel::cancel_now;
pub use change::{ChangeError, Changed, OrderChange, change};
pub use consents::consent;
pub use goodwill::{GoodwillError, RefundOf, Refunded, refund};
pub use keys::{reveal, reveal_all};
pub use place::{PlaceError, Placed, place, quote};
pub(crate) use place::{place_once, placed_before, price};
pub use promo::PromoFault;
pub(crate) use read::typed_number;
pub use read::{MAX_LISTED, by_id, by_number, list};
