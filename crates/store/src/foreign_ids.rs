//! Removes transaction ids that came with a dump of another server.
//!
//! Transaction ids are only meaningful on the server that assigned them. `pg_dump` copies them as plain values: the
//! log, its floor and the evictor's position. On a new server they are in the future, so no snapshot sees them, and
//! every cached value would be rejected until the server's own ids have caught up, which takes days.
//!
//! Ids that this server wrote are always below the next id of a snapshot that sees them. Any other id belongs to
//! another server, however it got here, and removing it cannot lose a row of a transaction of this server, even of one
//! that commits meanwhile. Restored ids below that bound are harmless: they reject nothing that is read from now on,
//! and expire with the rest of the log.

use crate::row::how_many_of;
use crate::{Result, Store, StoreError};

/// What [`Store::forget_foreign_ids`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Rows of the log.
    pub rows: u64,
    /// Whether the floor was one.
    pub floor: bool,
    /// Positions of relays.
    pub places: u64,
}

impl Forgotten {
    /// Whether anything was removed.
    pub fn is_something(self) -> bool {
        self != Self::default()
    }
}

impl Store {
    /// Whether the log, its floor or an evictor's position holds ids of another server.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn has_foreign_ids(&self) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"-- store.foreign_ids.look
            select exists (select from cache_inval where xid >= pg_snapshot_xmax(pg_current_snapshot()))
                or exists (select from cache_floor where floor > pg_snapshot_xmax(pg_current_snapshot()))
                or exists (select from relay_cursor
                            where pg_snapshot_xmax(snapshot) > pg_snapshot_xmax(pg_current_snapshot())) as "foreign!""#
        )
        .fetch_one(self.alone())
        .await?)
    }

    /// Removes ids of another server, in one transaction that also gives the database a new name: every process drops
    /// its cached knowledge and rejects its cached values, as after a crash of the server. The floor can therefore
    /// restart at 0: no value was read under the new name before this commit.
    ///
    /// Concurrent calls wait for each other, and the later ones find nothing to remove.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; then nothing has changed.
    pub async fn forget_foreign_ids(&self) -> Result<Forgotten> {
        if !self.has_foreign_ids().await? {
            return Ok(Forgotten::default());
        }
        self.tx("forget_foreign_ids", |tx| {
            Box::pin(async move {
                // One day of the log can have millions of rows.
                sqlx::query!(
                    "-- store.foreign_ids.patience\nset local statement_timeout = '10min'"
                )
                    .execute(tx.conn())
                    .await?;
                // Before the deciding statement, so that it sees the result of concurrent removals and prunings.
                sqlx::query!(
                    "-- store.foreign_ids.one_at_a_time\nselect from cache_floor for update"
                )
                    .execute(tx.conn())
                    .await?;
                let removed = sqlx::query!(
                    r#"-- store.foreign_ids.forget
                    with next as materialized (select pg_snapshot_xmax(pg_current_snapshot()) as id),
                    log as (delete from cache_inval using next where xid >= next.id returning 1),
                    lowered as (update cache_floor set floor = '0' from next where floor > next.id returning 1),
                    places as (delete from relay_cursor using next where pg_snapshot_xmax(snapshot) > next.id returning 1)
                    select (select count(*) from log) as "rows!", (select count(*) from lowered) as "floors!",
                           (select count(*) from places) as "places!""#
                )
                .fetch_one(tx.conn())
                .await?;
                let forgotten = Forgotten {
                    rows: how_many_of(removed.rows),
                    floor: removed.floors > 0,
                    places: how_many_of(removed.places),
                };
                if forgotten.is_something() {
                    sqlx::query!(
                        "-- store.foreign_ids.rename\nupdate cache_incarnation set id = gen_random_uuid()"
                    )
                        .execute(tx.conn())
                        .await?;
                }
                Ok::<_, StoreError>(forgotten)
            })
        })
        .await
    }
}
