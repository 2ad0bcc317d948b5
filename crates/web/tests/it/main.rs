//! Tests of the pages over the whole router, with a real PostgreSQL.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod addresses;
mod avatars;
mod counts;
mod editions;
mod forms;
mod help;
mod html;
mod links;
mod members;
mod pages;
mod pictures;
mod shop;
