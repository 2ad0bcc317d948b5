//! The client against a real HTTP server on this machine that answers by script, faults included.
//!
//! Each test has a server of its own. The server speaks plain HTTP/1.1 over a socket, because the faults that matter
//! (a connection that breaks, half a body, silence) are below what an HTTP framework lets one do.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation of a test is a panic"
)]

mod server;

mod breaker;
mod metered;
mod oauth;
mod orders;
mod products;

use std::sync::Arc;
use std::time::Duration;

use lockstep_g2a::{Auth, Client, Config, SecretText, Unlimited};

use crate::server::Server;

/// Settings with short waits, so that a test about repetition takes no time.
fn config(server: &Server) -> Config {
    let auth = Auth::Hash {
        api_hash: SecretText::new("games-games-games"),
        email: "test123@integration-api.g2a".into(),
        secret: SecretText::new("quite-nice-secret"),
    };
    let mut config = Config::new(server.url("/v1"), auth);
    config.timeout = Duration::from_secs(5);
    config.retry.base = Duration::from_millis(2);
    config.retry.rate_limit_pause = Duration::from_millis(2);
    config
}

/// Waits for something that has to happen, and gives up with a message when it does not.
async fn soon<T>(happening: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), happening)
        .await
        .expect("it did not happen within 20 s")
}

fn client(server: &Server) -> Client {
    Client::new(config(server), Arc::new(Unlimited)).unwrap()
}
