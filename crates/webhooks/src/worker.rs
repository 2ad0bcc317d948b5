//! The worker that empties the queue. Any number may run, in one process or in several; a delivery is leased to one at a
//! time.
//!
//! An endpoint gets several deliveries at once, and one that fails gets one: however many endpoints are dead, the others do
//! not wait for them. A lease is longer than a request may take, so it is not renewed.

use std::time::Duration;

use lockstep_clock::Random;
use lockstep_store::webhooks::{self, After, Claimed, Failure, Room};
use lockstep_store::{Store, StoreError};
use rand::Rng as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::sending::{Outcome, PATIENCE, Sender};

/// Interval at which the queue is polled when no commit of this process wakes the worker.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Minimum time between two looks: in a busy shop every change wakes the worker.
const CALM: Duration = Duration::from_millis(100);

/// Deliveries at the same time: in total more than there can be endpoints, so that each has a place.
const ROOM: Room = Room { all: 64, each: 4 };

/// Duration of a lease.
const LEASE: Duration = Duration::from_secs(4 * PATIENCE.as_secs());

/// Number of attempts to record a result; a delivery whose result is not recorded is sent again.
const NOTED_WITHIN: u32 = 8;

/// The waits between attempts, a little over three days in total.
const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];

/// The result of one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Number of deliveries that were taken.
    pub delivered: u32,
    /// Number of deliveries to be tried again.
    pub later: u32,
    /// Number of deliveries given up.
    pub given_up: u32,
}

/// A result to record.
enum Noted {
    Taken(u16),
    Left(&'static str),
    Failed(Failure),
}

enum Fate {
    Delivered,
    Later,
    GivenUp,
}

/// Claims deliveries from the queue and sends them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Webhooks {
    store: Store,
    sender: Sender,
    random: Random,
}

impl Webhooks {
    /// A worker for this queue.
    pub fn new(store: Store, sender: Sender, random: Random) -> Self {
        Self { store, sender, random }
    }

    /// Runs until `stop` is cancelled, then finishes the deliveries in progress. A commit of this process wakes it at once;
    /// those of others are noticed within a second.
    pub async fn run(&self, stop: CancellationToken) {
        let mut commits = self.store.commits();
        let mut deliveries = JoinSet::new();
        while !stop.is_cancelled() {
            commits.borrow_and_update();
            match self.claim(deliveries.len()).await {
                Ok(claimed) => {
                    for delivery in claimed {
                        let this = self.clone();
                        deliveries.spawn(async move { this.deliver(&delivery).await });
                    }
                }
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "webhooks wait: the queue cannot be read"
                ),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(_) = deliveries.join_next(), if !deliveries.is_empty() => {
                    while deliveries.try_join_next().is_some() {}
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
                // Other commits follow closely; one poll covers them all.
                changed = commits.changed() => if changed.is_ok() {
                    tokio::time::sleep(CALM).await;
                },
            }
        }
        while deliveries.join_next().await.is_some() {}
    }

    /// Sends the deliveries that are due, as many as there are places, and waits for all of them.
    ///
    /// # Errors
    /// [`StoreError`] when the queue cannot be read.
    pub async fn round(&self) -> Result<Round, StoreError> {
        let mut deliveries = JoinSet::new();
        for delivery in self.claim(0).await? {
            let this = self.clone();
            deliveries.spawn(async move { this.deliver(&delivery).await });
        }
        let mut round = Round::default();
        for fate in deliveries.join_all().await {
            match fate {
                Fate::Delivered => round.delivered += 1,
                Fate::Later => round.later += 1,
                Fate::GivenUp => round.given_up += 1,
            }
        }
        Ok(round)
    }

    async fn claim(&self, in_hand: usize) -> Result<Vec<Claimed>, StoreError> {
        let in_hand = u32::try_from(in_hand).unwrap_or(u32::MAX);
        let room = Room {
            all: ROOM.all.saturating_sub(in_hand),
            each: ROOM.each,
        };
        if room.all == 0 || !webhooks::something_is_due(&self.store).await? {
            return Ok(Vec::new());
        }
        webhooks::claim(&self.store, room, LEASE).await
    }

    async fn deliver(&self, claimed: &Claimed) -> Fate {
        let (status, reason, asked) = match self.sender.send(claimed).await {
            Outcome::Taken { status } => {
                self.note(claimed, &Noted::Taken(status)).await;
                count("delivered");
                return Fate::Delivered;
            }
            Outcome::Unsigned => {
                let why = "no secret of LOCKSTEP_KEY_SECRET opens the secrets that sign it";
                tracing::warn!(endpoint = %claimed.endpoint, "a webhook waits: {why}");
                self.note(claimed, &Noted::Left(why)).await;
                return Fate::Later;
            }
            Outcome::Failed { status, reason, asked } => (status, reason, asked),
        };
        let is_gone = status == Some(410);
        let wait = if is_gone { None } else { self.wait(claimed.attempts) };
        let failure = Failure {
            status,
            retry_in: wait.map(|wait| wait.max(asked.unwrap_or_default())),
            reason,
            is_gone,
        };
        tracing::debug!(
            endpoint = %claimed.endpoint,
            delivery = %claimed.id,
            attempts = claimed.attempts,
            reason = failure.reason,
            "a webhook was not taken"
        );
        let retry_in = failure.retry_in;
        if self.note(claimed, &Noted::Failed(failure)).await == Some(After::Disabled) {
            tracing::warn!(
                endpoint = %claimed.endpoint,
                status,
                "a webhook was disabled: it is gone, or no delivery has succeeded for three days"
            );
        }
        if retry_in.is_some() {
            count("retried");
            Fate::Later
        } else {
            count("given_up");
            Fate::GivenUp
        }
    }

    /// Records a result. While the database does not answer it is tried again; after that, the lease ends and the delivery is
    /// sent again.
    async fn note(&self, claimed: &Claimed, noted: &Noted) -> Option<After> {
        for attempt in 1..=NOTED_WITHIN {
            match self.record(claimed, noted).await {
                Ok(noted) => return Some(noted),
                Err(error) if attempt == NOTED_WITHIN => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    delivery = %claimed.id,
                    "the result of a webhook could not be recorded: it is sent again"
                ),
                Err(_) => tokio::time::sleep(Duration::from_millis(100) * attempt * attempt).await,
            }
        }
        None
    }

    async fn record(&self, claimed: &Claimed, noted: &Noted) -> Result<After, StoreError> {
        match noted {
            Noted::Taken(status) => webhooks::delivered(&self.store, claimed, *status)
                .await
                .map(|ours| if ours { After::Goes } else { After::NotOurs }),
            Noted::Left(why) => webhooks::leave(&self.store, claimed, why).await.map(|()| After::Goes),
            Noted::Failed(failure) => webhooks::failed(&self.store, claimed, failure).await,
        }
    }

    /// How long to wait after this attempt, with up to a fifth more by chance; `None`: give up.
    fn wait(&self, attempts: u32) -> Option<Duration> {
        let nth = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = *WAITS.get(nth)?;
        let extra = self.random.rng().random_range(0..=200_u32);
        Some(wait + wait * extra / 1_000)
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("lockstep_outgoing_webhooks_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_last_three_days() {
        let total: Duration = WAITS.iter().sum();
        assert_eq!(total.as_secs() / 3_600, 75);
        assert!(LEASE > 2 * PATIENCE);
    }
}
