//! The sandbox as its clients see it: over real HTTP on 127.0.0.1.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![allow(clippy::unwrap_used, reason = "what tests share stops a test as a test does")]

mod catalogue;
mod control;
mod driver;
mod errors;
mod faults;
mod ledger;
mod orders;
mod products;
mod support;
