//! The client against a local HTTP server that answers from a script, including faults.
//!
//! Each test has its own server. The server speaks plain HTTP/1.1 over a socket, because HTTP frameworks cannot produce
//! the relevant faults (a broken connection, a truncated body, silence).

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation of a test is a panic"
)]

mod server;

mod accounts;
mod breaker;
mod metered;
mod oauth;
mod orders;
mod products;

use std::sync::Arc;
use std::time::Duration;

use lockstep_domain::Secret;
use lockstep_g2a::{Auth, Client, Config, Unlimited};

use crate::server::Server;

/// Settings with short waits, so that tests of retries are fast.
fn config(server: &Server) -> Config {
    let auth = Auth::Hash {
        api_hash: Secret::new("games-games-games"),
        email: "test123@integration-api.g2a".into(),
        secret: Secret::new("quite-nice-secret"),
    };
    let mut config = Config::new(server.url("/v1"), auth);
    config.timeout = Duration::from_secs(5);
    config.retry.base = Duration::from_millis(2);
    config.retry.rate_limit_pause = Duration::from_millis(2);
    config
}

/// Waits for an expected event, and panics with a message if it does not happen in time.
async fn soon<T>(happening: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), happening)
        .await
        .expect("it did not happen within 20 s")
}

fn client(server: &Server) -> Client {
    Client::new(config(server), Arc::new(Unlimited)).unwrap()
}
