//! What browser tests need: Chromium, and the accessibility checker axe-core.
//!
//! Chromium is the machine's, or Debian's: installed by root, unpacked into `.test-tools` by anybody else. No other
//! package was found that carries one which runs outside the place it was made for. axe-core is one script out of a
//! Python package.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::debian;
use crate::tools::{download, on_path, unpack};

/// Names under which Chromium is installed.
const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Debian's packages of Chromium and of letters to draw with.
const PACKAGES: &[&str] = &["chromium", "fonts-dejavu-core"];

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
        chromium: chromium(folder)?,
        axe: axe(folder)?,
    })
}

/// Chromium as named, as installed on this machine, or as Debian's package of it.
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

/// Debian's packages with all that they need, unpacked instead of installed, and a script that starts Chromium there.
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
    // Last, because it is what says that the rest is whole.
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
