//! The shop in a real browser: the `lockstep` program itself, a sandbox of G2A with few games, and headless Chromium.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod account;
mod browsing;
mod buyer;
mod console;
mod every_page;
mod infrastructure;
mod law;
mod members;
mod money;
mod shop;
mod wishes;
