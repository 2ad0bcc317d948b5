//! Reads the key, the one call that cannot be repeated. The answer is on disk before it is parsed, and in the database
//! before anything else happens.

use std::sync::Arc;
use std::time::Duration;

use lockstep_domain::ids::KeyId;
use lockstep_failpoint::failpoint;
use lockstep_g2a::{Error, parse_key};
use lockstep_store::fulfilment::incidents::{self, Incident};
use lockstep_store::fulfilment::keys::{self, Arrived, Recorded};
use lockstep_store::fulfilment::unreadable::{self, Unreadable};
use lockstep_store::fulfilment::{self as records, Unit};
use lockstep_store::{StoreError, Tx};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::reading::{self, Stop};
use crate::rules::{self, DetailsOutcome, Fetching, KeyOutcome};
use crate::spool::Spooled;
use crate::unit::{Next, commit};
use crate::{Counted, Fulfilment};

/// Number of "not yet" answers after which G2A is asked for the order's details; repeats at each multiple.
const ASK_DETAILS_EVERY: u32 = 4;
/// Maximum number of answers without a readable key per order. More would not contain one either.
const UNREADABLE_TRIES: u32 = 3;
/// Number of "order not found" answers after which G2A is believed.
const NOT_FOUND_TRIES: u32 = 6;

impl Fulfilment {
    /// `PAID` or `FETCHING`: reads the key once.
    pub(crate) async fn fetch(&self, unit: &Unit) -> Result<Next, StoreError> {
        let (inner, lease) = (&self.0, unit.lease);
        let Some(id) = unit.g2a_order_id.clone() else {
            return Ok(Next::Yield);
        };
        // The spool may still have an answer that was not recorded.
        failpoint!("fetching.spool");
        if self.replay(Some(&id)).await? {
            return Ok(Next::Continue);
        }
        if self.leaves(unit).await? {
            return Ok(Next::Yield);
        }
        failpoint!("fetching.intent.before");
        commit!(inner, "fulfil.begin_fetching", [], |tx, _l| records::begin_fetching(
            tx, lease
        )
        .await)?;
        failpoint!("fetching.intent.after");
        // In a separate task, so that the answer is read to its end and stored even if this task is dropped.
        let (this, of) = (self.clone(), unit.clone());
        let reading = async move { this.read_key(&of, &id).await };
        let reading = tokio::spawn(reading.in_current_span());
        match reading.await {
            Ok(result) => result,
            Err(failure) => {
                tracing::error!(%failure, "the task that reads a key failed");
                self.rest(unit, self.backoff(unit.attempts), Some("reading the key broke off"))
                    .await?;
                Ok(Next::Yield)
            }
        }
    }

    async fn read_key(&self, unit: &Unit, id: &str) -> Result<Next, StoreError> {
        let (inner, lease) = (&self.0, unit.lease);
        let _counted = Counted::one(&inner.reading);
        failpoint!("fetching.call.before");
        let answer = inner.client_of(unit).key_bytes(id).await;
        failpoint!("fetching.call.after");
        let mut has_tries = unit.attempts + 1 < inner.settings.unsure_tries;
        let (seen, why) = match answer {
            Ok(answer) => {
                let mut spooled = self.write_to_spool(unit, id, answer).await;
                failpoint!("fetching.spooled");
                let stored = self.store_key(&mut spooled).await;
                let stored = stored.inspect_err(|_| inner.unrecorded.notify_one())?;
                let seen = match stored {
                    KeyAnswer::Seen(seen) => seen,
                    KeyAnswer::Unreadable { times } => {
                        has_tries &= times < UNREADABLE_TRIES;
                        KeyOutcome::Unsure
                    }
                };
                (seen, "the answer holds no key".to_owned())
            }
            Err(error) => match self.handle_key_error(unit, id, &error).await? {
                Some(seen) => (seen, error.to_string()),
                None => return Ok(Next::Yield),
            },
        };
        match rules::after_key(seen, has_tries) {
            Fetching::Done => {
                metrics::counter!("lockstep_fulfilment_units_total", "end" => "delivered").increment(1);
                Ok(Next::Yield)
            }
            Fetching::NotYet => {
                let wait = self.backoff(unit.attempts);
                failpoint!("not_ready.before");
                commit!(inner, "fulfil.not_ready", [why], |tx, _l| records::not_ready(
                    tx, lease, wait, &why
                )
                .await)?;
                failpoint!("not_ready.after");
                Ok(Next::Yield)
            }
            Fetching::AskAgain => {
                self.rest(unit, self.backoff(unit.attempts.min(5)), Some(&why)).await?;
                Ok(Next::Yield)
            }
            Fetching::Lost => {
                self.declare_lost(unit, id, "KEY_LOST", &format!("the key is gone: {why}"))
                    .await?;
                Ok(Next::Yield)
            }
        }
    }

    /// Interprets the error of a key call. `None` when it is fully handled.
    async fn handle_key_error(&self, unit: &Unit, id: &str, error: &Error) -> Result<Option<KeyOutcome>, StoreError> {
        let (inner, lease) = (&self.0, unit.lease);
        let (stop, is_reported) = (Stop::of(error), self.reports_account(unit, error).await?);
        if is_reported || stop.is_some() {
            let retry = inner.settings.alarm_retry;
            if let Some(stop) = stop.filter(|_| !is_reported) {
                incidents::raise_alarm(&inner.store, stop.kind(), &error.to_string(), retry).await?;
            }
            let why = error.to_string();
            commit!(inner, "fulfil.not_ready", [why], |tx, _l| records::not_ready(
                tx, lease, retry, &why
            )
            .await)?;
            failpoint!("fetching.stopped");
            return Ok(None);
        }
        let Some(seen) = reading::key(error) else {
            let incident = Incident::new("SUPPLIER_UNKNOWN", "G2A does not know an order that it was paid for");
            let incident = incident.of(lease.unit).order(id);
            commit!(inner, "fulfil.unknown_order", [incident], |tx, _l| incidents::add(
                tx, &incident
            )
            .await)?;
            failpoint!("fetching.unknown_order");
            return Ok(Some(if unit.attempts < NOT_FOUND_TRIES {
                KeyOutcome::NotYet
            } else {
                KeyOutcome::Gone
            }));
        };
        if seen == KeyOutcome::NotYet
            && error.code().is_some()
            && unit.attempts % ASK_DETAILS_EVERY == ASK_DETAILS_EVERY - 1
        {
            failpoint!("fetching.details.before");
            let details = inner.client_of(unit).order_details(id).await;
            failpoint!("fetching.details.after");
            if reading::details(&details) == DetailsOutcome::TakenBack {
                self.declare_lost(unit, id, "SUPPLIER_CANCELLED", "G2A took a paid order back")
                    .await?;
                return Ok(None);
            }
        }
        Ok(Some(seen))
    }

    async fn declare_lost(&self, unit: &Unit, id: &str, kind: &'static str, why: &str) -> Result<(), StoreError> {
        let (inner, lease) = (&self.0, unit.lease);
        let (grace, decision) = (inner.settings.lost_grace, inner.settings.unreadable_grace);
        let incident = Incident::new(kind, why).of(lease.unit).order(id);
        failpoint!("lost.before");
        commit!(inner, "fulfil.lost", [why, incident, id], |tx, _l| {
            // Staff may find the key in a kept answer.
            let is_decided = !unreadable::waits(tx, lease.unit, &id).await?;
            records::lost(tx, lease, if is_decided { grace } else { grace.max(decision) }, &why).await?;
            incidents::add(tx, &incident).await
        })?;
        failpoint!("lost.after");
        metrics::counter!("lockstep_fulfilment_keys_lost_total").increment(1);
        Ok(())
    }

    /// Writes the answer to disk. When the disk fails, the answer stays in memory only.
    async fn write_to_spool(&self, unit: &Unit, id: &str, answer: lockstep_g2a::RawKeyAnswer) -> Spooled {
        let mut spooled = Spooled::in_memory(unit.lease.unit, id.to_owned(), answer.complete, answer.body.to_vec());
        self.try_spool(&mut spooled).await;
        if !spooled.is_on_disk() {
            tracing::error!("the spool cannot be written; a key is in memory only until it is recorded");
        }
        spooled
    }

    async fn try_spool(&self, answer: &mut Spooled) {
        let (inner, copy) = (Arc::clone(&self.0), answer.clone());
        let put = move || {
            inner
                .spool
                .put(copy.unit, &copy.g2a_order_id, &copy.body, copy.complete)
        };
        match tokio::task::spawn_blocking(put).await {
            Ok(Ok(spooled)) => *answer = spooled,
            Ok(Err(error)) => tracing::debug!(%error, "an answer could not be written to disk"),
            Err(error) => tracing::error!(%error, "the task that writes to the spool failed"),
        }
    }

    /// Records the spool's answers, of one order or of all, and returns whether any key was recorded. Runs before any
    /// key is requested again.
    ///
    /// # Errors
    /// The first failure. An answer whose rows are locked does not delay the others.
    pub(crate) async fn replay(&self, only: Option<&str>) -> Result<bool, StoreError> {
        let inner = Arc::clone(&self.0);
        let mut entries = match tokio::task::spawn_blocking(move || inner.spool.entries()).await {
            Ok(Ok(entries)) => entries,
            Ok(Err(error)) => {
                tracing::error!(%error, "the spool cannot be read");
                return Ok(false);
            }
            Err(_) => return Ok(false),
        };
        let (mut stored, mut locked) = (false, None);
        for entry in entries
            .iter_mut()
            .filter(|entry| only.is_none_or(|id| id == entry.g2a_order_id))
        {
            failpoint!("replay.entry");
            match self.store_key(entry).await {
                Ok(answer) => stored |= answer == KeyAnswer::Seen(KeyOutcome::Stored),
                Err(error) if error.is_locked() => locked = locked.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        locked.map_or(Ok(stored), Err)
    }

    /// Parses an answer and stores its key. While the database is unavailable it retries for `patience`; after that the
    /// spool still has the answer. An answer that is in memory only is retried for the life of the process and written
    /// to disk as soon as possible.
    async fn store_key(&self, answer: &mut Spooled) -> Result<KeyAnswer, StoreError> {
        let inner = &self.0;
        let key = match parse_key(&answer.body) {
            Ok(key) => key,
            Err(error) => {
                let seen = reading::key(&error).unwrap_or(KeyOutcome::Unsure);
                let is_nothing = answer.body.is_empty() && !answer.complete;
                if is_nothing || matches!(error, Error::Refused { .. }) {
                    drop(inner.spool.remove(answer));
                    return Ok(KeyAnswer::Seen(seen));
                }
                return self.keep_unreadable(answer).await;
            }
        };
        let id = KeyId(Uuid::now_v7());
        let arrived = Arrived {
            id,
            unit: answer.unit,
            g2a_order_id: answer.g2a_order_id.clone(),
            sealed: inner.keys.seal(&keys::place(id), key.value.expose().as_bytes()),
            hashes: inner.hashes(key.value.expose()),
            is_file: key.is_file,
        };
        let (began, mut told) = (tokio::time::Instant::now(), false);
        failpoint!("record.before");
        let recorded = loop {
            let arrived = arrived.clone();
            let emails = inner.emails.clone();
            let result = inner
                .store
                .tx("fulfil.record_key", |tx: &mut Tx| {
                    let (arrived, emails) = (arrived.clone(), emails.clone());
                    Box::pin(async move { keys::record(tx, &arrived, &emails).await })
                })
                .await;
            match result {
                Ok(recorded) => break recorded,
                // Another transaction has locked the user's or the game's rows. The spool has the key; this task is
                // free for other units.
                Err(error) if error.is_locked() && answer.is_on_disk() => return Err(error),
                Err(error @ StoreError::Unavailable(_))
                    if began.elapsed() < inner.settings.patience || !answer.is_on_disk() =>
                {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "a key waits for the database, in {}",
                            if answer.is_on_disk() {
                                "the spool"
                            } else {
                                "memory only"
                            }
                        );
                    }
                    if !answer.is_on_disk() {
                        self.try_spool(answer).await;
                    }
                    tokio::time::sleep(inner.settings.poll.max(Duration::from_millis(50))).await;
                }
                Err(error) => return Err(error),
            }
        };
        failpoint!("record.after");
        if let Err(error) = inner.spool.remove(answer) {
            tracing::warn!(%error, "a recorded answer could not be removed from the spool; it will be recorded again, without effect");
        }
        failpoint!("record.removed");
        Ok(KeyAnswer::Seen(match recorded {
            Recorded::Delivered(_) | Recorded::Known | Recorded::Stock => KeyOutcome::Stored,
            Recorded::Twice => KeyOutcome::Gone,
        }))
    }

    /// Keeps an answer without a readable key in the database for staff and records an incident.
    async fn keep_unreadable(&self, answer: &Spooled) -> Result<KeyAnswer, StoreError> {
        let (inner, id) = (&self.0, answer.id());
        let kept = Unreadable {
            id,
            unit: answer.unit,
            g2a_order_id: answer.g2a_order_id.clone(),
            sealed: inner.keys.seal(&unreadable::place(id), &answer.body),
            bytes: answer.body.len(),
            complete: answer.complete,
            machine: inner.machine.clone(),
        };
        let incident = Incident::new(
            "KEY_UNREADABLE",
            "an answer contains no readable key and is stored, sealed: `lockstep keys aside` shows it",
        );
        let incident = incident.of(answer.unit).order(&answer.g2a_order_id);
        let patience = inner.settings.unreadable;
        failpoint!("unreadable.before");
        let kept = commit!(inner, "fulfil.unreadable", [kept, incident], |tx, _l| {
            let kept = unreadable::keep(tx, &kept, patience).await?;
            incidents::add(tx, &incident).await.map(|()| kept)
        })?;
        failpoint!("unreadable.after");
        metrics::counter!("lockstep_fulfilment_keys_unreadable_total").increment(1);
        if let Some(game) = &kept.stopped {
            tracing::error!(
                game,
                "too many G2A answers contain no readable key: this game is not bought until staff allow it, or for {}",
                in_words(patience.stop)
            );
        }
        if let Err(error) = inner.spool.remove(answer) {
            tracing::warn!(%error, "a stored answer could not be removed from the spool; it will be stored again, without effect");
        }
        Ok(KeyAnswer::Unreadable {
            times: kept.of_this_order,
        })
    }

    /// Goes through the files that earlier runs set aside. Each that opens is recorded, or kept in the database for
    /// staff.
    pub(crate) async fn take_up_aside(&self) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.0);
        let Ok(Ok(found)) = tokio::task::spawn_blocking(move || inner.spool.openable_aside()).await else {
            return Ok(());
        };
        for mut answer in found {
            self.store_key(&mut answer).await?;
        }
        Ok(())
    }
}

/// The content of an answer.
#[derive(Debug, PartialEq, Eq)]
enum KeyAnswer {
    /// A key, or a known error.
    Seen(KeyOutcome),
    /// Nothing readable.
    Unreadable {
        /// Number of such answers for this order.
        times: u32,
    },
}

/// A duration in its largest unit that loses nothing.
fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 3600 && seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        seconds if seconds >= 60 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_the_unit_that_fits() {
        for (seconds, words) in [
            (0, "0 s"),
            (30, "30 s"),
            (90, "90 s"),
            (1_800, "30 min"),
            (5_400, "90 min"),
            (86_400, "24 h"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
