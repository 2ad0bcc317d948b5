//! Checks whether the database accepts writes. Reads prove little: a database that is read-only, or whose disk is full,
//! answers every query and accepts no order.
//!
//! The probe uses the simple protocol (`raw_sql`): it must work on any connection, and sends several statements at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::transaction::Tx;
use crate::{Result, Store, StoreError, trust};

/// All callers within this interval share one probe, and the next one starts no earlier.
const SHARED: Duration = Duration::from_millis(250);
/// How often a probe also allocates disk space while the database is healthy; one that follows a failure always does.
const ROOM_EVERY: Duration = Duration::from_secs(5);

/// The results of the probes of one [`Store`] and its clones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// When the last probe started.
    began: Option<Instant>,
    /// Why it failed.
    failure: Option<String>,
    /// When a probe last allocated disk space.
    room: Option<Instant>,
}

impl Store {
    /// Succeeds if the database accepts writes: it updates one row, and periodically allocates some disk space and
    /// frees it. Costs the database at most four small writes a second, for any number of callers.
    ///
    /// The first successful probe after a failure also has connections replaced that were opened earlier: they may
    /// still be read-only.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the database is down, restarting, read-only, a standby, or out of disk space.
    pub async fn ping(&self) -> Result<()> {
        let asked = Instant::now();
        let mut seen = self.probe.0.lock().await;
        if let Some(began) = seen.began {
            let is_news = began >= asked;
            let age = began.elapsed();
            if is_news || (seen.failure.is_none() && age < SHARED && trust::holds(age)) {
                return seen.last_result();
            }
            sleep_until(began + SHARED).await;
        }
        let began = Instant::now();
        seen.began = Some(began);
        let was_well = seen.failure.is_none();
        let doubted = trust::take_room_doubt();
        let takes_room = doubted || !was_well || seen.room.is_none_or(|at| at.elapsed() >= ROOM_EVERY);
        // The caller may be cancelled during the probe; until it has finished, the result counts as a failure.
        seen.failure = Some("it did not answer in time".into());
        let result = self.probe_once(takes_room).await;
        seen.failure = result.as_ref().err().map(reason);
        match &seen.failure {
            None => {
                if takes_room {
                    seen.room = Some(began);
                }
                if !was_well {
                    trust::lose();
                    tracing::info!("the database accepts writes again");
                }
            }
            Some(reason) if was_well => {
                tracing::warn!("the database accepts no writes: {reason}; reads continue, orders wait");
            }
            Some(_) => {}
        }
        result
    }

    async fn probe_once(&self, takes_room: bool) -> Result<()> {
        // A connection whose probe was cancelled is not reused.
        let mut tx = Tx::outside(self.vital.acquire().await?);
        sqlx::raw_sql(
            "-- store.ping
            insert into write_probe (id) values (true) on conflict (id) do update set at = clock_timestamp()",
        )
        .execute(tx.conn())
        .await?;
        if takes_room {
            sqlx::raw_sql(
                "-- store.ping.take_room
                begin; insert into space_probe select repeat('x', 8000) from generate_series(1, 8); rollback;
                -- Another process that gives back at the same moment is no warning.
                set client_min_messages = error",
            )
            .execute(tx.conn())
            .await?;
            // Frees the space; if that fails, the next probe finds the space already allocated and only proves less.
            let given_back = sqlx::raw_sql("-- store.ping.give_back\nvacuum (skip_locked, truncate) space_probe")
                .execute(tx.conn())
                .await;
            if let Err(error) = given_back {
                tracing::debug!(%error, "the space that a probe allocated was not released");
            }
        }
        tx.finish(true);
        Ok(())
    }
}

impl Seen {
    fn last_result(&self) -> Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(reason) => Err(StoreError::Unavailable(sqlx::Error::Io(std::io::Error::other(
                reason.clone(),
            )))),
        }
    }
}

/// The message of the server or the operating system, for the log.
fn reason(error: &StoreError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
