//! Topping up against a stand-in of Stripe's documented contract, over real HTTP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod doubled;
mod stand_in;
mod stripe;
