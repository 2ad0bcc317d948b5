//! The API from its clients' perspective: real PostgreSQL, the complete router, whole responses.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod accounts;
mod addresses;
mod admin;
mod bad_bodies;
mod bad_input;
mod branding;
mod cards;
mod catalogue_by_staff;
mod client;
mod consents;
mod content;
mod description;
mod edge;
mod emails;
mod filters;
mod first_writes;
mod folding;
mod g2a_settings;
mod game_images;
mod guests;
mod impersonation;
mod leaving;
mod lists;
mod locked;
mod money;
mod orders;
mod outage;
mod permissions;
mod search;
mod shapes;
mod shop;
mod shopping;
mod staff_cache;
mod staff_keys;
mod staff_orders;
mod staff_prices;
mod staff_promo_codes;
mod staff_reports;
mod staff_supplier;
mod staff_tokens;
mod staff_users;
mod vat;
mod webhook;
mod webhooks;
mod withdrawals;
