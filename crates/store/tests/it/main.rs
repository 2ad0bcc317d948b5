//! Tests of the database's own guarantees with plain SQL, as anyone with `psql` could send it, and of the [`Store`] on
//! top of it.
//!
//! One binary: each constraint of the schema is one `rules!` entry (see [`world`]), and `coverage` fails when a
//! constraint, a foreign key, an index or a table has no entry here.
//!
//! [`Store`]: lockstep_store::Store

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod audit;
mod clock;
mod concurrency;
mod coverage;
mod events;
mod foreign_ids;
mod idempotency;
mod indexes;
mod invalidation;
mod leaving;
mod lists;
mod orders;
mod own_stock;
mod pooler;
mod retention;
mod reveals;
mod rules_accounts;
mod rules_carts;
mod rules_content;
mod rules_fulfilment;
mod rules_games;
mod rules_keys;
mod rules_money;
mod rules_orders;
mod rules_payments;
mod rules_promo_codes;
mod rules_staff;
mod rules_sync;
mod rules_users;
mod schema;
mod shoppers;
mod staff;
mod state_machines;
mod statements;
mod stock_alerts;
mod store;
mod suitable;
mod top_ups;
mod totals;
mod volume;
mod world;
