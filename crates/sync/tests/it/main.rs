//! The synchronisation against a real PostgreSQL and the sandbox of G2A over real HTTP.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod budget;
mod crashes;
mod drift;
mod failures;
mod passes;
mod slices;
mod support;
