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
mod branding;
mod bulk;
mod clock;
mod concurrency;
mod consents;
mod coverage;
mod erasure;
mod events;
mod evidence;
mod foreign_ids;
mod hosts;
mod idempotency;
mod indexes;
mod invalidation;
mod leaving;
mod lists;
mod lowest_prices;
mod orders;
mod own_stock;
mod pending_checkouts;
mod pooler;
mod prices;
mod promotions;
mod retention;
mod reveals;
mod rules_accounts;
mod rules_cards;
mod rules_carts;
mod rules_checkouts;
mod rules_content;
mod rules_fulfilment;
mod rules_games;
mod rules_keys;
mod rules_law;
mod rules_money;
mod rules_orders;
mod rules_payments;
mod rules_prices;
mod rules_promo_codes;
mod rules_settings;
mod rules_staff;
mod rules_sync;
mod rules_users;
mod rules_vat;
mod sales;
mod scheduled;
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
mod vat;
mod verify;
mod volume;
mod withdrawals;
mod world;
