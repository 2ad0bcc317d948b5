//! What is true everywhere in Lockstep: money, price and mark-up, the state machines of orders and units, what
//! accounts and carts may be, what an order costs and how it is shown, letters, the arithmetic of rate limits, slugs, and
//! the registry of cache keys.
//!
//! No I/O, no async, and no clock of its own: whoever calls passes the time in. Everything here is a rule that the
//! seed states or that follows from it; the database repeats the rules it can hold (see `crates/store/migrations`).

pub mod account;
pub mod admin;
pub mod cache_key;
pub mod cart;
pub mod catalogue;
pub mod checkout;
mod forms;
pub mod ids;
pub mod json;
pub mod language;
pub mod letter;
pub mod limit;
pub mod money;
pub mod money_form;
#[cfg(feature = "openapi")]
mod openapi;
pub mod order;
pub mod price;
pub mod purchase;
pub mod redeem;
pub mod secret;
pub mod slug;
pub mod title;

pub use cache_key::CacheKey;
pub use ids::GameId;
pub use money::Money;
pub use secret::Secret;
