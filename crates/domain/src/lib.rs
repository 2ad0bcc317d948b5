//! Lockstep's domain rules: money, price and markup, the state machines of orders and order units, accounts, staff, carts,
//! checkout, the views of orders, transactional e-mails, safe HTML, the arithmetic of rate limits and of waits, slugs, and the
//! registry of cache keys, and VAT.
//!
//! No I/O, no async and no clock: callers pass the time in. The rules are those of `docs/data-model.md`; the database
//! enforces what it can of them (see `crates/store/migrations`).

pub mod account;
pub mod admin;
pub mod backoff;
pub mod branding;
pub mod cache_key;
pub mod cache_pattern;
pub mod cached;
pub mod cart;
pub mod catalogue;
pub mod checkout;
pub mod consent;
pub mod content;
pub mod email_template;
mod error_chain;
pub mod html;
pub mod ids;
pub mod json;
pub mod key_text;
pub mod language;
pub mod law;
pub mod limit;
pub mod money;
pub mod money_form;
#[cfg(feature = "openapi")]
mod openapi;
pub mod order;
pub mod pending_checkout;
pub mod price;
pub mod price_rules;
pub mod public_address;
pub mod purchase;
pub mod redeem;
pub mod secret;
pub mod site;
pub mod slug;
pub mod staff;
pub mod tax;
pub mod title;
pub mod withdrawal;

pub use cache_key::CacheKey;
pub use error_chain::error_chain;
pub use ids::GameId;
pub use money::Money;
pub use secret::Secret;
