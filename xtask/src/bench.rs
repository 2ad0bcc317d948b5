//! `cargo xtask bench [NAMES]`: runs the benchmarks of `crates/bench` in an optimised build.
//!
//! They start their own servers with production settings; this module provides the programs.

use std::path::Path;

use anyhow::Result;

use crate::tools;

/// Fetches missing programs, builds and runs the benchmarks.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let redis_server = tools::redis_server(root)?;
    // Not the temporary server of the tests, which does not wait for the disk: its figures would be too good.
    let installation = lockstep_embedded_postgres::provide(&root.join(".test-tools"), true)?;
    let mut cargo = super::cargo();
    cargo
        .args(["run", "--release", "--package", "lockstep-bench", "--"])
        .args(args);
    cargo
        .env("LOCKSTEP_REDIS_BIN", redis_server)
        .env("LOCKSTEP_BENCH_PG_BIN", installation.bin_dir());
    super::run(&mut cargo)
}
