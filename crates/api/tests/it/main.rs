//! The API as its callers see it: real PostgreSQL, the whole router, whole answers.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod bad_input;
mod edge;
mod filters;
mod lists;
mod outage;
mod search;
mod shapes;
mod shop;
mod webhook;
