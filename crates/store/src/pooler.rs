//! Whether something between us and PostgreSQL gives one session's statements to several.
//!
//! Lockstep holds locks, settings and prepared statements in its sessions, and listens in them. A pooler that gives a
//! connection back after each transaction (PgBouncer's `pool_mode = transaction`, as many hosted databases bring it)
//! breaks all of that without an error: a lock stays on a connection whose owner is gone. So it is looked for by what it
//! does, whatever it is called.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::time::timeout;

use crate::{Result, Store, StoreError};

/// A pooler with too few connections makes us wait for one.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the two change places. A pooler with more connections than two may hand out the same ones for a while.
const ROUNDS: usize = 8;

/// How the database is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Each connection has a server process of its own, directly or through a pooler in session mode.
    OwnSessions,
    /// Connections share server processes: a pooler in transaction or statement mode.
    SharedSessions,
}

impl Store {
    /// Finds out whether connections have server processes of their own.
    ///
    /// Two connections that are open at the same time can never be one server process, and neither can ever change its
    /// own. Behind a pooler that takes connections back after each statement or transaction both happen: at once when
    /// nobody else asks it, because it gives the same connection to both, and otherwise when two transactions have
    /// overlapped and each is given what the other had.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Refused`] when a pooler refuses how we connect.
    pub async fn path(&self) -> Result<Path> {
        // As they come: told nothing yet.
        let (mut one, mut two) = (self.connect_plainly().await?, self.connect_plainly().await?);
        let path = look(&mut one, &mut two).await;
        // A pooler that is stuck does not answer a good-bye.
        timeout(PATIENCE, async { tokio::join!(one.close(), two.close()) })
            .await
            .ok();
        path
    }

    async fn connect_plainly(&self) -> Result<PgConnection> {
        patiently(async { Ok(self.connect_options().connect().await?) }).await
    }
}

async fn look(one: &mut PgConnection, two: &mut PgConnection) -> Result<Path> {
    let (mut ones, mut twos) = (BTreeSet::new(), BTreeSet::new());
    let shared =
        |ones: &BTreeSet<String>, twos: &BTreeSet<String>| ones.len() > 1 || twos.len() > 1 || !ones.is_disjoint(twos);
    for round in 0..ROUNDS {
        ones.insert(patiently(process_of(one)).await?);
        twos.insert(patiently(process_of(two)).await?);
        if shared(&ones, &twos) {
            return Ok(Path::SharedSessions);
        }
        ones.insert(patiently(begin(one)).await?);
        twos.insert(patiently(begin(two)).await?);
        // Poolers give out the connection that came back last, or the one that came back first.
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

async fn patiently<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PATIENCE, answer)
        .await
        .unwrap_or_else(|_| Err(StoreError::timed_out()))
}

/// Sent as plain text: what a pooler in transaction mode makes of prepared statements is another matter.
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
