//! `cargo xtask soak`: builds the product and the soak program, and passes on the servers that the latter needs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tools;

/// Reuses what `cargo test --workspace` has built: with a single package, or without a test, cargo would select other
/// features and build every library again.
pub(crate) const BUILD: [&str; 8] = [
    "build",
    "--workspace",
    "--bin",
    "lockstep",
    "--bin",
    "lockstep-soak",
    "--test",
    "soak",
];

/// Builds and runs.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    super::run(super::cargo().args(BUILD))?;
    let redis = tools::redis_server(root)?;
    let postgres = lockstep_embedded_postgres::provide(&root.join(".test-tools"), true)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let built = std::path::absolute(target)
        .context("the folder of what was built")?
        .join("debug");
    super::run(
        Command::new(built.join("lockstep-soak"))
            .args(args)
            .arg("--program")
            .arg(built.join("lockstep"))
            .arg("--folder")
            .arg(root.join("target/soak"))
            .arg("--redis")
            .arg(redis)
            .arg("--pg-bin")
            .arg(postgres.bin_dir()),
    )
}
