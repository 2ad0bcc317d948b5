//! The database of a command: the one that `DATABASE_URL` names, or the private one in the data folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lockstep_embedded_postgres::Postgres;
use lockstep_store::pooler::Path as Way;
use lockstep_store::{Options, Store};

use crate::config::Config;

/// How a command uses the private database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// It runs permanently and owns the data folder; a second owner is refused.
    Own,
    /// It works beside a running store, or else starts the database for itself. It does not create one.
    Join,
    /// Like `Join`, but creates a database if there is none.
    Make,
}

/// The problem with a pooler in transaction mode, and its remedy.
pub(crate) const SHARED_SESSIONS: &str = "DATABASE_URL leads through a connection pooler that gives one connection's \
    transactions to different server processes (PgBouncer: pool_mode = transaction or statement), where Lockstep's locks, \
    settings and notifications are lost; use a pool in session mode (pool_mode = session), or PostgreSQL's own address";

/// Fails if there is no store: only `serve`, `migrate` and `restore` create one.
pub(crate) fn demand_store(config: &Config) -> Result<()> {
    ensure!(
        config.database_url.is_some() || Postgres::is_in(&config.data_dir),
        "no store in {}; name its folder with --data-dir, or its database with --database-url (`lockstep serve` makes a \
         new one)",
        config.data_dir.display()
    );
    Ok(())
}

/// How long closing waits for connections whose statements do not end.
const CONNECTIONS: Duration = Duration::from_secs(2);

/// An open database.
pub(crate) struct Database {
    pub(crate) store: Store,
    /// Describes where the data are, for people. Contains no password.
    pub(crate) place: String,
    /// The connection string for PostgreSQL's programs. May hold a password.
    pub(crate) url: String,
    /// The folder of the private server's programs, if known.
    programs: Option<PathBuf>,
    private: Option<Postgres>,
}

impl Database {
    /// Connects to the database, or starts the private one. Does not touch the schema.
    pub(crate) async fn open(config: &Config, how: Use) -> Result<Self> {
        let options = Options {
            application_name: "lockstep".into(),
            max_connections: config.db_connections,
            ..Options::default()
        };
        if let Some(url) = &config.database_url {
            let store = Store::new(url, &options).context("DATABASE_URL")?;
            return Ok(Self {
                store,
                place: "DATABASE_URL".into(),
                url: url.clone(),
                programs: None,
                private: None,
            });
        }
        let (data_dir, pg_bin, asked) = (config.data_dir.clone(), config.pg_bin.clone(), config.clone());
        // Starting takes about a second and blocks.
        let (private, url, programs, place) = tokio::task::spawn_blocking(move || -> Result<_> {
            if how != Use::Own
                && let Some(running) = Postgres::attach(&data_dir)?
            {
                return Ok((
                    None,
                    running.connection_string(),
                    running.bin_dir().map(Path::to_path_buf),
                    format!("{} (in use by a running store)", data_dir.display()),
                ));
            }
            if how == Use::Join {
                demand_store(&asked)?;
            }
            let options = lockstep_embedded_postgres::Options {
                bin_dir: pg_bin,
                ..lockstep_embedded_postgres::Options::new(&data_dir)
            };
            let postgres = Postgres::start(&options)?;
            let (url, place) = (postgres.connection_string(), postgres.cluster().display().to_string());
            let programs = postgres.installation().bin_dir().to_path_buf();
            Ok((Some(postgres), url, Some(programs), place))
        })
        .await
        .context("starting the private database")??;
        let store = Store::new(&url, &options)?;
        Ok(Self {
            store,
            place,
            url,
            programs,
            private,
        })
    }

    /// The path of a PostgreSQL program in the private server's installation.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let folder = self
            .programs
            .as_deref()
            .context("it is not known where the server's programs are")?;
        let program = folder.join(name);
        ensure!(
            program.is_file(),
            "{name} is not in {}, where the server's programs are; name a whole PostgreSQL with --pg-bin",
            folder.display()
        );
        Ok(program)
    }

    /// Whether the database is the private one.
    pub(crate) fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// Applies pending migrations, deletes the transaction ids that a restored backup holds of another server, and logs
    /// both.
    ///
    /// Refuses a database behind a pooler that shares sessions, before taking a lock there.
    pub(crate) async fn migrate(&self) -> Result<Vec<(i64, String)>> {
        if self.store.path().await.context("connecting to the database")? == Way::SharedSessions {
            bail!(SHARED_SESSIONS);
        }
        let brought = self.store.migrate().await.context("bringing the schema up to date")?;
        if !brought.is_empty() {
            tracing::info!(
                migrations = brought.len(),
                "migrated the schema: {} migration(s) applied",
                brought.len()
            );
        }
        let forgotten = self.store.forget_foreign_ids().await.context("the invalidation log")?;
        if forgotten.is_something() {
            tracing::info!(
                rows = forgotten.rows,
                "this database was restored from another server's backup; discarded that server's transaction ids"
            );
        }
        Ok(brought)
    }

    /// Migrates a private database; any other has to be migrated already, and has to hold a shop.
    pub(crate) async fn be_up_to_date(&self) -> Result<()> {
        if self.is_private() {
            return self.migrate().await.map(drop);
        }
        let status = self.store.migration_status().await.context("the database")?;
        ensure!(
            !status.applied.is_empty(),
            "no shop in this database; `lockstep migrate` or `lockstep serve` makes one, or is DATABASE_URL another's?"
        );
        ensure!(
            status.pending.is_empty(),
            "the database's schema is behind this program; run `lockstep migrate` first"
        );
        Ok(())
    }

    /// Closes the connections, then stops the private database cleanly. If connections cannot be closed because the
    /// server does not respond, the server is stopped all the same: it ends with this process.
    pub(crate) async fn close(self) {
        if tokio::time::timeout(CONNECTIONS, self.store.close()).await.is_err() {
            tracing::warn!("connections to the database do not close; it does not answer");
        }
        if let Some(postgres) = self.private {
            let stopped = tokio::task::spawn_blocking(move || postgres.stop()).await;
            if let Ok(Err(error)) = stopped {
                tracing::warn!("{error}");
            }
        }
    }
}
