//! The worker that empties the queue. Any number may run, in one process or in several; a letter is in the hands of one
//! at a time.

use std::time::Duration;

use lockstep_store::mail::{self, Claimed};
use lockstep_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::delivery::{Delivery, DeliveryError};
use crate::letters::{self, Letterhead};

/// Letters taken at a time.
const BATCH: u32 = 10;

/// How long a batch may take; longer than all its deliveries can.
const LEASE: Duration = Duration::from_mins(10);

/// How often the queue is looked at when nothing of this process says that there is something.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A letter that a server refuses is tried this often: the first refusals may be about our own account there.
const MOST_REFUSALS: u32 = 3;

/// A letter that cannot be delivered is tried this often at the most.
const MOST_ATTEMPTS: u32 = 12;

/// What one round brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Letters that are out.
    pub sent: u32,
    /// Letters that will be tried again.
    pub later: u32,
    /// Letters that were given up.
    pub given_up: u32,
}

/// Takes letters from the queue and delivers them.
#[derive(Clone)]
pub struct Postman {
    store: Store,
    delivery: Delivery,
    head: Letterhead,
}

impl Postman {
    /// A postman for this queue.
    pub fn new(store: Store, delivery: Delivery, head: Letterhead) -> Self {
        Self { store, delivery, head }
    }

    /// Works until `stop`: at once after a commit of this process, and every few seconds for those of others. A letter
    /// in hand is finished first.
    pub async fn run(&self, stop: CancellationToken) {
        let mut commits = self.store.commits();
        while !stop.is_cancelled() {
            // What is committed from here on wakes the wait below.
            commits.borrow_and_update();
            let busy = match self.round().await {
                Ok(round) => round.sent + round.later + round.given_up >= BATCH,
                Err(error) => {
                    tracing::warn!(%error, "letters wait: the queue cannot be read");
                    false
                }
            };
            if !busy {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    // Other commits follow closely; one look serves them all.
                    changed = commits.changed() => if changed.is_ok() {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    },
                }
            }
        }
    }

    /// Delivers one batch of the letters that are due.
    ///
    /// # Errors
    /// [`StoreError`]; letters in hand come back when their lease runs out.
    pub async fn round(&self) -> Result<Round, StoreError> {
        let mut round = Round::default();
        for claimed in mail::claim(&self.store, BATCH, LEASE).await? {
            match self.deliver(&claimed).await {
                Ok(()) => {
                    mail::sent(&self.store, &claimed).await?;
                    round.sent += 1;
                }
                Err(error) => {
                    let retry_in = retry_in(&error, claimed.attempts);
                    mail::failed(&self.store, &claimed, &error.to_string(), retry_in).await?;
                    if retry_in.is_some() {
                        tracing::warn!(letter = %claimed.id, attempts = claimed.attempts, %error, "a letter has to wait");
                        round.later += 1;
                    } else {
                        tracing::error!(letter = %claimed.id, attempts = claimed.attempts, %error, "a letter was given up");
                        round.given_up += 1;
                    }
                }
            }
        }
        Ok(round)
    }

    async fn deliver(&self, claimed: &Claimed) -> Result<(), DeliveryError> {
        let Some(letter) = &claimed.letter else {
            return Err(DeliveryError::Address("a letter of another version of Lockstep".into()));
        };
        let written = letters::write(letter, &self.head)
            .map_err(|_| DeliveryError::Refused("the letter could not be written".into()))?;
        self.delivery.deliver(claimed, &written).await
    }
}

/// How long to wait before the next attempt: half a minute, doubled each time, at most an hour. `None`: give up.
fn retry_in(error: &DeliveryError, attempts: u32) -> Option<Duration> {
    let most = match error {
        DeliveryError::Address(_) => 1,
        DeliveryError::Refused(_) => MOST_REFUSALS,
        DeliveryError::Later(_) => MOST_ATTEMPTS,
    };
    let wait = Duration::from_secs(30).saturating_mul(2u32.saturating_pow(attempts.saturating_sub(1)));
    (attempts < most).then(|| wait.min(Duration::from_hours(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_end() {
        let later = DeliveryError::Later(String::new());
        let waits: Vec<_> = (1..=12)
            .map(|attempt| retry_in(&later, attempt).map(|wait| wait.as_secs()))
            .collect();
        assert_eq!(waits[..3], [Some(30), Some(60), Some(120)]);
        assert_eq!(waits[8..], [Some(3600), Some(3600), Some(3600), None]);
        assert_eq!(retry_in(&DeliveryError::Refused(String::new()), 3), None);
        assert_eq!(retry_in(&DeliveryError::Address(String::new()), 1), None);
        assert!(retry_in(&later, u32::MAX).is_none());
    }
}
