//! A PostgreSQL of our own, for whoever has none: found or fetched, made, started and stopped with its owner.
//!
//! `lockstep serve` with nothing configured and the tests run on it. It listens on one Unix socket in a folder that only
//! its own user and root can enter; no network port is opened and no password exists. Beginning with a new data folder
//! takes about a second, later starts a few hundredths.
//!
//! * **One owner.** A data folder belongs to the process that started its server, by a lock that the kernel takes back
//!   when that process dies, however it dies. Others may work beside it: [`Postgres::attach`].
//! * **One life.** The server ends with its owner, in good order even when the owner is killed. If the server is killed
//!   instead, it is started again.
//! * **No surprise.** A cluster is opened only by its own major version of PostgreSQL, and what is found in its place is
//!   whole: it is made beside it and moved.
//! * **Root.** PostgreSQL refuses to run as root, so root runs it as the user `postgres`, or `nobody`. If that user
//!   cannot get to the data folder (below /root, say) the data is kept in /var/lib/lockstep and `postgres` in the data
//!   folder is a link to it; removing the data folder then leaves that folder behind.
//!
//! Everything here blocks; call it from a thread that may (`spawn_blocking`).

#[cfg(not(target_os = "linux"))]
compile_error!("the embedded PostgreSQL is tied to its owner's life by a facility of Linux");

mod account;
mod binaries;
mod connection;
mod error;
mod folder;
mod letters;
mod log;
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
pub use binaries::{Installation, Version, provide};
pub use connection::Connection;
pub use error::Error;
use folder::DataFolder;
use log::Log;
pub use log::LogTail;
use server::{Launch, PidFile, Server};

/// The oldest major version of PostgreSQL that Lockstep works with: that of Debian 12.
pub const OLDEST_MAJOR: u32 = 15;

/// How long [`Postgres::attach`] waits for a server that its owner is just starting.
const ATTACH_LIMIT: Duration = Duration::from_mins(1);

/// What becomes of the data when the machine loses power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// What was committed stays.
    #[default]
    Safe,
    /// All of it may be lost, for clusters that are thrown away: nothing waits for the disk. A server that is killed
    /// loses what was committed in its last moments, too.
    TestOnly,
}

/// How to run the private PostgreSQL.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that holds, or will hold, `postgres` and `postgres.lock`. Made if it is not there.
    pub data_dir: PathBuf,
    /// Folder of the programs to use (`--pg-bin`); `None` to look for them.
    pub bin_dir: Option<PathBuf>,
    /// Whether the programs may be fetched if there are none.
    pub fetch: bool,
    /// What becomes of the data when the machine loses power.
    pub durability: Durability,
    /// Connections the server takes at once.
    pub max_connections: u16,
    /// Further settings, which win over ours. They show in the machine's list of processes: nothing secret here.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// For a shop's data in `data_dir`: safe, with the programs fetched if need be, for 100 connections.
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

    /// The server's settings, in the order in which they are given: later ones win.
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
            // There are no replicas of a private server; without them less has to be logged.
            ("wal_level", "minimal"),
            ("max_wal_senders", "0"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            ("lc_messages", "C"),
            // Rows and statements do not belong in a log: they hold addresses and keys.
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

/// A private PostgreSQL that runs, and that this process owns. Dropping it stops the server.
#[derive(Debug)]
pub struct Postgres {
    // Before the folder: the lock is let go of only when the server is gone.
    server: Server,
    _folder: DataFolder,
    connection: Connection,
    installation: Installation,
    cluster: PathBuf,
    log: PathBuf,
    created: bool,
}

impl Postgres {
    /// Takes the data folder, makes a cluster if it holds none, and starts the server.
    ///
    /// Returns when connections are taken. Blocks for about a second with a new folder, for some hundredths of a second
    /// with an old one, for as long as a download takes if there are no programs, and for longer after a crash.
    ///
    /// # Errors
    /// Any [`Error`] but those of stopping; each says what to do. Called while this or another process owns the folder:
    /// [`Error::InUse`].
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
            // Root brought the data here, by a copy or a backup.
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

    /// Whether a server was ever made in this data folder. Changes nothing.
    pub fn is_in(data_dir: &Path) -> bool {
        let home = folder::home_of(data_dir);
        // A home that was moved elsewhere and is gone is told by whoever starts the server.
        folder::cluster_of(&home).exists() || (home.is_symlink() && !home.exists())
    }

    /// The server in `data_dir` that another process owns, so as to work beside that process; `None` if nobody owns the
    /// folder. Waits for up to a minute if the owner is just starting it.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder may not be looked into, [`Error::NotReady`] when the server does not come up.
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
                // The file may be a dead server's, with the new one about to write its own.
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

    /// Stops the server in good order and returns when it is gone, after 35 s at most. Connections still open are cut.
    ///
    /// # Errors
    /// [`Error::StopForced`] when it did not stop in time and was killed.
    pub fn stop(mut self) -> Result<(), Error> {
        self.server.stop()
    }

    /// How to connect as the owner of the database.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// [`Connection::url`] of [`Postgres::connection`].
    pub fn connection_string(&self) -> String {
        self.connection.url()
    }

    /// The folder that holds the socket.
    pub fn socket_dir(&self) -> &Path {
        self.connection.socket_dir()
    }

    /// The role that owns the database.
    pub fn user(&self) -> &str {
        self.connection.user()
    }

    /// [`Connection::url`] of [`Connection::superuser`].
    pub fn superuser_connection_string(&self) -> String {
        self.connection.superuser().url()
    }

    /// The programs that run.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Version of the server.
    pub fn version(&self) -> Version {
        self.installation.version()
    }

    /// Whether `CREATE EXTENSION name` can work. `None` if the folder of extensions could not be found.
    pub fn has_extension(&self, name: &str) -> Option<bool> {
        self.installation.has_extension(name)
    }

    /// Whether this start made the cluster.
    pub fn created(&self) -> bool {
        self.created
    }

    /// The folder with the data: what a backup of the stopped server must hold.
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
    /// How to connect as the owner of the database. Works for as long as the owner lives.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The folder of the running server's programs, as far as this machine tells.
    pub fn bin_dir(&self) -> Option<&Path> {
        self.bin_dir.as_deref()
    }

    /// [`Connection::url`] of [`Attached::connection`].
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
