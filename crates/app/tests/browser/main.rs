//! The shop in a real browser: the `lockstep` program itself, a sandbox of G2A with few games, and headless Chromium.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod account;
mod browsing;
mod buyer;
mod every_page;
mod infrastructure;
mod members;
mod money;
mod shop;
mod wishes;
