//! The request budget shared by all processes: one row, changed in one statement.
//!
//! The arithmetic is that of the token bucket in `crates/g2a`; a test of `crates/sync` compares the two. The clock is
//! the database's, so processes need not agree about the time. The table is unlogged: after a crash of the database the
//! bucket restarts empty, because the most recent calls are unknown. It only starts filled if no synchronisation has
//! ever read a page.

use std::time::Duration;

use crate::error::Result;
use crate::{Store, Tx};

/// Units of the bucket per call, as in `crates/g2a`: a refill of `n` calls a minute is `n` units a millisecond.
pub const UNITS_PER_CALL: i64 = 60_000;

/// Sizes of the bucket, in the units of `crates/g2a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketSizes {
    /// Cost of one call.
    pub cost: i64,
    /// What must remain after the call: the reserve for more urgent ones.
    pub kept_back: i64,
    /// Maximum level of the bucket.
    pub capacity: i64,
    /// Refill per millisecond.
    pub refill_per_ms: i64,
    /// Level at the first start of a new database. After a crash of the database it starts empty.
    pub at_first: i64,
    /// Maximum pause that is accepted.
    pub max_pause: Duration,
}

/// The state of the bucket, and the time by its own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Its level.
    pub level: i64,
    /// The time of `level`, in milliseconds since 1970.
    pub updated_at_ms: i64,
    /// No calls are granted before this time, in milliseconds since 1970.
    pub blocked_until_ms: i64,
    /// The current time by the database's clock, in milliseconds since 1970.
    pub now_ms: i64,
}

/// Whether a call was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Granted and counted.
    Granted,
    /// Refused; the bucket shows how long to wait.
    Refused(Bucket),
}

impl Store {
    /// Takes one call from the shared budget if one is available.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable): then no call may be made.
    pub async fn take_g2a_call(&self, sizes: BucketSizes) -> Result<Taken> {
        let granted = sqlx::query!(
            "-- store.sync.take_g2a_call
            with clock as materialized (select (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms)
            update g2a_budget b
               set level = least(b.level + greatest(c.now_ms - b.updated_at_ms, 0) * $1, $2) - $3,
                   updated_at_ms = case when c.now_ms - b.updated_at_ms < -5000 then c.now_ms
                                        else greatest(b.updated_at_ms, c.now_ms) end,
                   blocked_until_ms = case when c.now_ms - b.updated_at_ms < -5000
                                           then c.now_ms + (b.blocked_until_ms - b.updated_at_ms)
                                           else b.blocked_until_ms end
              from clock c
             where least(b.level + greatest(c.now_ms - b.updated_at_ms, 0) * $1, $2) - $3 >= $4
               and least(case when c.now_ms - b.updated_at_ms < -5000
                              then c.now_ms + (b.blocked_until_ms - b.updated_at_ms)
                              else b.blocked_until_ms end, c.now_ms + $5) <= c.now_ms",
            sizes.refill_per_ms,
            sizes.capacity,
            sizes.cost,
            sizes.kept_back,
            millis(sizes.max_pause)
        )
        .execute(self.alone())
        .await?;
        if granted.rows_affected() == 1 {
            return Ok(Taken::Granted);
        }
        // Refused, or the row is missing (a new database, or one that crashed).
        let bucket = sqlx::query_as!(
            Bucket,
            r#"-- store.sync.look_at_g2a_budget
            with clock as materialized (select (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms),
            made as (
                insert into g2a_budget (level, updated_at_ms, blocked_until_ms)
                select case when exists (select from sync_runs where pages_read > 0 or finished_at is not null)
                            then 0 else $1::bigint end, now_ms, now_ms
                  from clock
                on conflict do nothing returning level, updated_at_ms, blocked_until_ms),
            -- The clock was set back: the bucket fills from now on, and a pause lasts for as long as it would have.
            set_back as (
                update g2a_budget b
                   set updated_at_ms = c.now_ms,
                       blocked_until_ms = c.now_ms + least(greatest(b.blocked_until_ms - b.updated_at_ms, 0), $2)
                  from clock c where c.now_ms - b.updated_at_ms < -5000)
            select coalesce(m.level, b.level, 0) as "level!",
                   coalesce(m.updated_at_ms, b.updated_at_ms, c.now_ms) as "updated_at_ms!",
                   coalesce(m.blocked_until_ms, b.blocked_until_ms, c.now_ms) as "blocked_until_ms!",
                   c.now_ms as "now_ms!"
              from clock c left join g2a_budget b on true left join made m on true"#,
            sizes.at_first,
            millis(sizes.max_pause)
        )
        .fetch_one(self.alone())
        .await?;
        Ok(Taken::Refused(bucket))
    }

    /// Records that G2A asked to slow down: no calls are granted for `pause`. Of two pauses the later end counts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    pub async fn penalise_g2a(&self, pause: Duration) -> Result<()> {
        sqlx::query!(
            "-- store.sync.penalise_g2a
            with clock as materialized (select (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms)
            insert into g2a_budget as b (level, updated_at_ms, blocked_until_ms)
            select 0, now_ms, now_ms + $1 from clock
            on conflict (only_row) do update
               set blocked_until_ms = greatest(b.blocked_until_ms, excluded.blocked_until_ms)",
            millis(pause)
        )
        .execute(self.alone())
        .await?;
        Ok(())
    }
}

/// The state of the bucket, for people; `None` before the first call.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn look_at_budget(tx: &mut Tx) -> Result<Option<Bucket>> {
    Ok(sqlx::query_as!(
        Bucket,
        r#"-- store.sync.show_g2a_budget
        select level, updated_at_ms, blocked_until_ms,
               (extract(epoch from clock_timestamp()) * 1000)::bigint as "now_ms!"
          from g2a_budget"#
    )
    .fetch_optional(tx.conn())
    .await?)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
