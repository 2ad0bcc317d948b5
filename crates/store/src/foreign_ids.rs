//! Transaction ids that came with a dump of another server.
//!
//! Ids mean something only where they were given out. `pg_dump` carries them along as plain values: the log, its floor
//! and the relay's place. In a fresh server they lie in the future, so nothing could ever have seen them, and every copy
//! would be refused until the server's own ids have caught up, which takes days.
//!
//! What this server wrote itself is always below the next id of the snapshot that sees it. So whatever is not is of
//! another server, whichever way it came here, and forgetting it cannot lose a row of a transaction of this one, not
//! even of one that commits meanwhile. Restored ids that are below it are harmless: they refuse nothing that is read
//! from now on, and run out with the rest of the log.

use crate::{Result, Store, StoreError};

/// What [`Store::forget_foreign_ids`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Rows of the log.
    pub rows: u64,
    /// The floor was one.
    pub floor: bool,
    /// Places of relays.
    pub places: u64,
}

impl Forgotten {
    /// Whether there was anything.
    pub fn is_something(self) -> bool {
        self != Self::default()
    }
}

impl Store {
    /// Whether the log, its floor or a relay's place holds ids of another server.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn has_foreign_ids(&self) -> Result<bool> {
        Ok(sqlx::query_scalar(
            "-- store.foreign_ids.look
            select exists (select from cache_inval where xid >= pg_snapshot_xmax(pg_current_snapshot()))
                or exists (select from cache_floor where floor > pg_snapshot_xmax(pg_current_snapshot()))
                or exists (select from relay_cursor where pg_snapshot_xmax(snapshot) > pg_snapshot_xmax(pg_current_snapshot()))",
        )
        .fetch_one(self.alone())
        .await?)
    }

    /// Forgets ids of another server, in one transaction that also gives the database a new name: every process forgets
    /// what it knew and refuses what it had, as after a crash of the server. That is why the floor may start at 0 again:
    /// under the new name nothing has been read before this commit.
    ///
    /// Concurrent calls wait for each other, and the later ones find nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; nothing has changed.
    pub async fn forget_foreign_ids(&self) -> Result<Forgotten> {
        if !self.has_foreign_ids().await? {
            return Ok(Forgotten::default());
        }
        self.tx("forget_foreign_ids", |tx| {
            Box::pin(async move {
                // A log of a day may have millions of rows.
                sqlx::query("-- store.foreign_ids.patience\nset local statement_timeout = '10min'")
                    .execute(tx.conn())
                    .await?;
                // Before the statement that decides, so that it sees what others that forget or prune have left.
                sqlx::query("-- store.foreign_ids.one_at_a_time\nselect from cache_floor for update")
                    .execute(tx.conn())
                    .await?;
                let (rows, floor, places): (i64, i64, i64) = sqlx::query_as(
                    "-- store.foreign_ids.forget
                    with next as materialized (select pg_snapshot_xmax(pg_current_snapshot()) as id),
                    log as (delete from cache_inval using next where xid >= next.id returning 1),
                    lowered as (update cache_floor set floor = '0' from next where floor > next.id returning 1),
                    places as (delete from relay_cursor using next where pg_snapshot_xmax(snapshot) > next.id returning 1)
                    select (select count(*) from log), (select count(*) from lowered), (select count(*) from places)",
                )
                .fetch_one(tx.conn())
                .await?;
                let count = |n: i64| u64::try_from(n).unwrap_or_default();
                let forgotten = Forgotten {
                    rows: count(rows),
                    floor: floor > 0,
                    places: count(places),
                };
                if forgotten.is_something() {
                    sqlx::query("-- store.foreign_ids.rename\nupdate cache_incarnation set id = gen_random_uuid()")
                        .execute(tx.conn())
                        .await?;
                }
                Ok::<_, StoreError>(forgotten)
            })
        })
        .await
    }
}
