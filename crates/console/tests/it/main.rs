//! Tests of the console over the whole router, with a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod catalogue;
mod changes;
mod content;
mod demo;
mod impersonation;
mod keys;
mod lists;
mod live;
mod mount;
mod palette;
mod payments;
mod roles;
mod shop;
mod system;
mod vat;
mod views;
mod withdrawals;
