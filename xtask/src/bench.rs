//! `cargo xtask bench [NAMES]`: runs the benchmarks of `crates/bench` in an optimised build.
//!
//! They start servers of their own, with an operator's settings; from here they get the programs.

use std::path::Path;

use anyhow::Result;

use crate::tools;

/// Fetches what is missing, builds and runs.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let redis_server = tools::redis_server(root)?;
    // Not the throw-away server of the tests, which waits for no disk: its figures would flatter.
    let installation = lockstep_embedded::provide(&root.join(".test-tools"), true)?;
    let mut cargo = super::cargo();
    cargo
        .args(["run", "--release", "--package", "lockstep-bench", "--"])
        .args(args);
    cargo
        .env("LOCKSTEP_REDIS_BIN", redis_server)
        .env("LOCKSTEP_BENCH_PG_BIN", installation.bin_dir());
    super::run(&mut cargo)
}
