//! The one call that cannot be made twice: reading a key. Its answer is on disk before anything looks at it, and in the
//! database before anything else happens.

use std::sync::Arc;
use std::time::Duration;

use lockstep_domain::ids::KeyId;
use lockstep_g2a::{Error, parse_key};
use lockstep_store::fulfilment::incidents::{self, Incident};
use lockstep_store::fulfilment::keys::{self, Arrived, Recorded};
use lockstep_store::fulfilment::{self as records, Unit};
use lockstep_store::{StoreError, Tx, failpoint, mutants};
use uuid::Uuid;

use crate::Fulfilment;
use crate::reading::{self, Stop};
use crate::rules::{self, DetailsSeen, Fetching, KeySeen};
use crate::spool::Spooled;
use crate::unit::{Flow, commit};

/// After so many "not yet" G2A is asked about the order itself, and then again after as many more.
const ASK_DETAILS_EVERY: u32 = 4;
/// After so many answers that G2A does not know the order, it is believed.
const NOT_FOUND_TRIES: u32 = 6;

impl Fulfilment {
    /// `PAID` or `FETCHING`: reads the key, once.
    pub(crate) async fn fetch(&self, unit: &Unit) -> Result<Flow, StoreError> {
        let (inner, lease) = (&self.0, unit.lease);
        let Some(id) = unit.g2a_order_id.clone() else {
            return Ok(Flow::Rest);
        };
        // An answer that could not be recorded may still lie here.
        failpoint!("fetching.spool");
        if self.replay(Some(&id)).await? {
            return Ok(Flow::On);
        }
        failpoint!("fetching.intent.before");
        commit!(inner, "fulfil.begin_fetching", [], |tx, _l| records::begin_fetching(
            tx, lease
        )
        .await)?;
        failpoint!("fetching.intent.after");
        // In a task of its own: whatever happens to this one, the answer is read to its end and stored.
        let (this, of) = (self.clone(), unit.clone());
        let reading = tokio::spawn(async move { this.read_key(&of, &id).await });
        match reading.await {
            Ok(result) => result,
            Err(failure) => {
                tracing::error!(%failure, "reading a key broke off");
                Ok(Flow::Rest)
            }
        }
    }

    async fn read_key(&self, unit: &Unit, id: &str) -> Result<Flow, StoreError> {
        let (inner, lease) = (&self.0, unit.lease);
        failpoint!("fetching.call.before");
        let mut answer = inner.client.key_bytes(id).await;
        if mutants::make("read-key-again") {
            answer = inner.client.key_bytes(id).await;
        }
        failpoint!("fetching.call.after");
        let (seen, why) = match answer {
            Ok(answer) => {
                let spooled = self.put_into_spool(unit, id, &answer).await;
                failpoint!("fetching.spooled");
                (self.store_key(&spooled).await?, "the answer holds no key".to_owned())
            }
            Err(error) => match self.without_key(unit, id, &error).await? {
                Some(seen) => (seen, error.to_string()),
                None => return Ok(Flow::Rest),
            },
        };
        match rules::after_key(seen, unit.attempts + 1 < inner.settings.unsure_tries) {
            Fetching::Done => {
                metrics::counter!("fulfil_units_total", "end" => "delivered").increment(1);
                Ok(Flow::Rest)
            }
            Fetching::NotYet => {
                let wait = self.backoff(unit.attempts);
                failpoint!("not_ready.before");
                commit!(inner, "fulfil.not_ready", [why], |tx, _l| records::not_ready(
                    tx, lease, wait, &why
                )
                .await)?;
                failpoint!("not_ready.after");
                Ok(Flow::Rest)
            }
            Fetching::AskAgain => {
                self.rest(unit, self.backoff(unit.attempts.min(5)), Some(&why)).await?;
                Ok(Flow::Rest)
            }
            Fetching::Lost => {
                self.declare_lost(unit, id, "KEY_LOST", &format!("the key is gone: {why}"))
                    .await?;
                Ok(Flow::Rest)
            }
        }
    }

    /// What a key call means that brought no key. `None`: it has been dealt with.
    async fn without_key(&self, unit: &Unit, id: &str, error: &Error) -> Result<Option<KeySeen>, StoreError> {
        let (inner, lease) = (&self.0, unit.lease);
        if let Some(stop) = Stop::of(error) {
            let (kind, retry) = (stop.kind(), inner.settings.alarm_retry);
            incidents::raise_alarm(&inner.store, kind, &error.to_string(), retry).await?;
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
                KeySeen::NotYet
            } else {
                KeySeen::Gone
            }));
        };
        if seen == KeySeen::NotYet
            && error.code().is_some()
            && unit.attempts % ASK_DETAILS_EVERY == ASK_DETAILS_EVERY - 1
        {
            failpoint!("fetching.details.before");
            let details = inner.client.order_details(id).await;
            failpoint!("fetching.details.after");
            if reading::details(&details) == DetailsSeen::TakenBack {
                self.declare_lost(unit, id, "SUPPLIER_CANCELLED", "G2A took a paid order back")
                    .await?;
                return Ok(None);
            }
        }
        Ok(Some(seen))
    }

    async fn declare_lost(&self, unit: &Unit, id: &str, kind: &'static str, why: &str) -> Result<(), StoreError> {
        let (inner, lease, grace) = (&self.0, unit.lease, self.0.settings.lost_grace);
        let incident = Incident::new(kind, why).of(lease.unit).order(id);
        failpoint!("lost.before");
        commit!(inner, "fulfil.lost", [why, incident], |tx, _l| {
            records::lost(tx, lease, grace, &why).await?;
            incidents::add(tx, &incident).await
        })?;
        failpoint!("lost.after");
        metrics::counter!("fulfil_keys_lost_total").increment(1);
        Ok(())
    }

    /// The answer on disk. When the disk fails it is still in memory, which is better than nothing.
    async fn put_into_spool(&self, unit: &Unit, id: &str, answer: &lockstep_g2a::RawKeyAnswer) -> Spooled {
        let (inner, unit, id) = (Arc::clone(&self.0), unit.lease.unit, id.to_owned());
        let (body, complete) = (answer.body.clone(), answer.complete);
        let put = {
            let (id, body) = (id.clone(), body.clone());
            tokio::task::spawn_blocking(move || inner.spool.put(unit, &id, &body, complete)).await
        };
        match put {
            Ok(Ok(spooled)) => spooled,
            failed => {
                let error = match failed {
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                    Ok(Ok(_)) => String::new(),
                };
                tracing::error!(%error, "the spool cannot be written; a key is in memory only until it is recorded");
                Spooled::in_memory(unit, id, complete, body.to_vec())
            }
        }
    }

    /// Records what the spool holds, of one order or of all; true when something was recorded. Before any key is asked
    /// for again.
    pub(crate) async fn replay(&self, only: Option<&str>) -> Result<bool, StoreError> {
        let inner = Arc::clone(&self.0);
        let entries = match tokio::task::spawn_blocking(move || inner.spool.entries()).await {
            Ok(Ok(entries)) => entries,
            Ok(Err(error)) => {
                tracing::error!(%error, "the spool cannot be read");
                return Ok(false);
            }
            Err(_) => return Ok(false),
        };
        let mut stored = false;
        for entry in entries
            .iter()
            .filter(|entry| only.is_none_or(|id| id == entry.g2a_order_id))
        {
            failpoint!("replay.entry");
            stored |= self.store_key(entry).await? == KeySeen::Stored;
        }
        Ok(stored)
    }

    /// From an answer to a stored key. Tried until the database takes it, or for as long as the lease lasts: after that
    /// the spool still has it.
    async fn store_key(&self, answer: &Spooled) -> Result<KeySeen, StoreError> {
        let inner = &self.0;
        let key = match parse_key(&answer.body) {
            Ok(key) => key,
            Err(error) => {
                let seen = reading::key(&error).unwrap_or(KeySeen::Unsure);
                if answer.body.is_empty() || matches!(error, Error::Refused { .. }) {
                    drop(inner.spool.remove(answer));
                } else {
                    let incident = Incident::new(
                        "KEY_UNREADABLE",
                        "an answer that holds no readable key was put aside, sealed",
                    );
                    let incident = incident.of(answer.unit).order(&answer.g2a_order_id);
                    commit!(inner, "fulfil.unreadable", [incident], |tx, _l| incidents::add(
                        tx, &incident
                    )
                    .await)?;
                    if let Err(error) = inner.spool.keep(answer) {
                        tracing::error!(%error, "an unreadable answer could not be put aside");
                    }
                }
                return Ok(seen);
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
        let began = tokio::time::Instant::now();
        failpoint!("record.before");
        let recorded = loop {
            let arrived = arrived.clone();
            let letters = inner.letters.clone();
            let result = inner
                .store
                .tx("fulfil.record_key", |tx: &mut Tx| {
                    let (arrived, letters) = (arrived.clone(), letters.clone());
                    Box::pin(async move { keys::record(tx, &arrived, &letters).await })
                })
                .await;
            match result {
                Ok(recorded) => break recorded,
                Err(error @ StoreError::Unavailable(_)) if began.elapsed() < inner.settings.lease => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a key waits for the database, in the spool"
                    );
                    tokio::time::sleep(inner.settings.poll.max(Duration::from_millis(50))).await;
                }
                Err(error) => return Err(error),
            }
        };
        failpoint!("record.after");
        if let Err(error) = inner.spool.remove(answer) {
            tracing::warn!(%error, "a recorded answer is still in the spool; it will be recorded once more, to no effect");
        }
        failpoint!("record.removed");
        Ok(match recorded {
            Recorded::Delivered(_) | Recorded::Known | Recorded::Stock => KeySeen::Stored,
            Recorded::Twice => KeySeen::Gone,
        })
    }
}
