//! A private PostgreSQL for a machine without one: found or fetched, created, started, and stopped with its owner.
//!
//! `lockstep serve` without configuration and the tests use it. It listens on one Unix socket in a folder that only its
//! own user and root can enter; no network port is opened and no password exists. The first start in a new data folder
//! takes about a second, later starts a few hundredths of a second.
//!
//! * **One owner.** A data folder belongs to the process that started its server, by a lock that the kernel releases
//!   when that process ends, however it ends. Other processes can connect as well: [`Postgres::attach`].
//! * **One lifetime.** The server ends with its owner, and shuts down cleanly even when the owner is killed. A killed
//!   server is restarted.
//! * **No surprises.** Only the major version of PostgreSQL that wrote a cluster opens it, and an existing cluster is
//!   always complete: it is created under a temporary name and renamed.
//! * **Root.** PostgreSQL refuses to run as root, so root runs it as the user `postgres`, or `nobody`. If that user
//!   cannot reach the data folder (below /root, say), the data is kept in /var/lib/lockstep and `postgres` in the data
//!   folder is a link to it; deleting the data folder then leaves that folder behind.
//!
//! All functions here block; call them from a blocking thread (`spawn_blocking`).

#![allow(
    clippy::disallowed_methods,
    reason = "blocking code without a runtime, which waits for real processes"
)]

#[cfg(not(target_os = "linux"))]
compile_error!("the embedded PostgreSQL is tied to its owner's life by a facility of Linux");

mod account;
mod binaries;
mod connection;
mod error;
mod folder;
mod installation;
mod letters;
mod log;
mod log_tail;
mod package;
mod process;
mod server;

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use account::Account;
pub use binaries::provide;
pub use connection::Connection;
pub use error::Error;
use folder::DataFolder;
pub use installation::{Installation, Version};
use log::Log;
pub use log_tail::LogTail;
use server::{Launch, PidFile, Server};

/// The oldest supported major version of PostgreSQL: that of Debian 12.
pub const OLDEST_MAJOR: u32 = 15;

/// How long [`Postgres::attach`] waits for a server that its owner is starting.
const ATTACH_LIMIT: Duration = Duration::from_mins(1);

/// The durability of data across a power failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Committed data is kept.
    #[default]
    Safe,
    /// All data may be lost, for disposable clusters: no operation waits for the disk. A killed server also loses its
    /// last commits.
    TestOnly,
}

/// Settings of the private PostgreSQL.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder for `postgres` and `postgres.lock`. Created if it does not exist.
    pub data_dir: PathBuf,
    /// Folder of the programs to use (`--pg-bin`); `None` to search for them.
    pub bin_dir: Option<PathBuf>,
    /// Whether the programs may be fetched if none are found.
    pub fetch: bool,
    /// The durability of data across a power failure.
    pub durability: Durability,
    /// Maximum number of connections.
    pub max_connections: u16,
    /// Further server settings, which override ours. The machine's process list shows them, so they must not contain
    /// secrets.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// Settings for a shop's data in `data_dir`: durable, with the programs fetched if necessary, for 100 connections.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            bin_dir: None,
            fetch: true,
            durability: Durability::Safe,
            max_connections: 100,
            settings: Vec::new(),
        }
    }

    /// Returns the server's settings in order; later ones override earlier ones.
    fn all_settings(&self, socket_dir: &Path) -> Result<Vec<(String, String)>, Error> {
        let socket_dir = socket_dir.to_string_lossy().replace('"', "\"\"");
        let connections = self.max_connections.to_string();
        let sockets = format!("\"{socket_dir}\"");
        let mut ours = vec![
            // Nothing is exposed: one socket, for one user, and no address.
            ("listen_addresses", ""),
            ("port", "5432"),
            ("unix_socket_directories", &*sockets),
            ("unix_socket_permissions", "0700"),
            ("max_connections", &*connections),
            ("shared_buffers", "128MB"),
            // A private server has no replicas, so it can log less.
            ("wal_level", "minimal"),
            ("max_wal_senders", "0"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            ("lc_messages", "C"),
            // Rows and statements must not be logged: they contain addresses and keys.
            ("log_min_messages", "warning"),
            ("log_min_error_statement", "panic"),
            ("log_error_verbosity", "terse"),
            ("log_checkpoints", "off"),
            // The log is the file that we pass to the server.
            ("log_destination", "stderr"),
            ("logging_collector", "off"),
        ];
        if self.durability == Durability::TestOnly {
            ours.extend([
                ("fsync", "off"),
                ("synchronous_commit", "off"),
                ("full_page_writes", "off"),
            ]);
        }
        let ours = ours
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (name, value) in &self.settings {
            let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
            if name.is_empty() || !name.chars().all(plain) || value.contains('\0') {
                return Err(Error::BadSetting { name: name.clone() });
            }
        }
        Ok(ours.chain(self.settings.iter().cloned()).collect())
    }
}

/// A running private PostgreSQL that this process owns. Dropping it stops the server.
#[derive(Debug)]
pub struct Postgres {
    // Declared before the folder: the lock is released only after the server has ended.
    server: Server,
    _folder: DataFolder,
    connection: Connection,
    installation: Installation,
    cluster: PathBuf,
    log: PathBuf,
    created: bool,
}

impl Postgres {
    /// Locks the data folder, creates a cluster if there is none, and starts the server.
    ///
    /// Returns when the server accepts connections. Blocks for about a second with a new folder, for some hundredths of
    /// a second with an existing one, for the download if no programs are found, and for longer after a crash.
    ///
    /// # Errors
    /// Returns any [`Error`] except those of stopping; each explains what to do. If this or another process owns the
    /// folder, it is [`Error::InUse`].
    pub fn start(options: &Options) -> Result<Self, Error> {
        let folder = DataFolder::own(&options.data_dir)?;
        let data_dir = options
            .data_dir
            .canonicalize()
            .map_err(Error::io("find", &options.data_dir))?;
        let account = Account::for_cluster(&folder::cluster_of(&folder::home_of(&data_dir)))?;
        let home = folder.home(&account)?;
        let cluster = folder::cluster_of(&home);
        let major = folder::major_of(&cluster)?;
        let package_dir = home.join(package::FOLDER);
        let wanted = binaries::Wanted {
            bin_dir: options.bin_dir.as_deref(),
            package_dir: &package_dir,
            fetch: options.fetch,
            cluster: major.map(|major| (&*cluster, major)),
        };
        let installation = binaries::choose(&binaries::Places::of_this_machine(), &wanted, &account)?;
        let socket_dir = connection::make_socket_dir(&home, &account)?;
        let log = Log::at(home.join("log"));
        let mut arguments = vec![OsString::from("-D"), cluster.clone().into_os_string()];
        for (name, value) in options.all_settings(&socket_dir)? {
            arguments.extend([OsString::from("-c"), OsString::from(format!("{name}={value}"))]);
        }
        if major.is_none() {
            tracing::info!(
                "creating a database with PostgreSQL {} in {}",
                installation.version(),
                cluster.display()
            );
            folder::make_cluster(&home, &installation, &account, options.durability, &log)?;
        } else if account.is_not_owner_of(&cluster)? {
            // Root put the data here, by a copy or a backup.
            account.give_all(&cluster)?;
        }
        let launch = Launch {
            program: installation.program("postgres"),
            arguments,
            account,
            cluster: cluster.clone(),
            log: log.clone(),
        };
        launch.end_leftover()?;
        let server = Server::start(launch)?;
        tracing::info!("PostgreSQL {} runs on {}", installation.version(), cluster.display());
        Ok(Self {
            server,
            _folder: folder,
            connection: Connection::new(socket_dir),
            installation,
            cluster,
            log: log.path().to_path_buf(),
            created: major.is_none(),
        })
    }

    /// Whether this data folder has ever had a server. Changes nothing.
    pub fn is_in(data_dir: &Path) -> bool {
        let home = folder::home_of(data_dir);
        // If the target of the link is gone, starting the server reports it.
        folder::cluster_of(&home).exists() || (home.is_symlink() && !home.exists())
    }

    /// Connects to the server in `data_dir` that another process owns; `None` if no process owns the folder. Waits for
    /// up to a minute if the owner is still starting it.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the folder is not accessible, and [`Error::NotReady`] if the server does not become
    /// ready.
    pub fn attach(data_dir: &Path) -> Result<Option<Attached>, Error> {
        let path = folder::lock_file(data_dir);
        let mut lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", &path)(error)),
        };
        let home = folder::home_of(data_dir);
        let cluster = folder::cluster_of(&home);
        let started = Instant::now();
        loop {
            match lock.try_lock_shared() {
                Ok(()) => return Ok(None),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
            }
            if let (Some(file), Some(owner_pid)) = (PidFile::read(&cluster)?, folder::owner_in(&mut lock))
                && file.ready
                // The file may belong to a dead server, with the new one about to write its own.
                && server::runs_in(file.pid, &cluster)
                && let Some(major) = folder::major_of(&cluster)?
            {
                return Ok(Some(Attached {
                    owner_pid,
                    major,
                    connection: Connection::new(file.socket_dir),
                    bin_dir: server::programs_of(file.pid),
                }));
            }
            if started.elapsed() > ATTACH_LIMIT {
                let log = home.join("log");
                return Err(Error::NotReady {
                    waited_s: ATTACH_LIMIT.as_secs(),
                    tail: LogTail::read(&log, 0),
                    log,
                });
            }
            thread::sleep(process::GLANCE);
        }
    }

    /// Stops the server cleanly and returns when it has ended, after at most 35 s. Closes open connections.
    ///
    /// # Errors
    /// Returns [`Error::StopForced`] if it did not stop in time and was killed.
    pub fn stop(mut self) -> Result<(), Error> {
        self.server.stop()
    }

    /// The connection as the owner of the database.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns [`Connection::url`] of [`Postgres::connection`].
    pub fn connection_string(&self) -> String {
        self.connection.url()
    }

    /// The folder of the socket.
    pub fn socket_dir(&self) -> &Path {
        self.connection.socket_dir()
    }

    /// The role that owns the database.
    pub fn user(&self) -> &str {
        self.connection.user()
    }

    /// Returns [`Connection::url`] of [`Connection::superuser`].
    pub fn superuser_connection_string(&self) -> String {
        self.connection.superuser().url()
    }

    /// The programs in use.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// The server's version.
    pub fn version(&self) -> Version {
        self.installation.version()
    }

    /// Whether `CREATE EXTENSION name` can work. `None` if the folder of extensions is unknown.
    pub fn has_extension(&self, name: &str) -> Option<bool> {
        self.installation.has_extension(name)
    }

    /// Whether this start created the cluster.
    pub fn created(&self) -> bool {
        self.created
    }

    /// The folder with the data: what a backup of the stopped server must contain.
    pub fn cluster(&self) -> &Path {
        &self.cluster
    }

    /// The server's log.
    pub fn log(&self) -> &Path {
        &self.log
    }
}

/// A running server that another process owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Process id of the owner.
    pub owner_pid: u32,
    /// Major version of PostgreSQL.
    pub major: u32,
    connection: Connection,
    bin_dir: Option<PathBuf>,
}

impl Attached {
    /// The connection as the owner of the database. Works for as long as the owner is running.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The folder of the running server's programs, if it can be determined.
    pub fn bin_dir(&self) -> Option<&Path> {
        self.bin_dir.as_deref()
    }

    /// Returns [`Connection::url`] of [`Attached::connection`].
    pub fn connection_string(&self) -> String {
        self.connection.url()
    }
}

/// The programs for tests: those in `LOCKSTEP_PG_BIN`, else found as for a shop, never fetched.
#[cfg(test)]
pub(crate) fn programs_for_tests() -> Installation {
    match std::env::var_os("LOCKSTEP_PG_BIN") {
        Some(folder) => Installation::inspect(Path::new(&folder), &Account::of_this_process()).unwrap(),
        None => provide(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.test-tools"), false).unwrap(),
    }
}
