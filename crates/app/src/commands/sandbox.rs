//! `lockstep g2a-sandbox`: the simulator alone, for development and for a second store; or G2A's side of the
//! dropshipping contract as a caller.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use lockstep_g2a_sandbox::{Catalogue, Config, Drive, DriveReport, Knobs, Sandbox};

use crate::cli::Drive as Wish;
use crate::output::Output;

/// The arguments of the command line.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) listen: SocketAddr,
    pub(crate) games: u64,
    pub(crate) catalogue: Option<PathBuf>,
    pub(crate) drift: u32,
    pub(crate) seed: u64,
    pub(crate) rate: u32,
}

/// Runs until SIGINT or SIGTERM.
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
        "connect a store with G2A_API_URL={} G2A_API_HASH={} G2A_API_EMAIL={} G2A_API_SECRET={} (sandbox credentials, not secret)",
        sandbox.base_url(),
        credentials.hash,
        credentials.email,
        credentials.secret,
    );
    crate::shutdown::stop_signal().await?;
    sandbox.shutdown().await;
    Ok(())
}

/// Calls a seller's server the way G2A does; exits with 1 if it departs from the contract.
pub(crate) async fn drive(url: &str, wish: &Wish, output: Output) -> Result<ExitCode> {
    let mut drive = Drive::new(
        url,
        wish.client_id.as_deref().unwrap_or_default(),
        wish.client_secret.as_deref().unwrap_or_default(),
        wish.product.clone(),
    );
    drive.quantity = wish.quantity;
    drive.expiry_ms = wish.expiry.map(|seconds| seconds.saturating_mul(1_000));
    let report = lockstep_g2a_sandbox::drive(&drive).await?;
    output.result(&report, || in_words(&report))?;
    Ok(if report.deviations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn in_words(report: &DriveReport) -> String {
    let mut lines = Vec::new();
    for step in &report.steps {
        let found: Vec<_> = report.deviations.iter().filter(|one| one.step == *step).collect();
        lines.push(format!("{}  {step}", if found.is_empty() { "ok   " } else { "WRONG" }));
        lines.extend(found.iter().map(|one| format!("         {}: {}", one.call, one.what)));
    }
    lines.push(format!(
        "{} calls, the slowest took {} ms, {} items, {} departures from the contract",
        report.calls,
        report.slowest_ms,
        report.items,
        report.deviations.len()
    ));
    lines.join("\n")
}
