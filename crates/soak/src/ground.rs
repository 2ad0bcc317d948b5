//! The environment of a run: its folder, its disks, the machine's capabilities, and every server, all private to the
//! run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use lockstep_g2a_sandbox::{Catalogue, Config, Knobs, PriceBasis, Sandbox};

use crate::database::Database;
use crate::instance::{Instance, Recipe};
use crate::logs::Logs;
use crate::machine::{INSIDE, Machine, succeeds};
use crate::postbox::Postbox;
use crate::process::free_address;
use crate::redis::Redis;

/// The secret that seals keys in a run.
pub(crate) const SECRET: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

/// Number of games at the supplier.
const GAMES: u64 = 240;

/// A private disk for one folder, which can be filled.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts a new file system of `megabytes` MB on `folder`: ext4 in a sparse file, or else in memory.
    fn mount(folder: &Path, megabytes: u64) -> Result<Self> {
        make_folder(folder)?;
        let image = folder.with_extension("img");
        File::create(&image)?.set_len(megabytes << 20)?;
        let made = succeeds(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image))
            && succeeds(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(folder));
        let size = format!("size={megabytes}m");
        ensure!(
            made || succeeds(
                Command::new("mount")
                    .args(["-t", "tmpfs", "-o", &size, "soak"])
                    .arg(folder)
            ),
            "cannot mount a disk on {}",
            folder.display()
        );
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }

    /// Fills all free space. Blocks.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.ballast())?;
        let room = rustix::fs::fstatvfs(&ballast)?;
        let bytes = room.f_bavail.saturating_mul(room.f_frsize);
        rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), 0, bytes).ok();
        // The remaining space, to the last byte.
        let block = vec![1; 4096];
        let mut end = File::options().append(true).open(self.ballast())?;
        while end.write_all(&block).is_ok() {}
        ballast.flush()?;
        Ok(())
    }

    /// Frees the space.
    pub(crate) fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

/// All servers of the run, and the shop's own processes, not started yet.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) database: Database,
    pub(crate) redis: Redis,
    pub(crate) supplier: Sandbox,
    pub(crate) postbox: Postbox,
    pub(crate) instances: Vec<Instance>,
    pub(crate) database_disk: Option<Disk>,
    /// The disk of the data folder of the first instance.
    pub(crate) data_disk: Option<Disk>,
    folder: PathBuf,
}

/// The names of the shop's processes, and the part of the shop that each runs.
pub(crate) const INSTANCES: [(&str, &str); 3] = [("a", "serve"), ("b-web", "web"), ("b-worker", "worker")];

impl Ground {
    /// Starts all servers.
    pub(crate) async fn lay(
        machine: &mut Machine,
        (program, redis, pg_bin): (&Path, &Path, Option<&Path>),
        (kept, logs): (&Path, &Logs),
        disk_megabytes: u64,
    ) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("lockstep-soak-{}", std::process::id()));
        make_folder(&folder)?;
        let (mut database_disk, mut data_disk) = (None, None);
        let (cluster, data) = (folder.join("db"), folder.join("a"));
        if machine.mounts {
            database_disk = Some(Disk::mount(&cluster, disk_megabytes)?);
            data_disk = Some(Disk::mount(&data, 64)?);
        }
        let (mut bin, mut clock) = (pg_bin.map(Path::to_path_buf), None);
        if let Some(library) = &machine.faketime {
            let real = lockstep_embedded_postgres::provide(&folder, true)?
                .bin_dir()
                .to_path_buf();
            let offset = folder.join("clock");
            std::fs::write(&offset, "+0")?;
            bin = Some(with_clock(&folder, bin.as_deref().unwrap_or(&real), library, &offset)?);
            clock = Some(offset);
        }
        let database = Database::start(&cluster.join("data"), bin.as_deref(), clock).await?;
        if machine.faketime.is_some() && !database.has_clock().await? {
            machine.faketime = None;
            machine
                .skipped
                .push("clock steps: libfaketime does not move this PostgreSQL's clock".to_owned());
        }
        let redis = Redis::start(redis.to_path_buf(), machine.setpriv).await?;
        let supplier = supplier().await?;
        let postbox = Postbox::start().await?;
        let (first, second) = (free_address()?, free_address()?);
        let credentials = supplier.credentials();
        let settings: BTreeMap<&'static str, String> = [
            ("DATABASE_URL", database.url.clone()),
            ("REDIS_URL", redis.url()),
            ("G2A_API_URL", supplier.base_url()),
            ("G2A_API_HASH", credentials.hash),
            ("G2A_API_EMAIL", credentials.email),
            ("G2A_API_SECRET", credentials.secret),
            ("G2A_RATE_PER_MINUTE", "100000".to_owned()),
            ("SMTP_URL", postbox.url()),
            ("LOCKSTEP_MAIL_FROM", "Soak <shop@soak.invalid>".to_owned()),
            ("JWT_SECRET", "a".repeat(40)),
            ("JWT_REFRESH_SECRET", "b".repeat(40)),
            ("LOCKSTEP_KEY_SECRET", SECRET.to_owned()),
            ("LOCKSTEP_PUBLIC_URL", format!("http://{first}")),
            // All buyers have the same IP address.
            ("LOCKSTEP_RATE_LIMITS", "off".to_owned()),
        ]
        .into();
        let recipe = Recipe {
            program: program.to_path_buf(),
            setpriv: machine.setpriv,
            settings,
        };
        let instance = |number: usize, address, data: PathBuf| {
            let (name, part) = INSTANCES[number];
            Instance::new((number, name, part), address, data, &recipe, kept, logs)
        };
        let other = folder.join("b");
        let instances = vec![
            instance(0, Some(first), data.join("data")),
            instance(1, Some(second), other.clone()),
            instance(2, None, other),
        ];
        Ok(Self {
            database,
            redis,
            supplier,
            postbox,
            instances,
            database_disk,
            data_disk,
            folder,
        })
    }

    /// The instances that listen: their number and address.
    pub(crate) fn doors(&self) -> Vec<(usize, SocketAddr)> {
        let numbered = self.instances.iter().enumerate();
        numbered
            .filter_map(|(number, one)| Some((number, one.address?)))
            .collect()
    }

    /// Terminates everything and removes the folder.
    pub(crate) async fn clear(&self) -> Result<()> {
        for instance in &self.instances {
            instance.kill().await?;
        }
        self.redis.kill().await?;
        // A frozen server cannot be stopped.
        self.database.thaw().ok();
        self.database.sql.close().await;
        self.database.stop().await?;
        for mounted in ["db", "a"] {
            let folder = self.folder.join(mounted);
            if std::env::var_os(INSIDE).is_some() {
                succeeds(Command::new("umount").arg("-l").arg(folder));
            }
        }
        std::fs::remove_dir_all(&self.folder).context("the run's folder")
    }
}

/// A fake G2A with few games and large stocks, so that buying continues; a few games have small stocks.
async fn supplier() -> Result<Sandbox> {
    let sandbox = Sandbox::start(Config {
        catalogue: Catalogue::Generated { count: GAMES, seed: 7 },
        knobs: Knobs {
            rate_per_minute: 0,
            charge_basis: PriceBasis::MinPrice,
            cap_basis: PriceBasis::MinPrice,
            ..Knobs::default()
        },
        wallet: "100000000".parse()?,
        ..Config::default()
    })
    .await?;
    let control = sandbox.control();
    let size = usize::try_from(GAMES)?;
    for (number, product) in control.products(1, size).into_iter().enumerate() {
        if let Some(id) = product["id"].as_str() {
            control.set_stock(id, if number % 20 == 19 { 3 } else { 1_000_000 });
        }
    }
    Ok(sandbox)
}

/// Wrappers of PostgreSQL's programs in which `postgres` sees a clock shifted by `offset`.
fn with_clock(folder: &Path, real: &Path, library: &Path, offset: &Path) -> Result<PathBuf> {
    let bin = folder.join("bin");
    make_folder(&bin)?;
    for program in std::fs::read_dir(real)? {
        let program = program?;
        if program.file_name() != "postgres" {
            std::os::unix::fs::symlink(program.path(), bin.join(program.file_name()))?;
        }
    }
    let script = bin.join("postgres");
    std::fs::write(
        &script,
        format!(
            "#!/bin/sh\nexport LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={} FAKETIME_CACHE_DURATION=1 \
             FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1\nexec {} \"$@\"\n",
            library.display(),
            offset.display(),
            real.join("postgres").display()
        ),
    )?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    Ok(bin)
}

/// Creates a folder that PostgreSQL's own user may enter.
fn make_folder(folder: &Path) -> Result<()> {
    let mut make = std::fs::DirBuilder::new();
    make.recursive(true).mode(0o755);
    make.create(folder)
        .with_context(|| format!("making {}", folder.display()))
}
