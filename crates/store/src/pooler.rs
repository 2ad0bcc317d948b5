//! Detects whether a pooler between the shop and PostgreSQL distributes one session's statements over several server
//! processes.
//!
//! Lockstep holds locks, settings and prepared statements in its sessions, and listens in them. A pooler that takes a
//! connection back after each transaction (PgBouncer's `pool_mode = transaction`, as many hosted databases provide it)
//! breaks all of that without an error: a lock stays on a connection whose owner is gone. The check therefore tests
//! behaviour, not names.
//!
//! Its statements are sent with the simple protocol (`raw_sql`), which every pooler passes on, and touch no table.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::time::timeout;

use crate::{Result, Store, StoreError};

/// A pooler with too few connections makes the check wait for one.
const PATIENCE: Duration = Duration::from_secs(5);
/// Number of times the two connections alternate. A pooler with more than two connections can assign the same ones for
/// a while.
const ROUNDS: usize = 8;

/// How connections reach the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Each connection has its own server process, directly or through a pooler in session mode.
    OwnSessions,
    /// Connections share server processes: a pooler in transaction or statement mode.
    SharedSessions,
}

impl Store {
    /// Determines whether connections have their own server processes.
    ///
    /// Two connections that are open at the same time can never share a server process, and neither can ever change its
    /// own. Behind a pooler that takes connections back after each statement or transaction, both happen: at once if no
    /// other client uses it, because it assigns the same server process to both, and otherwise when two transactions
    /// have overlapped and each gets the other's process.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Refused`] when a pooler refuses the connection options.
    pub async fn path(&self) -> Result<Path> {
        // Without session settings.
        let (mut one, mut two) = (self.connect_plainly().await?, self.connect_plainly().await?);
        let path = observe_path(&mut one, &mut two).await;
        // A stuck pooler does not answer the termination message.
        timeout(PATIENCE, async { tokio::join!(one.close(), two.close()) })
            .await
            .ok();
        path
    }

    async fn connect_plainly(&self) -> Result<PgConnection> {
        with_timeout(async { Ok(self.connect_options().connect().await?) }).await
    }
}

async fn observe_path(one: &mut PgConnection, two: &mut PgConnection) -> Result<Path> {
    let (mut ones, mut twos) = (BTreeSet::new(), BTreeSet::new());
    let shared =
        |ones: &BTreeSet<String>, twos: &BTreeSet<String>| ones.len() > 1 || twos.len() > 1 || !ones.is_disjoint(twos);
    for round in 0..ROUNDS {
        ones.insert(with_timeout(process_of(one)).await?);
        twos.insert(with_timeout(process_of(two)).await?);
        if shared(&ones, &twos) {
            return Ok(Path::SharedSessions);
        }
        ones.insert(with_timeout(begin(one)).await?);
        twos.insert(with_timeout(begin(two)).await?);
        // Poolers reuse either the connection that was returned last or the one that was returned first.
        let (first, last) = if round.is_multiple_of(2) {
            (&mut *one, &mut *two)
        } else {
            (&mut *two, &mut *one)
        };
        sqlx::raw_sql("rollback").execute(first).await?;
        sqlx::raw_sql("rollback").execute(last).await?;
        if shared(&ones, &twos) {
            return Ok(Path::SharedSessions);
        }
    }
    Ok(Path::OwnSessions)
}

async fn with_timeout<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PATIENCE, answer)
        .await
        .unwrap_or_else(|_| Err(StoreError::timed_out()))
}

/// Uses the simple query protocol: how a pooler in transaction mode handles prepared statements is a separate question.
async fn process_of(connection: &mut PgConnection) -> Result<String> {
    let row = sqlx::raw_sql("select pg_backend_pid()::text")
        .fetch_one(connection)
        .await?;
    pid(&row)
}

async fn begin(connection: &mut PgConnection) -> Result<String> {
    sqlx::raw_sql("begin").execute(&mut *connection).await?;
    process_of(connection).await
}

fn pid(row: &PgRow) -> Result<String> {
    Ok(row.try_get(0)?)
}
