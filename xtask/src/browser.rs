//! What browser tests need: Chromium, and the accessibility checker axe-core.
//!
//! Chromium is the machine's, or Debian's: installed by root, unpacked into `.test-tools` by anybody else. No other
//! package was found that carries one which runs outside the place it was made for. axe-core is one script out of a
//! Python package.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

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
    if !is_root() {
        return unpacked_chromium(folder).context(choices);
    }
    eprintln!("no Chromium on this machine: installing Debian's");
    apt(&[], &["update"])
        .and_then(|()| apt(&[], &[&["install", "--no-install-recommends"], PACKAGES].concat()))
        .context(choices)?;
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
    drop(std::fs::remove_dir_all(&home));
    // Folders of its own, so that apt needs nobody's leave.
    let (lists, cache) = (home.join("apt/lists"), home.join("apt/cache"));
    std::fs::create_dir_all(lists.join("partial"))?;
    std::fs::create_dir_all(cache.join("archives/partial"))?;
    let options = [
        format!("Dir::State::Lists={}", lists.display()),
        format!("Dir::Cache={}", cache.display()),
        "Debug::NoLocking=true".to_owned(),
    ];
    apt(&options, &["update"])?;
    apt(
        &options,
        &[&["install", "--download-only", "--no-install-recommends"], PACKAGES].concat(),
    )?;
    let root = home.join("root");
    for entry in std::fs::read_dir(cache.join("archives"))? {
        let file = entry?.path();
        if file.extension().is_some_and(|kind| kind == "deb") {
            let extracted = Command::new("dpkg-deb")
                .arg("--extract")
                .arg(&file)
                .arg(&root)
                .status()?;
            if !extracted.success() {
                bail!("dpkg-deb could not unpack {}", file.display());
            }
        }
    }
    std::fs::remove_dir_all(home.join("apt"))?;
    let fonts = home.join("fonts.conf");
    std::fs::write(
        &fonts,
        format!(
            "<fontconfig><dir>/usr/share/fonts</dir><dir>{0}/usr/share/fonts</dir><cachedir>{0}/fonts</cachedir></fontconfig>\n",
            root.display()
        ),
    )?;
    // Last, because it is what says that the rest is whole.
    write_program(
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

fn write_program(file: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let partial = file.with_extension("partial");
    std::fs::write(&partial, text)?;
    std::fs::set_permissions(&partial, std::fs::Permissions::from_mode(0o755))?;
    Ok(std::fs::rename(partial, file)?)
}

fn apt(options: &[String], args: &[&str]) -> Result<()> {
    let options = options.iter().flat_map(|option| ["-o", option]);
    super::run(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "-y"])
            .args(options)
            .args(args),
    )
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
