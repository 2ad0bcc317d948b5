//! Exclusive write access to the catalogue.

use lockstep_domain::ids::SyncRunId;
use sqlx::{Connection as _, PgConnection};

use crate::error::{Result, StoreError};
use crate::{Store, Tx};

/// The advisory lock of a synchronisation; any number that nothing else in this database uses.
const LOCK: i64 = 0x6c6f_636b_7374_6570;

/// Held while a synchronisation runs, on a dedicated connection: when the process dies, PostgreSQL releases it.
#[derive(Debug)]
pub struct CatalogueLock {
    conn: PgConnection,
}

impl CatalogueLock {
    /// Releases the lock at once. Dropping it does the same as soon as PostgreSQL notices the closed connection.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the connection is lost, and with it the lock.
    pub async fn release(mut self) -> Result<()> {
        // Closing alone would release the lock slightly after the client has continued: the next caller would be
        // refused.
        sqlx::query_scalar!("-- store.sync.unlock_catalogue\nselect pg_advisory_unlock($1)", LOCK)
            .fetch_one(&mut self.conn)
            .await?;
        self.conn.close().await?;
        Ok(())
    }
}

impl Store {
    /// Takes the lock, or returns `None` while another process holds it. Does not wait.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn lock_catalogue(&self) -> Result<Option<CatalogueLock>> {
        // A machine that disappeared must not hold the lock for the two hours until TCP notices.
        let mut conn = self.connect().await?;
        sqlx::raw_sql("set tcp_keepalives_idle = 15; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3")
            .execute(&mut conn)
            .await?;
        let held = sqlx::query_scalar!(
            r#"-- store.sync.lock_catalogue
            select pg_try_advisory_lock($1) as "held!""#,
            LOCK
        )
        .fetch_one(&mut conn)
        .await?;
        Ok(held.then_some(CatalogueLock { conn }))
    }
}

/// The right of one run to write, until another begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The run.
    pub run: SyncRunId,
    /// The epoch of the lease when it began.
    pub epoch: i64,
}

impl Fence {
    /// Checks that no other run has begun since, and prevents one until the transaction ends.
    pub(super) async fn hold(&self, tx: &mut Tx) -> Result<()> {
        let mine = sqlx::query_scalar!(
            r#"-- store.sync.hold_fence
            select 1 as "mine!" from sync_lease where name = 'catalogue' and epoch = $1 for share"#,
            self.epoch
        )
        .fetch_optional(tx.conn())
        .await?;
        mine.map(|_| ()).ok_or(StoreError::Fenced)
    }
}
