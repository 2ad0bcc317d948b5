//! The saga against a real PostgreSQL and a real HTTP server that implements G2A's API. Every test ends with a check of
//! the books: the database's own, and the sandbox's ledger of the money taken and the keys handed out.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accounts;
mod buying;
mod faults;
mod leases;
mod money;
mod own_stock;
mod replacing;
mod spool;
mod support;
mod unreadable;
