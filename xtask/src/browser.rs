//! The tools of browser tests: Chromium, and the accessibility checker axe-core.
//!
//! Chromium is the machine's, or Debian's: installed if the user is root, otherwise unpacked into `.test-tools`. No
//! other package was found whose Chromium runs outside the environment that it was built for. axe-core is one script
//! out of a Python package.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::debian;
use crate::tools::{download, on_path, unpack};

/// Program names of Chromium.
const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Debian's packages of Chromium and of a font.
const PACKAGES: &[&str] = &["chromium", "fonts-dejavu-core"];

/// The Python package that contains axe-core, and its version; only the script in it is used.
const AXE_PACKAGE: &str = "axe-playwright-python==0.1.8";

/// Both tools, ready to use.
pub(crate) struct BrowserTools {
    /// The Chromium program.
    pub(crate) chromium: PathBuf,
    /// axe-core's script.
    pub(crate) axe: PathBuf,
}

/// Finds or fetches both; fetched files go into `folder`.
pub(crate) fn prepare(folder: &Path) -> Result<BrowserTools> {
    std::fs::create_dir_all(folder)?;
    Ok(BrowserTools {
        chromium: chromium(folder)?,
        axe: axe(folder)?,
    })
}

/// Chromium as named by `LOCKSTEP_CHROMIUM_BIN`, as installed on this machine, or as Debian's package.
fn chromium(folder: &Path) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("LOCKSTEP_CHROMIUM_BIN") {
        return Ok(given.into());
    }
    let found = || NAMES.iter().find_map(|name| on_path(name));
    if let Some(found) = found() {
        return Ok(found);
    }
    let choices = "browser tests need Chromium: install it (Debian: apt-get install chromium), or name a Chromium or \
                   Chrome in LOCKSTEP_CHROMIUM_BIN";
    if on_path("apt-get").is_none() {
        bail!(choices);
    }
    if !debian::is_root() {
        return unpacked_chromium(folder).context(choices);
    }
    eprintln!("no Chromium on this machine: installing Debian's");
    debian::install(PACKAGES).context(choices)?;
    found().context(choices)
}

/// Unpacks Debian's packages with all their dependencies instead of installing them, and writes a script that starts
/// Chromium there.
fn unpacked_chromium(folder: &Path) -> Result<PathBuf> {
    let home = folder.join("chromium");
    let program = home.join("chromium.sh");
    if program.is_file() {
        return Ok(program);
    }
    eprintln!(
        "no Chromium on this machine: unpacking Debian's into {}",
        home.display()
    );
    let root = debian::unpack(&home, PACKAGES)?;
    let fonts = home.join("fonts.conf");
    std::fs::write(
        &fonts,
        format!(
            "<fontconfig><dir>/usr/share/fonts</dir><dir>{0}/usr/share/fonts</dir><cachedir>{0}/fonts</cachedir></fontconfig>\n",
            root.display()
        ),
    )?;
    // Written last, because its existence marks the installation as complete.
    debian::write_program(
        &program,
        &format!(
            "#!/bin/sh\n\
             LD_LIBRARY_PATH=$(echo '{root}'/usr/lib/*-linux-gnu '{root}'/lib/*-linux-gnu | tr ' ' ':')\n\
             FONTCONFIG_FILE='{fonts}'\n\
             export LD_LIBRARY_PATH FONTCONFIG_FILE\n\
             exec '{root}/usr/lib/chromium/chromium' \"$@\"\n",
            root = root.display(),
            fonts = fonts.display()
        ),
    )?;
    Ok(program)
}

fn axe(folder: &Path) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("LOCKSTEP_AXE_JS") {
        return Ok(given.into());
    }
    // The location where a browser test that is run without this command looks for it.
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
