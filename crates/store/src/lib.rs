//! PostgreSQL, the source of truth: the schema, every SQL statement, and the only two ways to talk to it.
//!
//! [`Store::read`] gives an answer together with the [`Snapshot`] it was read in, so that the cache can prove later
//! that the answer is not older than the last change. [`Store::tx`] is the only way to write: it commits or rolls
//! back, repeats after a serialisation failure, and tells the process that something was committed. Functions of the
//! modules below take a [`Tx`] and are one step of one transaction; what they may not do outside it, they cannot.

pub mod accounts;
mod audit;
pub mod carts;
pub mod clock;
pub mod doctor;
mod error;
pub mod failpoint;
mod foreign_ids;
pub mod fulfilment;
pub mod games;
pub mod guests;
pub mod idempotency;
pub mod instances;
pub mod invalidation;
pub mod ledger;
pub mod limits;
pub mod mail;
pub mod migrations;
pub mod mutants;
pub mod orders;
pub mod pooler;
pub mod promo_codes;
pub mod retention;
mod row;
mod session;
pub mod sessions;
pub mod snapshot;
pub mod stock_alerts;
pub mod sync;
pub mod top_ups;
mod transaction;
pub mod wishlists;

/// Rows that one call of a `sweep` takes at the most: call it again while it returns that many.
pub const SWEEP: u32 = 1_000;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool};
use tokio::sync::watch;

pub use error::{Result, StoreError};
pub use foreign_ids::Forgotten;
use session::Session;
pub use snapshot::{Snapshot, Stamped};
pub use transaction::{AsStoreError, Tx};

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most connections this process opens.
    pub max_connections: u32,
    /// How long a caller waits for a free connection, or for a database that is away, before it is told
    /// [`StoreError::Unavailable`].
    pub acquire_timeout: Duration,
    /// The longest that one statement may run; the server ends it then.
    pub statement_timeout: Duration,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 16,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(15),
            application_name: "lockstep".into(),
        }
    }
}

/// A pool of connections to one database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    options: PgConnectOptions,
    session: Session,
    committed: Arc<watch::Sender<u64>>,
}

impl Store {
    /// Prepares a pool for `url` without connecting yet, so that Lockstep can start before its database.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the address cannot be read.
    pub fn new(url: &str, options: &Options) -> Result<Self> {
        let connect: PgConnectOptions = url.parse().map_err(StoreError::from)?;
        let connect = connect
            .application_name(&options.application_name)
            // Only for floats as text, of which there are none; poolers refuse it.
            .extra_float_digits(None)
            .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1))
            .log_statements(tracing::log::LevelFilter::Trace);
        let session = Session {
            statement_timeout: options.statement_timeout,
        };
        let pool =
            pool_of(options.max_connections, options.acquire_timeout, session).connect_lazy_with(connect.clone());
        Ok(Self {
            pool,
            options: connect,
            session,
            committed: Arc::new(watch::Sender::new(0)),
        })
    }

    /// Counts the commits of this process; wakes up when there are new ones.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// Answers when the database does.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while it does not.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("-- store.ping\nselect 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Closes all connections; statements under way end first.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn connect_options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// One more connection, outside the pool.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        let mut connection = self.options.connect().await?;
        self.session.tell(&mut connection).await?;
        Ok(connection)
    }
}

/// A pool whose connections are told how to work.
pub(crate) fn pool_of(connections: u32, acquire_timeout: Duration, session: Session) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(acquire_timeout)
        // A dead connection shows in the first statement; asking before each costs a fifth of the throughput.
        .test_before_acquire(false)
        .after_connect(move |connection, _| Box::pin(session.tell(connection)))
}
