//! Top-ups against a fake of Stripe's documented API, over real HTTP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod doubled;
mod stand_in;
mod stripe;
