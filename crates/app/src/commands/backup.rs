//! `lockstep backup` and `lockstep restore`: the database, the secrets that open its sealed values, unsent e-mails and the spool
//! of this machine, in one folder.
//!
//! A backup is written to a temporary folder next to the target and renamed when it is complete; a restore is one
//! transaction. Both refuse to overwrite anything without `--force`. A database named by `DATABASE_URL` is restored with its own
//! tools: it has users and settings that a backup does not know.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use tokio::process::Command;

use crate::config::Config;
use crate::database::{Database, Use};
use crate::output::Output;

/// A dump in PostgreSQL's custom format.
const DUMP: &str = "database.dump";
/// The file of generated secrets (see `secrets`).
const SECRETS: &str = "secrets.toml";
/// Folders of the data folder whose files are part of a backup.
const FOLDERS: [&str; 2] = ["mail", "spool"];

/// The result of a backup or a restore.
#[derive(Debug, Serialize)]
struct Done {
    folder: PathBuf,
    /// Size of the dump in bytes.
    bytes: u64,
    /// Whether the secrets are included. Without them, keys sealed with them cannot be opened.
    secrets: bool,
    /// Number of other files, such as unsent e-mails.
    files: usize,
}

/// Writes a backup to `folder`.
pub(crate) async fn backup(config: &Config, folder: &Path, force: bool, output: Output) -> Result<()> {
    let there = fs::symlink_metadata(folder).is_ok();
    ensure!(
        force || !there,
        "{} is there already; name another folder, or add --force to replace it",
        folder.display()
    );
    let partial = beside(folder, "partial");
    make_folder(&partial)?;
    let done = write(config, &partial).await;
    if done.is_err() {
        fs::remove_dir_all(&partial).ok();
    }
    let done = Done {
        folder: folder.to_owned(),
        ..done?
    };
    let old = beside(folder, "old");
    if there {
        fs::rename(folder, &old).with_context(|| format!("cannot move {} away", folder.display()))?;
    }
    fs::rename(&partial, folder).with_context(|| format!("cannot move the backup to {}", folder.display()))?;
    if there {
        fs::remove_dir_all(&old).with_context(|| format!("cannot remove the old backup {}", old.display()))?;
    }
    if done.secrets {
        tracing::warn!(
            "this backup contains the store's secrets: anyone who has it can open every key in it; protect it like a key"
        );
    } else {
        tracing::warn!(
            "this backup contains no secrets, because they are configured elsewhere: back them up too, or sealed keys are lost"
        );
    }
    output.result(&done, || {
        format!(
            "{}: {} bytes of database, {} files",
            done.folder.display(),
            done.bytes,
            done.files
        )
    })
}

async fn write(config: &Config, folder: &Path) -> Result<Done> {
    let database = Database::open(config, Use::Join).await?;
    // Copied before the dump and again after it: what a running store moves from a folder into the database meanwhile
    // is in at least one of them. A duplicate does no harm.
    for name in FOLDERS {
        copy_folder(&config.data_dir.join(name), &folder.join(name))?;
    }
    let dump = folder.join(DUMP);
    let program = database.program("pg_dump");
    let result = match &program {
        Ok(program) => {
            let mut command = Command::new(program);
            command.args(["--format=custom", "--no-owner", "--file"]).arg(&dump);
            let (url, password) = database.url_and_password();
            command.arg("--dbname").arg(url);
            command.envs(password.map(|password| ("PGPASSWORD", password)));
            finish(command, "pg_dump").await
        }
        Err(error) => Err(anyhow::anyhow!("{error:#}")),
    };
    if result.is_ok() {
        // The backup is good without this record, which the console's first day looks for.
        let _noted = lockstep_store::backups::note(&database.store, &lockstep_fulfilment::machine()).await;
    }
    database.close().await;
    result?;
    fs::set_permissions(&dump, Permissions::from_mode(0o600))?;
    let secrets = copy(&config.data_dir.join(SECRETS), &folder.join(SECRETS))?;
    let mut files = 0;
    for name in FOLDERS {
        copy_folder(&config.data_dir.join(name), &folder.join(name))?;
        files += count_files(&folder.join(name))?;
    }
    Ok(Done {
        folder: folder.to_owned(),
        bytes: fs::metadata(&dump)?.len(),
        secrets,
        files,
    })
}

/// Restores a backup into the data folder.
pub(crate) async fn restore(config: &Config, folder: &Path, force: bool, output: Output) -> Result<()> {
    refuse_foreign(config)?;
    let dump = folder.join(DUMP);
    let bytes = fs::metadata(&dump)
        .with_context(|| format!("{} holds no backup", folder.display()))?
        .len();
    let (kept, ours) = (folder.join(SECRETS), config.data_dir.join(SECRETS));
    let other_secrets = kept.exists() && ours.exists() && fs::read(&kept)? != fs::read(&ours)?;
    ensure!(
        force || !other_secrets,
        "{} is another one than in the backup; --force puts it aside as {SECRETS}.replaced",
        ours.display()
    );
    // A running store owns its folder, so opening it here fails.
    let database = Database::open(config, Use::Own).await?;
    let result = read(&database, &dump, force).await;
    database.close().await;
    result?;
    if other_secrets {
        fs::rename(&ours, config.data_dir.join(format!("{SECRETS}.replaced")))?;
    }
    let secrets = copy(&kept, &ours)?;
    let mut files = 0;
    for name in FOLDERS {
        files += copy_folder(&folder.join(name), &config.data_dir.join(name))?;
    }
    let done = Done {
        folder: folder.to_owned(),
        bytes,
        secrets,
        files,
    };
    output.result(&done, || {
        format!("restored {} into {}", folder.display(), config.data_dir.display())
    })
}

async fn read(database: &Database, dump: &Path, force: bool) -> Result<()> {
    let empty = database.store.has_no_schema().await?;
    ensure!(
        force || empty,
        "there is a database in {} already; --force replaces it with the backup",
        database.place
    );
    let mut command = Command::new(database.program("pg_restore")?);
    command.args(["--single-transaction", "--exit-on-error", "--no-owner"]);
    if !empty {
        command.args(["--clean", "--if-exists"]);
    }
    command.arg("--dbname").arg(&database.url).arg(dump);
    finish(command, "pg_restore").await.context("nothing was changed")?;
    database.migrate().await.map(drop)
}

fn refuse_foreign(config: &Config) -> Result<()> {
    if config.database_url.is_some() {
        bail!(
            "DATABASE_URL names a database of your own: restore database.dump of the backup with pg_restore into an empty database, then run `lockstep verify` on it"
        );
    }
    Ok(())
}

/// Runs a PostgreSQL program and waits for it.
async fn finish(mut command: Command, name: &str) -> Result<()> {
    let done = command
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot start {name}"))?;
    ensure!(
        done.status.success(),
        "{name} failed: {}",
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(())
}

fn beside(folder: &Path, what: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{what}-{}", std::process::id()));
    folder.with_file_name(name)
}

/// Creates a folder that only its owner can read.
fn make_folder(folder: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))
}

/// Copies a file so that only its owner can read it. Returns false if there is no such file.
fn copy(from: &Path, to: &Path) -> Result<bool> {
    match fs::copy(from, to) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && to.parent().is_some_and(Path::is_dir) => {
            return Ok(false);
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()));
        }
    }
    fs::set_permissions(to, Permissions::from_mode(0o600))?;
    Ok(true)
}

fn count_files(folder: &Path) -> Result<usize> {
    if !folder.is_dir() {
        return Ok(0);
    }
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() {
            count_files(&entry.path())?
        } else {
            1
        };
    }
    Ok(count)
}

/// Copies the files of a folder and of its subfolders; returns their number. Skips links and files that disappear
/// meanwhile.
fn copy_folder(from: &Path, to: &Path) -> Result<usize> {
    if !from.is_dir() {
        return Ok(0);
    }
    make_folder(to)?;
    let mut count = 0;
    for entry in fs::read_dir(from).with_context(|| format!("cannot look into {}", from.display()))? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            count += copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            count += usize::from(copy(&entry.path(), &target)?);
        }
    }
    Ok(count)
}
