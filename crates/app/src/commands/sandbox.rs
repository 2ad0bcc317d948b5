//! `lockstep g2a-sandbox`: the simulator alone, for development and for a second store.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use lockstep_g2a_sandbox::{Catalogue, Config, Knobs, Sandbox};

/// What was asked for on the command line.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) listen: SocketAddr,
    pub(crate) games: u64,
    pub(crate) catalogue: Option<PathBuf>,
    pub(crate) drift: u32,
    pub(crate) seed: u64,
    pub(crate) rate: u32,
}

/// Runs until it is told to stop.
pub(crate) async fn run(request: Request) -> Result<()> {
    let catalogue = match request.catalogue {
        Some(file) => Catalogue::File(file),
        None => Catalogue::Generated {
            count: request.games,
            seed: request.seed,
        },
    };
    let sandbox = Sandbox::start(Config {
        bind: request.listen,
        catalogue,
        knobs: Knobs {
            rate_per_minute: request.rate,
            ..Knobs::default()
        },
        drift_per_second: request.drift,
        ..Config::default()
    })
    .await
    .context("the G2A sandbox")?;
    let credentials = sandbox.credentials();
    tracing::info!(
        "connect a store with G2A_API_URL={} G2A_API_HASH={} G2A_API_EMAIL={} G2A_API_SECRET={} (a toy's credentials, no secret)",
        sandbox.base_url(),
        credentials.hash,
        credentials.email,
        credentials.secret,
    );
    crate::serve::told_to_stop().await?;
    sandbox.shutdown().await;
    Ok(())
}
