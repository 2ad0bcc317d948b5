//! One set of PostgreSQL programs: where it is, which version, and whether it is usable.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::OLDEST_MAJOR;
use crate::account::Account;

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

    pub(crate) fn describe(&self) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
