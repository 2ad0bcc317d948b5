//! `cargo xtask bench [NAMES]`: runs the benchmarks of `crates/bench` in an optimised build.
//!
//! They start servers of their own, with an operator's settings; from here they get the programs.

use std::path::Path;

use anyhow::Result;

use crate::tools::{self, Tools};

/// Fetches what is missing, builds and runs.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let Tools { postgres, redis_server } = tools::prepare(root)?;
    // The throw-away server of the tests waits for no disk: its figures would flatter.
    postgres.stop();
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
