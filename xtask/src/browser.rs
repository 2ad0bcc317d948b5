//! What browser tests need: Chromium, and the accessibility checker axe-core.
//!
//! Chromium is the machine's, or Debian's when we may install it: no package was found that carries one which runs
//! outside the place it was made for. axe-core is one script out of a Python package.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::tools::{download, on_path, unpack};

/// Names under which Chromium is installed.
const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The Python package that carries axe-core, and its version; its code is not used, only the script inside.
const AXE_PACKAGE: &str = "axe-playwright-python==0.1.8";

/// Both, ready.
pub(crate) struct BrowserTools {
    /// The program.
    pub(crate) chromium: PathBuf,
    /// axe-core's script.
    pub(crate) axe: PathBuf,
}

/// Finds or fetches both; what is fetched goes into `folder`.
pub(crate) fn prepare(folder: &Path) -> Result<BrowserTools> {
    std::fs::create_dir_all(folder)?;
    Ok(BrowserTools {
        chromium: chromium()?,
        axe: axe(folder)?,
    })
}

/// Chromium as named, as installed, or as root installs it.
fn chromium() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("LOCKSTEP_CHROMIUM_BIN") {
        return Ok(given.into());
    }
    let found = || NAMES.iter().find_map(|name| on_path(name));
    if let Some(found) = found() {
        return Ok(found);
    }
    let choices = "browser tests need Chromium: install it (Debian: apt-get install chromium), or name a Chromium or \
                   Chrome in LOCKSTEP_CHROMIUM_BIN";
    if !is_root() || on_path("apt-get").is_none() {
        bail!(choices);
    }
    eprintln!("no Chromium on this machine: installing Debian's");
    let apt = |args: &[&str]| {
        super::run(
            Command::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(args),
        )
    };
    apt(&["update", "-q"])
        .and_then(|()| {
            apt(&[
                "install",
                "-q",
                "-y",
                "--no-install-recommends",
                "chromium",
                "fonts-dejavu-core",
            ])
        })
        .context(choices)?;
    found().context(choices)
}

fn axe(folder: &Path) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("LOCKSTEP_AXE_JS") {
        return Ok(given.into());
    }
    // Where a browser test that is run without this command looks for it.
    let script = folder.join("axe/axe.min.js");
    if !script.is_file() {
        eprintln!("fetching the package {AXE_PACKAGE} into {}", folder.display());
        fetch_axe(folder, &script).context(
            "browser tests need axe-core: install Python with pip so that it can be fetched, or name an axe.min.js in \
             LOCKSTEP_AXE_JS",
        )?;
    }
    Ok(script)
}

fn fetch_axe(folder: &Path, script: &Path) -> Result<()> {
    let unpacked = folder.join("axe-package");
    drop(std::fs::remove_dir_all(&unpacked));
    let wheel = download(folder, AXE_PACKAGE, &[])?;
    let inside = Path::new("axe_playwright_python/axe.min.js");
    unpack(&wheel, &unpacked, |partial| {
        if !partial.join(inside).is_file() {
            bail!("{} is not in the package", inside.display());
        }
        Ok(())
    })?;
    if let Some(parent) = script.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::rename(unpacked.join(inside), script)?;
    drop(std::fs::remove_dir_all(&unpacked));
    Ok(())
}

/// Whether this process may install packages.
fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
