//! The worker that empties the queue. Any number may run, in one process or in several; a letter is in the hands of one
//! at a time.
//!
//! Several letters are delivered at once, up to the number of connections to the mail server; a few of these are kept for
//! letters with codes and links, so that a password reset never waits behind a thousand order e-mails. A lease is short and
//! prolonged while a letter is being delivered: what a killed process held is free again before half a minute is over.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockstep_domain::letter::Letter;
use lockstep_store::mail::{self, Claimed, NotReadable, Room};
use lockstep_store::sessions;
use lockstep_store::{Store, StoreError};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::delivery::{Delivery, DeliveryError};
use crate::letters::{self, Letterhead};

/// How often the queue is looked at when nothing of this process says that there is something.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long ordinary letters rest after as many failures in a row as there are connections: the mail server is away.
const REST: Duration = Duration::from_secs(5);

/// How often it is tried to note that a letter is out; a letter of which it is not noted goes out again.
const NOTED_WITHIN: u32 = 8;

/// How letters are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// Letters that are delivered at the same time, which is connections to the mail server; at least 1.
    pub connections: u32,
    /// How long a letter is in the hands of a worker that says nothing more.
    pub lease: Duration,
}

impl Sending {
    /// So many at once.
    pub const fn over(connections: u32) -> Self {
        Self {
            connections,
            lease: Duration::from_secs(20),
        }
    }

    /// Connections that ordinary letters leave to urgent ones.
    fn kept_free(self) -> u32 {
        (self.connections / 4).max(u32::from(self.connections > 1))
    }
}

impl Default for Sending {
    /// Eight at once.
    fn default() -> Self {
        Self::over(8)
    }
}

/// A letter that a server refuses is tried this often: the first refusals may be about our own account there.
const MOST_REFUSALS: u32 = 3;

/// A letter that cannot be delivered is tried this often at the most: for a little over five hours.
const MOST_ATTEMPTS: u32 = 64;
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// What one round brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Letters that are out.
    pub sent: u32,
    /// Letters that will be tried again, here or by another worker.
    pub later: u32,
    /// Letters that were given up.
    pub given_up: u32,
}

/// What one letter came to.
enum Fate {
    Sent,
    Later,
    /// This worker cannot read it.
    Left,
    GivenUp,
}

/// The letters in the hands of this worker: with their leases, and whether they are urgent.
#[derive(Clone, Default)]
struct InHand(Arc<Mutex<HashMap<Uuid, (Uuid, bool)>>>);

impl InHand {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Uuid, (Uuid, bool)>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a letter in hand until the guard is dropped.
    fn take(&self, letter: &Claimed) -> Held {
        self.with(|all| all.insert(letter.id, (letter.lease, letter.is_urgent)));
        Held(self.clone(), letter.id)
    }
}

struct Held(InHand, Uuid);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.with(|all| all.remove(&self.1));
    }
}

/// Takes letters from the queue and delivers them.
#[derive(Clone)]
pub struct Postman {
    store: Store,
    delivery: Delivery,
    head: Letterhead,
    sending: Sending,
}

impl Postman {
    /// A postman for this queue.
    pub fn new(store: Store, delivery: Delivery, head: Letterhead, sending: Sending) -> Self {
        Self {
            store,
            delivery,
            head,
            sending,
        }
    }

    /// Works until `stop`: at once after a commit of this process, and every second for those of others. Letters in hand
    /// are finished first.
    pub async fn run(&self, stop: CancellationToken) {
        let in_hand = InHand::default();
        self.renewing(&in_hand, self.work(&in_hand, stop)).await;
    }

    async fn work(&self, in_hand: &InHand, stop: CancellationToken) {
        let mut commits = self.store.commits();
        let mut deliveries = JoinSet::new();
        let (mut failures, mut rests_until) = (0, Instant::now());
        while !stop.is_cancelled() {
            // What is committed from here on wakes the wait below.
            commits.borrow_and_update();
            let rests = rests_until > Instant::now();
            match self.claim(in_hand, rests).await {
                Ok(claimed) => {
                    for letter in claimed {
                        let held = in_hand.take(&letter);
                        let this = self.clone();
                        deliveries.spawn(async move {
                            let _held = held;
                            this.hand_over(&letter).await
                        });
                    }
                }
                Err(error) => tracing::warn!(%error, "letters wait: the queue cannot be read"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(done) = deliveries.join_next(), if !deliveries.is_empty() => {
                    failures = if matches!(done, Ok(Fate::Later)) { failures + 1 } else { 0 };
                    if failures >= self.sending.connections {
                        failures = 0;
                        rests_until = Instant::now() + REST;
                    }
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
                // Other commits follow closely; one look serves them all.
                changed = commits.changed() => if changed.is_ok() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                },
            }
        }
        while deliveries.join_next().await.is_some() {}
    }

    /// Delivers as many letters as there are connections, if so many are due, and waits for all of them.
    ///
    /// # Errors
    /// [`StoreError`] when the queue cannot be read.
    pub async fn round(&self) -> Result<Round, StoreError> {
        let in_hand = InHand::default();
        let mut deliveries = JoinSet::new();
        for letter in self.claim(&in_hand, false).await? {
            let held = in_hand.take(&letter);
            let this = self.clone();
            deliveries.spawn(async move {
                let _held = held;
                this.hand_over(&letter).await
            });
        }
        let fates = self.renewing(&in_hand, deliveries.join_all()).await;
        let mut round = Round::default();
        for fate in fates {
            match fate {
                Fate::Sent => round.sent += 1,
                Fate::Later | Fate::Left => round.later += 1,
                Fate::GivenUp => round.given_up += 1,
            }
        }
        Ok(round)
    }

    /// Letters for which there is room, those in hand counted; urgent ones only while ordinary ones rest.
    async fn claim(&self, in_hand: &InHand, rests: bool) -> Result<Vec<Claimed>, StoreError> {
        for (letter, kind) in mail::drop_late(&self.store).await? {
            tracing::warn!(%letter, kind, "a letter was dropped: what it says had run out before it could be sent");
        }
        let (all, ordinary) = in_hand.with(|all| {
            let ordinary = all.values().filter(|(_, is_urgent)| !is_urgent).count();
            (all.len(), ordinary)
        });
        let (all, ordinary) = (
            u32::try_from(all).unwrap_or(u32::MAX),
            u32::try_from(ordinary).unwrap_or(u32::MAX),
        );
        let most_ordinary = self.sending.connections - self.sending.kept_free().min(self.sending.connections - 1);
        let room = Room {
            all: self.sending.connections.saturating_sub(all),
            ordinary: if rests {
                0
            } else {
                most_ordinary.saturating_sub(ordinary)
            },
        };
        if room.all == 0 {
            return Ok(Vec::new());
        }
        mail::claim(&self.store, room, self.sending.lease).await
    }

    /// Does `work`, and meanwhile prolongs the leases of what is in hand.
    async fn renewing<T>(&self, in_hand: &InHand, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut every = tokio::time::interval(self.sending.lease / 4);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = every.tick() => {}
            }
            let leases: Vec<(Uuid, Uuid)> =
                in_hand.with(|all| all.iter().map(|(id, (lease, _))| (*id, *lease)).collect());
            if !leases.is_empty()
                && let Err(error) = mail::renew(&self.store, &leases, self.sending.lease).await
            {
                tracing::warn!(%error, "the leases of letters in hand could not be prolonged");
            }
        }
    }

    /// Delivers one letter and notes what came of it.
    async fn hand_over(&self, claimed: &Claimed) -> Fate {
        let letter = match &claimed.letter {
            Ok(letter) => letter,
            Err(why) => return self.leave(claimed, *why).await,
        };
        let outcome = self.deliver(claimed, letter).await;
        let retry_in = match &outcome {
            Ok(()) => None,
            Err(error) => retry_in(error, claimed.attempts),
        };
        for attempt in 1..=NOTED_WITHIN {
            let noted = match &outcome {
                Ok(()) => mail::sent(&self.store, claimed).await,
                Err(error) => mail::failed(&self.store, claimed, &error.to_string(), retry_in).await,
            };
            match noted {
                Ok(_) => break,
                Err(error) if attempt == NOTED_WITHIN => {
                    tracing::warn!(letter = %claimed.id, %error, "what came of a letter could not be noted: it is tried again");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100) * attempt * attempt).await,
            }
        }
        match outcome {
            Ok(()) => Fate::Sent,
            Err(error) if retry_in.is_some() => {
                tracing::warn!(letter = %claimed.id, attempts = claimed.attempts, %error, "a letter has to wait");
                Fate::Later
            }
            Err(error) => {
                tracing::error!(letter = %claimed.id, attempts = claimed.attempts, %error, "a letter was given up");
                Fate::GivenUp
            }
        }
    }

    /// Leaves a letter that cannot be read here to other workers.
    async fn leave(&self, claimed: &Claimed, why: NotReadable) -> Fate {
        match mail::leave(&self.store, claimed, why).await {
            Ok(true) => tracing::warn!(letter = %claimed.id, "an e-mail {why}"),
            Ok(false) => {}
            // Its lease runs out.
            Err(error) => tracing::warn!(letter = %claimed.id, %error, "an e-mail {why}"),
        }
        Fate::Left
    }

    async fn deliver(&self, claimed: &Claimed, letter: &Letter) -> Result<(), DeliveryError> {
        let language = match letter.language() {
            Some(language) => language,
            None => sessions::language_of_letter(&self.store, claimed.id)
                .await
                .map_err(|error| DeliveryError::Later(error.to_string()))?,
        };
        let written = letters::write(letter, language, &self.head)
            .map_err(|_| DeliveryError::Refused("the letter could not be written".into()))?;
        self.delivery.deliver(claimed, &written).await
    }
}

/// How long to wait before the next attempt: half a minute, doubled each time, at most five. `None`: give up.
///
/// Longer waits would outlast the outage: an e-mail holds back the later ones to its address, so a queue behind heads that wait
/// for an hour stays long after the mail server is well again.
fn retry_in(error: &DeliveryError, attempts: u32) -> Option<Duration> {
    let most = match error {
        DeliveryError::Address(_) => 1,
        DeliveryError::Refused(_) => MOST_REFUSALS,
        DeliveryError::Later(_) => MOST_ATTEMPTS,
    };
    let wait = Duration::from_secs(30).saturating_mul(2u32.saturating_pow(attempts.saturating_sub(1)));
    (attempts < most).then(|| wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_end_after_five_hours() {
        let later = DeliveryError::Later(String::new());
        let waits: Vec<u64> = (1..=u32::MAX)
            .map_while(|attempt| retry_in(&later, attempt).map(|wait| wait.as_secs()))
            .collect();
        assert_eq!(waits[..5], [30, 60, 120, 240, 300]);
        assert!(waits[4..].iter().all(|wait| *wait == 300));
        let hours = waits.iter().sum::<u64>() / 3_600;
        assert_eq!(hours, 5);
        assert_eq!(retry_in(&DeliveryError::Refused(String::new()), 3), None);
        assert_eq!(retry_in(&DeliveryError::Address(String::new()), 1), None);
        assert!(retry_in(&later, u32::MAX).is_none());
    }
}
