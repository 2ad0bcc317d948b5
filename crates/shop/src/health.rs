//! What monitors ask about the shop: each question has a time limit, and no answer is an answer.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_store::fulfilment::stops::{self, Stop};
use lockstep_store::{StoreError, games, mail, top_ups};
use tokio::time::timeout;

use crate::Shop;

/// Timeout of the PostgreSQL check, and of that of purchasing.
const PATIENCE: Duration = Duration::from_secs(2);
/// Timeout of the checks that do not affect readiness.
const PATIENCE_FOR_NEWS: Duration = Duration::from_millis(500);

/// The queue of e-mails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailQueue {
    /// Number of queued e-mails.
    pub waiting: u64,
    /// Number of e-mails abandoned in the last seven days.
    pub given_up: u64,
    /// When the oldest queued e-mail was created.
    pub since: Option<DateTime<Utc>>,
    /// An e-mail has been queued for too long.
    pub is_late: bool,
}

/// Top-ups that staff have to review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InReview {
    /// Number of top-ups.
    pub waiting: u64,
    /// Since when the oldest has waited.
    pub since: Option<DateTime<Utc>>,
}

/// The health of the shop's parts. All answers are `None` when the database does not give them in time.
#[derive(Debug, Clone, Copy)]
pub struct Health<'s>(&'s Shop);

impl Shop {
    /// The health of the shop's parts.
    pub const fn health(&self) -> Health<'_> {
        Health(self)
    }
}

impl Health<'_> {
    /// Whether PostgreSQL responds and accepts writes.
    pub async fn database_accepts_writes(self) -> bool {
        matches!(timeout(PATIENCE, self.0.store().ping()).await, Ok(Ok(())))
    }

    /// When the last synchronisation of the whole catalogue or of all stock finished; `None` before the first one.
    pub async fn catalogue_checked_at(self) -> Option<DateTime<Utc>> {
        let asked = self.0.store().read(|tx| Box::pin(games::last_synced(tx)));
        in_time(PATIENCE_FOR_NEWS, asked).await?.value
    }

    /// Why purchasing at the supplier is stopped, oldest first; none if it is not.
    pub async fn purchasing_stops(self) -> Option<Vec<Stop>> {
        in_time(PATIENCE, stops::all(self.0.store())).await
    }

    /// The queue of e-mails.
    pub async fn mail_queue(self) -> Option<MailQueue> {
        let store = self.0.store();
        let asked = async {
            let counts = mail::counts(store).await?;
            Ok::<_, StoreError>((counts, mail::oldest(store).await?))
        };
        let (counts, since) = in_time(PATIENCE_FOR_NEWS, asked).await?;
        Some(MailQueue {
            waiting: counts.pending,
            given_up: counts.given_up,
            since,
            is_late: since.is_some_and(|since| self.0.clock().now() - since > mail::LATE),
        })
    }

    /// Top-ups that staff have to review.
    pub async fn top_ups_in_review(self) -> Option<InReview> {
        let (waiting, since) = in_time(PATIENCE_FOR_NEWS, top_ups::waiting_for_staff(self.0.store())).await?;
        Some(InReview { waiting, since })
    }
}

async fn in_time<T, E>(limit: Duration, asked: impl Future<Output = Result<T, E>>) -> Option<T> {
    timeout(limit, asked).await.ok()?.ok()
}
