//! Debian packages: installed if the user is root, otherwise unpacked into a folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// Whether this process may install packages.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Installs packages.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    apt(&[], &["update"])?;
    apt(&[], &[&["install", "--no-install-recommends"], packages].concat())
}

/// Unpacks packages with all their dependencies into a separate folder below `home`, and returns it.
pub(crate) fn unpack(home: &Path, packages: &[&str]) -> Result<PathBuf> {
    drop(std::fs::remove_dir_all(home));
    // Separate folders, so that apt needs no privileges.
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
        &[&["install", "--download-only", "--no-install-recommends"], packages].concat(),
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
    Ok(root)
}

/// Writes a script that starts a program, atomically.
pub(crate) fn write_program(file: &Path, text: &str) -> Result<()> {
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
