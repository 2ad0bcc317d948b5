//! The synchronisation with a real PostgreSQL and G2A's sandbox over real HTTP.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod budget;
mod by_hand;
mod crashes;
mod drift;
mod failures;
mod jobs;
mod passes;
mod prices;
mod slices;
mod support;
