//! Test infrastructure: a private database per test and real servers, without manual setup.
//!
//! One temporary PostgreSQL runs per test process (or the server that `LOCKSTEP_TEST_DATABASE_URL` names); every
//! [`TestDb`] is a fresh database in it, copied from a template with the schema.

#![allow(clippy::disallowed_methods, reason = "a deadline bounds the wait for a real process")]
#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

mod books;
mod builders;
mod cluster;
mod database;
mod games;
mod pooler;
mod proxy;
mod redis;
mod server;
#[cfg(feature = "shop")]
pub mod shop;

pub use books::broken_rules;
pub use builders::{OrderRow, PASSWORD_HASH};
pub use cluster::{TestCluster, TestServer};
pub use database::{TestDb, secrets};
pub use games::{NewGame, date};
pub use pooler::TestPooler;
pub use proxy::DatabaseProxy;
pub use redis::{Contents, TestRedis};
/// For benchmarks: plain SQL is not used outside the store otherwise.
pub use sqlx;
