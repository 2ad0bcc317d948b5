//! PostgreSQL, the source of truth: the schema, every SQL statement, and the only two ways to access the database.
//!
//! [`Store::read`] returns an answer together with the [`Snapshot`] it was read in, so that the cache can prove later
//! that the answer is not older than the last change. [`Store::tx`] runs a transaction: it commits or rolls back,
//! retries after a serialisation failure, and notifies the process of the commit. Functions of the modules below take a
//! [`Tx`] and are one step of a transaction; the type keeps them from running outside one.

pub mod accounts;
pub mod admin;
mod alone;
pub mod audit;
pub mod carts;
pub mod clock;
pub mod content;
pub mod deliveries;
pub mod doctor;
mod error;
mod foreign_ids;
pub mod fulfilment;
pub mod games;
mod gate;
pub mod guests;
pub mod idempotency;
pub mod instances;
pub mod invalidation;
pub mod ledger;
pub mod limits;
pub mod mail;
pub mod migrations;
pub mod orders;
mod paging;
pub mod pooler;
pub mod pools;
pub mod promo_codes;
mod reach;
mod readiness;
pub mod retention;
mod row;
mod session;
pub mod sessions;
pub mod snapshot;
pub mod stock_alerts;
mod suitable;
pub mod sync;
pub mod top_ups;
pub mod traces;
mod transaction;
mod trust;
mod uncached;
mod unfinished;
pub mod wishlists;

/// Maximum number of rows that one call of a `sweep` removes: call it again while it returns this number.
pub const SWEEP: u32 = 1_000;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, PgPool};
use tokio::sync::watch;

use gate::Gate;
use pools::Shares;

pub use error::{Result, StoreError};
pub use foreign_ids::Forgotten;
pub use gate::Subject;
use session::Session;
pub use snapshot::{Snapshot, Stamped};
pub use suitable::{Unsuitable, Verdict};
pub use transaction::{AsStoreError, Tx};

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// Maximum number of connections of this process, divided as described in [`pools`]. A migration opens one more, a
    /// running synchronisation one, and the evictor one.
    pub max_connections: u32,
    /// How long a caller waits for a free connection, or for a database that is unavailable, before the call fails with
    /// [`StoreError::Unavailable`].
    pub acquire_timeout: Duration,
    /// Maximum run time of a statement; the server cancels it then.
    pub statement_timeout: Duration,
    /// How long a statement waits for a locked row before its caller gets an error for which [`StoreError::is_locked`]
    /// is true.
    pub lock_timeout: Duration,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: pools::USUAL,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(15),
            lock_timeout: Duration::from_secs(2),
            application_name: "lockstep".into(),
        }
    }
}

/// Connection pools of one database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    /// For writes.
    pool: PgPool,
    /// For [`Store::read`].
    reads: PgPool,
    /// For [`Store::ping`].
    vital: PgPool,
    gate: Gate,
    shares: Shares,
    acquire_timeout: Duration,
    options: PgConnectOptions,
    session: Session,
    committed: Arc<watch::Sender<u64>>,
    probe: readiness::Probe,
    seal: mail::Seal,
}

impl Store {
    /// Creates a pool for `url` without connecting, so that Lockstep can start before its database.
    ///
    /// # Errors
    /// [`StoreError::Address`] when the address cannot be parsed.
    pub fn new(url: &str, options: &Options) -> Result<Self> {
        reach::check(url)?;
        let connect: PgConnectOptions = url.parse().map_err(|_| {
            StoreError::Address(
                "its parts are ambiguous; percent-encode @ : / # ? and % in user and password".to_owned(),
            )
        })?;
        let connect = connect
            .application_name(&options.application_name)
            // Only affects the text form of floats, which the schema does not use; poolers reject it.
            .extra_float_digits(None)
            .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1))
            .log_statements(tracing::log::LevelFilter::Trace);
        let session = Session {
            statement_timeout: options.statement_timeout,
            lock_timeout: options.lock_timeout,
        };
        let (shares, acquire_timeout) = (Shares::of(options.max_connections), options.acquire_timeout);
        Ok(Self {
            pool: pools::pool(&connect, session, shares.writes, acquire_timeout),
            reads: pools::pool(&connect, session, shares.reads, acquire_timeout),
            vital: pools::pool(&connect, session, shares.vital, acquire_timeout),
            gate: Gate::before(shares.writes, 2 * acquire_timeout),
            shares,
            acquire_timeout,
            options: connect,
            session,
            committed: Arc::new(watch::Sender::new(0)),
            probe: readiness::Probe::default(),
            seal: mail::Seal::default(),
        })
    }

    /// Returns the same database with a separate small pool: its users neither wait for others nor take connections
    /// from them. Its commits wake the same waiters.
    #[must_use]
    pub fn apart(&self, connections: u32) -> Self {
        let pool = pools::pool(&self.options, self.session, connections, self.acquire_timeout);
        Self {
            reads: pool.clone(),
            pool,
            gate: Gate::before(connections, 2 * self.acquire_timeout),
            ..self.clone()
        }
    }

    /// Like [`apart`](Self::apart), with the connections reserved for background work: buying, e-mail, payments,
    /// maintenance.
    #[must_use]
    pub fn for_work(&self) -> Self {
        self.apart(self.shares.work)
    }

    /// A counter of the commits of this process, which wakes its receivers when it changes.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// Closes all connections after the running statements have finished.
    pub async fn close(&self) {
        for pool in [&self.pool, &self.reads, &self.vital] {
            pool.close().await;
        }
    }

    /// The pool itself; statements outside transactions go through [`alone`](Self::alone).
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn connect_options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Opens one more connection, outside the pool.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        let mut connection = self.options.connect().await?;
        self.session.tell(&mut connection).await?;
        Ok(connection)
    }
}
