//! Logs go to stderr: readable on a terminal, one JSON object a line otherwise.

use std::io::IsTerminal as _;

use anyhow::{Result, anyhow};
use tracing_subscriber::EnvFilter;

/// What is logged when nobody says otherwise: our own news, and only trouble from the libraries.
const DEFAULT: &str = "info,sqlx=warn,hyper=warn,reqwest=warn";

/// Starts logging. Called once, before anything else speaks.
pub(crate) fn start(filter: Option<&str>) -> Result<()> {
    let filter = EnvFilter::try_new(filter.unwrap_or(DEFAULT)).map_err(|error| anyhow!("RUST_LOG: {error}"))?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    if terminal {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    }
    .map_err(|error| anyhow!("logging: {error}"))
}
