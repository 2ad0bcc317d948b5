//! The server's address: one Unix socket in a private folder, no network.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::Error;

/// Number in the name of the socket file; no port is opened.
const PORT: u16 = 5432;

/// Maximum length of the socket folder in bytes. A socket's path must be shorter than 108 bytes (`sockaddr_un`), and
/// PostgreSQL appends `/.s.PGSQL.5432`.
const LONGEST_SOCKET_FOLDER: usize = 107 - "/.s.PGSQL.5432".len();

/// The role that owns the database; not a superuser.
const OWNER: &str = "lockstep";
/// The name of the database.
const DATABASE: &str = "lockstep";
/// The role that the cluster was created with.
pub(crate) const SUPERUSER: &str = "postgres";

/// How to connect to the private server. There is no password: access to the socket folder is access to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    socket_dir: PathBuf,
    user: String,
    database: String,
}

impl Connection {
    pub(crate) fn new(socket_dir: PathBuf) -> Self {
        Self {
            socket_dir,
            user: OWNER.to_owned(),
            database: DATABASE.to_owned(),
        }
    }

    /// Returns the connection of the cluster's superuser to the database `postgres`, for creating databases.
    #[must_use]
    pub fn superuser(&self) -> Self {
        Self {
            user: SUPERUSER.to_owned(),
            database: "postgres".to_owned(),
            ..self.clone()
        }
    }

    /// Returns a URL for sqlx and libpq: `postgres://user@localhost:5432/database?host=%2Fsocket%2Ffolder`.
    pub fn url(&self) -> String {
        format!(
            "postgres://{}@localhost:{PORT}/{}?host={}",
            percent_encode(&self.user),
            percent_encode(&self.database),
            percent_encode(&self.socket_dir.to_string_lossy()),
        )
    }

    /// The folder of the socket.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The path of the socket.
    pub fn socket(&self) -> PathBuf {
        self.socket_dir.join(format!(".s.PGSQL.{PORT}"))
    }

    /// Number in the name of the socket file; no port is opened.
    pub fn port(&self) -> u16 {
        PORT
    }

    /// The role to connect as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database to connect to.
    pub fn database(&self) -> &str {
        &self.database
    }
}

/// Encodes all but ASCII letters, digits and `-._~`, so that no character can change the structure of the URL.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    encoded
}

/// Creates the socket folder: `run` beside the cluster, or, if that path is too long for a socket, a folder with a
/// derived name under the system's folder for temporary files.
pub(crate) fn make_socket_dir(home: &Path, account: &Account) -> Result<PathBuf, Error> {
    let beside = home.join("run");
    if fits(&beside) {
        make_private(&beside, account)?;
        return Ok(beside);
    }
    let mut hasher = DefaultHasher::new();
    home.hash(&mut hasher);
    let name = format!("lockstep-{}-{:016x}", account.uid(), hasher.finish());
    for base in [std::env::temp_dir(), PathBuf::from("/tmp")] {
        let folder = base.join(&name);
        if fits(&folder) && base.is_dir() && account.barred_by(&base).is_none() {
            make_private(&folder, account)?;
            return Ok(folder);
        }
    }
    Err(Error::NoSocketFolder {
        longest: LONGEST_SOCKET_FOLDER,
    })
}

/// Whether a socket fits into this folder and the path can be written as text, in a URL and in the server's pid file.
fn fits(folder: &Path) -> bool {
    folder.is_absolute()
        && folder.as_os_str().len() <= LONGEST_SOCKET_FOLDER
        && folder.to_str().is_some_and(|text| !text.chars().any(char::is_control))
}

/// Creates `folder`, accessible to the server's user only. An existing folder must have exactly that owner and mode: in
/// a world-writable parent another user may have created it.
fn make_private(folder: &Path, account: &Account) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => account.give(folder)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io("create", folder)(error)),
    }
    let metadata = fs::symlink_metadata(folder).map_err(Error::io("examine", folder))?;
    // Only root can have created a folder that belongs to root: an earlier run was interrupted before it changed the
    // owner.
    if metadata.uid() == 0 && metadata.is_dir() {
        account.give(folder)?;
    } else if metadata.uid() != account.uid() {
        return Err(Error::SocketFolderNotPrivate {
            directory: folder.to_path_buf(),
        });
    }
    if !metadata.is_dir() || metadata.mode() & 0o077 != 0 {
        return Err(Error::SocketFolderNotPrivate {
            directory: folder.to_path_buf(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_url_encodes_every_character_of_a_path() {
        let url = Connection::new(PathBuf::from("/a b/ü+&?#%/run")).url();
        assert_eq!(
            url,
            "postgres://lockstep@localhost:5432/lockstep?host=%2Fa%20b%2F%C3%BC%2B%26%3F%23%25%2Frun"
        );
    }

    #[test]
    fn a_socket_folder_may_have_at_most_93_bytes() {
        assert!(fits(Path::new(&format!("/{}", "a".repeat(92)))));
        assert!(!fits(Path::new(&format!("/{}", "a".repeat(93)))));
        assert!(!fits(Path::new("/line\nbreak")));
    }

    #[test]
    fn a_socket_folder_accessible_to_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        let account = Account::of_this_process();
        assert!(matches!(
            make_private(&open, &account),
            Err(Error::SocketFolderNotPrivate { .. })
        ));
        fs::set_permissions(&open, fs::Permissions::from_mode(0o700)).unwrap();
        make_private(&open, &account).unwrap();
    }

    #[test]
    fn a_link_in_place_of_the_socket_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let made = make_private(&link, &Account::of_this_process());
        assert!(matches!(made, Err(Error::SocketFolderNotPrivate { .. })));
    }
}
