//! The saga against a real PostgreSQL and a real HTTP server of G2A's contract. Every test ends with the books: the
//! database's own, and the sandbox's ledger of what money was really taken and which keys really went out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod buying;
mod faults;
mod leases;
mod money;
mod spool;
mod support;
mod unreadable;
