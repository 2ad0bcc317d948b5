//! Tests of the pages over the whole router, with a real PostgreSQL.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod addresses;
mod avatars;
mod consents;
mod counts;
mod editions;
mod feeds;
mod forms;
mod front;
mod help;
mod html;
mod links;
mod members;
mod pages;
mod pending_checkouts;
mod pictures;
mod shop;
mod unsubscribe;
mod vat;
mod withdrawals;
