//! Top-ups against a fake of Stripe's documented API, over real HTTP.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod card_page;
mod cards;
mod checkouts;
mod debtors;
mod doubled;
mod evidence;
mod holds;
mod mollie;
mod permutations;
mod stand_in;
mod stripe;
