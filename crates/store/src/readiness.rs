//! Whether the database takes writes. Reading proves little: a database that is read-only, or whose disk is full, answers
//! every question and takes no order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::transaction::Tx;
use crate::{Result, Store, StoreError, trust};

/// All who ask within this time share one probe, and the next one begins no earlier.
const SHARED: Duration = Duration::from_millis(250);
/// How often a probe also takes room on the disk while all is well; one that follows a failure always does.
const ROOM_EVERY: Duration = Duration::from_secs(5);

/// Some statement found the disk full: the next probe looks for itself.
static ROOM_DOUBTED: AtomicBool = AtomicBool::new(false);

/// Has the next probe take room, whenever one last did.
pub(crate) fn doubt_room() {
    ROOM_DOUBTED.store(true, Ordering::Relaxed);
}

/// What the probes of one [`Store`] and its clones have seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// When the last probe began.
    began: Option<Instant>,
    /// Why it failed.
    failure: Option<String>,
    /// When one last took room.
    room: Option<Instant>,
}

impl Store {
    /// Answers when the database takes writes: it updates one row, and now and then takes some room on its disk and gives
    /// it back. Costs the database at most four small writes a second, however many ask.
    ///
    /// After a failure the first probe that passes also has the connections replaced that were opened before it: they may
    /// still be read-only.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while it does not: away, restarting, read-only, a standby, or out of room.
    pub async fn ping(&self) -> Result<()> {
        let asked = Instant::now();
        let mut seen = self.probe.0.lock().await;
        if let Some(began) = seen.began {
            let is_news = began >= asked;
            let age = began.elapsed();
            if is_news || (seen.failure.is_none() && age < SHARED && trust::holds(age)) {
                return seen.told();
            }
            sleep_until(began + SHARED).await;
        }
        let began = Instant::now();
        seen.began = Some(began);
        let was_well = seen.failure.is_none();
        let doubted = ROOM_DOUBTED.swap(false, Ordering::Relaxed);
        let takes_room = doubted || !was_well || seen.room.is_none_or(|at| at.elapsed() >= ROOM_EVERY);
        // Whoever asks may stop waiting in the middle; the next one starts from "no".
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
                    tracing::info!("the database takes writes again");
                }
            }
            Some(reason) if was_well => {
                tracing::warn!("the database takes no writes: {reason}; what can be read goes on, orders wait");
            }
            Some(_) => {}
        }
        result
    }

    async fn probe_once(&self, takes_room: bool) -> Result<()> {
        // A connection whose probe was given up in the middle is not used again.
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
            // Gives it back; when that fails, the next probe finds the room taken and proves less, no more.
            let given_back = sqlx::raw_sql("-- store.ping.give_back\nvacuum (skip_locked, truncate) space_probe")
                .execute(tx.conn())
                .await;
            if let Err(error) = given_back {
                tracing::debug!(%error, "the room that a probe took was not given back");
            }
        }
        tx.finish(true);
        Ok(())
    }
}

impl Seen {
    fn told(&self) -> Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(reason) => Err(StoreError::Unavailable(sqlx::Error::Io(std::io::Error::other(
                reason.clone(),
            )))),
        }
    }
}

/// For the log: what the server or the system said.
fn reason(error: &StoreError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
