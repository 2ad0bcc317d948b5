//! The data folder: its owner, its layout, and the creation of a new cluster.
//!
//! ```text
//! <data folder>/postgres.lock     locked by its owner for its lifetime; contains the owner's process id
//! <data folder>/postgres/         the home, or a link to it (see `HOMES`)
//!     cluster/                    the data; exists only when it is complete
//!     run/                        the socket, if the path is short enough
//!     log, log.old                the server's log
//!     package-18/                 the programs, if they had to be fetched
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Signal, geteuid};

use crate::account::Account;
use crate::connection::SUPERUSER;
use crate::error::Error;
use crate::installation::Installation;
use crate::letters::{self, Letters};
use crate::log::Log;
use crate::{Durability, process};

/// Location of the home when root's data folder is inaccessible to other users, such as below /root. PostgreSQL does
/// not run as root and could not reach it there, and Lockstep does not change the permissions of root's folders.
pub(crate) const HOMES: &str = "/var/lib/lockstep";

/// How long a start retries a locked folder: [`crate::Postgres::attach`] holds the lock for an instant, and an owner
/// that is ending releases it.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Time limit of each step of creating a cluster. It takes a second on an idle machine.
const MAKING_LIMIT: Duration = Duration::from_mins(3);

/// The data folder, with its lock held.
#[derive(Debug)]
pub(crate) struct DataFolder {
    /// The absolute path.
    path: PathBuf,
    /// The open file holds the lock; the kernel releases it when the process ends, however it ends.
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if it does not exist, and takes its lock.
    ///
    /// # Errors
    /// Returns [`Error::InUse`] if another process holds the lock.
    pub(crate) fn own(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        if !path.is_dir() {
            fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
            if geteuid().is_root() {
                // We have just created it: the server's user may traverse but not list it, whatever the umask.
                fs::set_permissions(&path, fs::Permissions::from_mode(0o711)).map_err(Error::io("open up", &path))?;
            }
        }
        let path = path.canonicalize().map_err(Error::io("find", &path))?;
        let file = lock_file(&path);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .map_err(Error::io("open", &file))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(process::GLANCE),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::InUse {
                        data_dir: path,
                        pid: owner_in(&mut lock),
                    });
                }
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &file)(error)),
            }
        }
        if geteuid().is_root() {
            // So that the folder's own user can open the file after root has used it.
            let owner = fs::metadata(&path).map_err(Error::io("examine", &path))?;
            chown(&file, Some(owner.uid()), Some(owner.gid())).map_err(Error::io("change the owner of", &file))?;
        }
        lock.set_len(0)
            .and_then(|()| lock.write_all(format!("{}\n", std::process::id()).as_bytes()))
            .map_err(Error::io("write", &file))?;
        Ok(Self { path, _lock: lock })
    }

    /// Finds or creates the home, accessible to `account`.
    ///
    /// # Errors
    /// Returns [`Error::HomeGone`] or [`Error::Barred`].
    pub(crate) fn home(&self, account: &Account) -> Result<PathBuf, Error> {
        let home = home_of(&self.path);
        match fs::symlink_metadata(&home) {
            Ok(metadata) if metadata.is_symlink() && !home.exists() => {
                let target = fs::read_link(&home).map_err(Error::io("read", &home))?;
                return Err(Error::HomeGone { link: home, target });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_home(&home, account)?,
            Err(error) => return Err(Error::io("examine", &home)(error)),
        }
        let real = home.canonicalize().map_err(Error::io("find", &home))?;
        match account.barred_by(&real) {
            Some(directory) => Err(Error::Barred {
                path: real,
                directory,
                user: account.name(),
            }),
            None => Ok(real),
        }
    }

    fn make_home(&self, home: &Path, account: &Account) -> Result<(), Error> {
        let Some(bar) = account.barred_by(&self.path) else {
            return make_folder(home, account);
        };
        let homes = Path::new(HOMES);
        if !homes.is_dir() {
            make_folder(homes, account)?;
        }
        // A new name every time: a data folder that was deleted and recreated must not find its old data again.
        let moment = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
        let target = homes.join(format!("{moment}-{}", std::process::id()));
        make_folder(&target, account)?;
        symlink(&target, home).map_err(Error::io("create", home))?;
        tracing::info!(
            "PostgreSQL runs as user {}, which has no access to {}: its data is stored in {}, and {} links to it",
            account.name(),
            bar.display(),
            target.display(),
            home.display()
        );
        Ok(())
    }
}

/// The file that the owner keeps locked.
pub(crate) fn lock_file(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres.lock")
}

/// The home, or the link to it.
pub(crate) fn home_of(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres")
}

/// The cluster in a home.
pub(crate) fn cluster_of(home: &Path) -> PathBuf {
    home.join("cluster")
}

/// Reads the owner's process id from the lock file.
pub(crate) fn owner_in(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.rewind().ok()?;
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Creates a folder that the server's user can traverse, if that is another user than the current one.
pub(crate) fn make_folder(folder: &Path, account: &Account) -> Result<(), Error> {
    let mode = if account.switches() { 0o711 } else { 0o700 };
    DirBuilder::new()
        .mode(0o700)
        .create(folder)
        // Separate from the creation, because the umask does not apply here.
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(mode)))
        .map_err(Error::io("create", folder))
}

/// Returns the major version of PostgreSQL that wrote a cluster; `None` if there is no cluster.
///
/// # Errors
/// Returns [`Error::NotACluster`] if the folder has no readable version.
pub(crate) fn major_of(cluster: &Path) -> Result<Option<u32>, Error> {
    if !cluster.exists() {
        return Ok(None);
    }
    fs::read_to_string(cluster.join("PG_VERSION"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .map(Some)
        .ok_or_else(|| Error::NotACluster {
            cluster: cluster.to_path_buf(),
        })
}

/// Creates a new cluster with the role and the database.
///
/// It is created under a temporary name and renamed when it is complete, so that a cluster at its final path is always
/// complete.
///
/// # Errors
/// [`Error::Initialise`] with what PostgreSQL said, [`Error::NoLetters`].
pub(crate) fn make_cluster(
    home: &Path,
    installation: &Installation,
    account: &Account,
    durability: Durability,
    log: &Log,
) -> Result<(), Error> {
    let choices = letters::choices(installation.version().major, letters::locale_of_this_machine);
    make_cluster_with(choices, home, installation, account, durability, log)
}

fn make_cluster_with(
    choices: impl IntoIterator<Item = Letters>,
    home: &Path,
    installation: &Installation,
    account: &Account,
    durability: Durability,
    log: &Log,
) -> Result<(), Error> {
    for entry in fs::read_dir(home).map_err(Error::io("read", home))?.flatten() {
        // An earlier run was interrupted. Its initdb dies with it but may still be ending, hence a unique name for
        // ours.
        if entry.file_name().to_string_lossy().starts_with("cluster.new-") {
            crate::package::remove(&entry.path())?;
        }
    }
    let staging = home.join(format!("cluster.new-{}", std::process::id()));
    fs::create_dir(&staging).map_err(Error::io("create", &staging))?;
    fs::set_permissions(&staging, fs::Permissions::from_mode(0o700)).map_err(Error::io("create", &staging))?;
    account.give(&staging)?;

    let mut is_made = false;
    for letters in choices {
        let mut initdb = account.command(&installation.program("initdb"), Signal::KILL);
        initdb
            .arg("--pgdata")
            .arg(&staging)
            .args(["--username", SUPERUSER, "--encoding", "UTF8", "--data-checksums"]);
        // Access to the socket folder, which only the server's user and root have, grants access to the server. There
        // is no other access.
        initdb.args(["--auth-local=trust", "--auth-host=reject", "--no-instructions"]);
        initdb.args(&letters.arguments);
        if durability == Durability::TestOnly {
            initdb.arg("--no-sync");
        }
        let made = process::run(initdb, None, log, MAKING_LIMIT)?;
        if made.success {
            if let Some(lacks) = letters.lacks {
                tracing::warn!("this machine has no UTF-8 locale: {lacks}");
            }
            is_made = true;
            break;
        }
        if !letters::is_missing(|words| made.tail.contains(words)) {
            crate::package::remove(&staging)?;
            return Err(Error::Initialise {
                step: "initdb",
                tail: made.tail,
            });
        }
    }
    if !is_made {
        crate::package::remove(&staging)?;
        return Err(Error::NoLetters {
            version: installation.version(),
        });
    }

    let mut single = account.command(&installation.program("postgres"), Signal::KILL);
    single.args(["--single", "-c", "exit_on_error=on", "-c", "log_checkpoints=off"]);
    if durability == Durability::TestOnly {
        single.args(["-c", "fsync=off"]);
    }
    single.arg("-D").arg(&staging).arg("postgres");
    // The database belongs to the role, which can therefore add the extensions that PostgreSQL trusts; it is no
    // superuser.
    let made = process::run(
        single,
        Some("CREATE ROLE lockstep LOGIN;\nCREATE DATABASE lockstep OWNER lockstep;\n"),
        log,
        MAKING_LIMIT,
    )?;
    if !made.success {
        crate::package::remove(&staging)?;
        return Err(Error::Initialise {
            step: "creating the database",
            tail: made.tail,
        });
    }
    fs::rename(&staging, cluster_of(home)).map_err(Error::io("rename", &staging))?;
    if durability == Durability::Safe {
        // Makes the name as durable as the data.
        File::open(home)
            .and_then(|folder| folder.sync_all())
            .map_err(Error::io("write", home))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A real cluster for each way in which PostgreSQL can come to know letters, on a machine that lacks the ways
    /// before it.
    #[test]
    fn a_machine_without_the_usual_locale_gets_a_cluster_that_knows_letters_all_the_same() {
        let installation = crate::programs_for_tests();
        let parent = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let account = Account::for_cluster(&parent.path().join("cluster")).unwrap();
        let major = installation.version().major;
        let nowhere = Letters::of_locale("xx_NONE.UTF-8");
        for (name, second) in [
            ("listed", letters::choices(major, || Some("C.utf8".to_owned())).nth(1)),
            ("own", letters::choices(major, || None).nth(1)),
        ] {
            let home = parent.path().join(name);
            make_folder(&home, &account).unwrap();
            let log = Log::at(home.join("log"));
            let make = |choices: Vec<Letters>| {
                make_cluster_with(choices, &home, &installation, &account, Durability::TestOnly, &log)
            };

            let refused = make(vec![nowhere.clone(), nowhere.clone()]).unwrap_err();
            assert!(matches!(refused, Error::NoLetters { .. }), "{refused}");
            assert_eq!(major_of(&cluster_of(&home)).unwrap(), None);

            let second = second.unwrap();
            if let Err(Error::NoLetters { .. }) = make(vec![nowhere.clone(), second.clone()]) {
                assert_eq!(name, "own", "this PostgreSQL was built without ICU, and nothing else");
                continue;
            }
            assert_eq!(major_of(&cluster_of(&home)).unwrap(), Some(major));
            let mut asked = account.command(&installation.program("postgres"), Signal::KILL);
            asked
                .args(["--single", "-c", "fsync=off", "-D"])
                .arg(cluster_of(&home))
                .arg("lockstep");
            let question = "select 'letters:' || (lower(chr(1046) || chr(201)) = chr(1078) || chr(233)) || (chr(1078) ~ '^[[:alpha:]]$');\n";
            let answer = process::run(asked, Some(question), &log, MAKING_LIMIT).unwrap();
            assert!(answer.tail.contains("letters:truetrue"), "{second:?}: {}", answer.tail);
        }
    }

    #[test]
    fn a_folder_without_a_version_is_not_a_cluster() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(major_of(folder.path()), Err(Error::NotACluster { .. })));
    }
}
