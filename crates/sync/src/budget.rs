//! The request budget of all processes, stored in PostgreSQL, as an implementation of the G2A client's `Budget`.

use std::time::Duration;

use lockstep_g2a::{
    BucketState, Budget, BudgetError, BudgetFuture, CallClass, Limits, MAX_PENALTY, UNITS_PER_CALL, take,
};
use lockstep_store::sync::{BucketSizes, Taken};
use lockstep_store::{Store, StoreError};
use tokio::sync::Mutex;

/// Maximum time between attempts: a wait measured by the database's clock ends earlier if that clock is set forward.
const ASK_AGAIN: Duration = Duration::from_secs(5);

// What staff are shown of the bucket is computed without this crate.
const _: () = assert!(
    UNITS_PER_CALL == lockstep_store::sync::UNITS_PER_CALL,
    "the store and the client count in the same units"
);

/// Grants calls from the shared bucket. It grants none while PostgreSQL is down.
#[derive(Debug)]
pub struct StoreBudget {
    store: Store,
    limits: Limits,
    /// One waiter of each class asks PostgreSQL; the others queue on these locks.
    catalogue: Mutex<()>,
    order: Mutex<()>,
}

impl StoreBudget {
    /// Creates the budget stored in `store`, which grants at most as many calls as `limits` allow.
    pub fn new(store: Store, limits: Limits) -> Self {
        Self {
            store,
            limits,
            catalogue: Mutex::new(()),
            order: Mutex::new(()),
        }
    }

    /// Takes a call, or returns the time to wait before the next attempt.
    ///
    /// # Errors
    /// Returns [`StoreError::Unavailable`].
    async fn try_take(&self, class: CallClass) -> Result<Option<Duration>, StoreError> {
        let kept_back = match class {
            CallClass::Catalogue => i64::from(self.limits.reserve()) * UNITS_PER_CALL,
            CallClass::Order => 0,
        };
        let sizes = BucketSizes {
            cost: UNITS_PER_CALL,
            kept_back,
            capacity: i64::from(self.limits.capacity()) * UNITS_PER_CALL,
            refill_per_ms: i64::from(self.limits.refill_per_minute()),
            // The initial level is the reserve for orders: the catalogue starts with the refill only.
            at_first: i64::from(self.limits.reserve()) * UNITS_PER_CALL,
            max_pause: MAX_PENALTY,
        };
        Ok(match self.store.take_g2a_call(sizes).await? {
            Taken::Granted => None,
            Taken::Refused(bucket) => {
                let state = BucketState {
                    level: bucket.level,
                    updated_at_ms: bucket.updated_at_ms,
                    blocked_until_ms: bucket.blocked_until_ms,
                };
                if bucket.updated_at_ms - bucket.now_ms > 5_000 {
                    tracing::warn!(
                        ahead_ms = bucket.updated_at_ms - bucket.now_ms,
                        "the database's clock was set back; the request budget continues from now"
                    );
                }
                // If the bucket has filled since, try again at once.
                Some(
                    take(state, bucket.now_ms, class, self.limits)
                        .err()
                        .unwrap_or(Duration::from_millis(1)),
                )
            }
        })
    }
}

fn unavailable(error: StoreError) -> BudgetError {
    BudgetError::Unavailable(Box::new(error))
}

impl Budget for StoreBudget {
    fn acquire(&self, class: CallClass) -> BudgetFuture<'_> {
        Box::pin(async move {
            let queue = match class {
                CallClass::Catalogue => &self.catalogue,
                CallClass::Order => &self.order,
            };
            let _turn = queue.lock().await;
            while let Some(wait) = self.try_take(class).await.map_err(unavailable)? {
                tokio::time::sleep(wait.min(ASK_AGAIN)).await;
            }
            Ok(())
        })
    }

    fn penalise(&self, wait: Duration) -> BudgetFuture<'_> {
        Box::pin(async move {
            self.store
                .penalise_g2a(wait.min(MAX_PENALTY))
                .await
                .map_err(unavailable)
        })
    }
}
