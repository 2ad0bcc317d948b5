//! PostgreSQL, the source of truth: the schema, every SQL statement, and the only two ways to access the database.
//!
//! [`Store::read`] returns an answer together with the [`Snapshot`] it was read in, so that the cache can prove later
//! that the answer is not older than the last change. [`Store::tx`] runs a transaction: it commits or rolls back,
//! retries after a serialisation failure, and notifies the process of the commit. Functions of the modules below take a
//! [`Tx`] and are one step of a transaction; the type keeps them from running outside one.

pub mod accounts;
pub mod acting;
pub mod admin;
mod alone;
pub mod api_tokens;
pub mod audit;
pub mod backups;
pub mod branding;
pub mod bulk;
pub mod cards;
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
mod hosts;
pub mod idempotency;
pub mod impersonations;
pub mod imports;
pub mod instances;
pub mod invalidation;
pub mod jobs;
pub mod ledger;
pub mod limits;
pub mod mail;
pub mod migrations;
pub mod orders;
mod paging;
pub mod pending_checkouts;
pub mod pooler;
pub mod pools;
pub mod price_rules;
pub mod promo_codes;
mod reach;
mod readiness;
pub mod repricing;
pub mod retention;
mod row;
pub mod scheduled;
mod sealed;
mod session;
pub mod sessions;
pub mod site;
pub mod snapshot;
pub mod stock_alerts;
mod suitable;
pub mod supplier_calls;
pub mod sync;
pub mod top_ups;
pub mod traces;
mod transaction;
mod trust;
mod uncached;
mod unfinished;
pub mod vat;
pub mod verify;
pub mod views;
pub mod webhooks;
pub mod wishlists;
pub mod withdrawals;

/// Maximum number of rows that one call of a `sweep` removes: call it again while it returns this number.
pub const SWEEP: u32 = 1_000;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, PgPool};
use tokio::sync::watch;

use gate::Gate;
use hosts::Hosts;
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
    /// running synchronisation one, the evictor one, and a running import of keys one.
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
    hosts: Hosts,
    /// The pools, which follow the primary while these exist.
    led: Vec<Arc<PgPool>>,
    session: Session,
    committed: Arc<watch::Sender<u64>>,
    probe: readiness::Probe,
    seal: mail::Seal,
    reductions: games::Reductions,
}

impl Store {
    /// Creates a pool for `url` without connecting, so that Lockstep can start before its database. Of several hosts, the
    /// primary is found and followed.
    ///
    /// # Errors
    /// [`StoreError::Address`] when the address cannot be parsed.
    pub fn new(url: &str, options: &Options) -> Result<Self> {
        reach::check(url)?;
        let hosts = Hosts::of(url, |connect| {
            connect
                .application_name(&options.application_name)
                // Only affects the text form of floats, which the schema does not use; poolers reject it.
                .extra_float_digits(None)
                .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1))
                .log_statements(tracing::log::LevelFilter::Trace)
        })?;
        let session = Session {
            statement_timeout: options.statement_timeout,
            lock_timeout: options.lock_timeout,
        };
        let (shares, acquire_timeout) = (Shares::of(options.max_connections), options.acquire_timeout);
        let pool = |connections| pools::pool(&hosts, session, connections, acquire_timeout);
        let (pool, reads, vital) = (pool(shares.writes), pool(shares.reads), pool(shares.vital));
        let led = [&pool, &reads, &vital].map(|pool| hosts.lead(pool)).to_vec();
        hosts.watch();
        Ok(Self {
            pool,
            reads,
            vital,
            gate: Gate::before(shares.writes, 2 * acquire_timeout),
            shares,
            acquire_timeout,
            hosts,
            led,
            session,
            committed: Arc::new(watch::Sender::new(0)),
            probe: readiness::Probe::default(),
            seal: mail::Seal::default(),
            reductions: games::Reductions::default(),
        })
    }

    /// Returns the same database with a separate small pool: its users neither wait for others nor take connections
    /// from them. Its commits wake the same waiters.
    #[must_use]
    pub fn apart(&self, connections: u32) -> Self {
        let pool = pools::pool(&self.hosts, self.session, connections, self.acquire_timeout);
        let mut led = self.led.clone();
        led.push(self.hosts.lead(&pool));
        Self {
            led,
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

    /// Wakes the waiters of [`commits`](Self::commits) after a commit outside [`tx`](Self::tx).
    pub(crate) fn announce_commit(&self) {
        self.committed.send_modify(|count| *count += 1);
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

    /// How to connect to the primary, as far as it is known.
    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        self.hosts.primary()
    }

    /// Opens one more connection, outside the pool.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        let mut connection = self.connect_options().connect().await?;
        self.hosts.admission().admit(&mut connection).await?;
        self.session.tell(&mut connection).await?;
        Ok(connection)
    }
}
