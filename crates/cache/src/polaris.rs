//! The observer of the promise in production: now and then a served copy is compared with PostgreSQL.
//!
//! A copy may be older than the database for as long as the lease; that is no violation. So the comparison asks
//! something sharper: PostgreSQL is read, then the log is looked at once more, so that everything that the reading saw
//! is known. If the copy would still be served then, it has to be what was read. If it is not, a table's trigger or a
//! value's tag is missing, or the protocol is wrong.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockstep_domain::CacheKey;
use lockstep_store::{Stamped, Store, StoreError};
use tokio::time::timeout;

use crate::entry::{Entry, Payload};
use crate::tally::add;
use crate::{Inner, clock};

/// One served copy in so many is compared.
const ONE_IN: u64 = 1_000;
/// Comparisons are at least this far apart, so that a busy shop does not read its database twice.
const APART: Duration = Duration::from_millis(100);
/// Keys whose violation was logged; more are only counted.
const LOGGED: usize = 1_000;

/// What is remembered between comparisons.
#[derive(Debug, Default)]
pub(crate) struct Polaris {
    /// One at a time.
    busy: AtomicBool,
    /// When the last one began ([`clock::now`]).
    last: AtomicU64,
    logged: Mutex<HashSet<CacheKey>>,
}

/// Whether the hit with this number is compared.
pub(crate) fn is_sample(count: u64) -> bool {
    count % ONE_IN == ONE_IN - 1
}

/// Gives the place back however the comparison ends.
struct Place(Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.polaris.busy.store(false, Ordering::Release);
    }
}

/// Compares a copy that was just served with what `load` reads, in the background.
pub(crate) fn compare<F, Fut>(inner: &Arc<Inner>, key: CacheKey, entry: &Arc<Entry>, load: F)
where
    F: FnOnce(Store) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Stamped<Payload>, StoreError>> + Send + 'static,
{
    let now = clock::now();
    let polaris = &inner.polaris;
    if !entry.proof.repeatable
        || now.saturating_sub(polaris.last.load(Ordering::Relaxed)) < clock::nanos(APART)
        || polaris.busy.swap(true, Ordering::AcqRel)
    {
        return;
    }
    polaris.last.store(now, Ordering::Relaxed);
    let (place, entry) = (Place(Arc::clone(inner)), Arc::clone(entry));
    tokio::spawn(async move {
        let inner = &place.0;
        let Ok(Ok(loaded)) = timeout(inner.config.load_timeout, load(inner.store.clone())).await else {
            return;
        };
        if inner.catch_up().await.is_err() {
            return;
        }
        add(&inner.tally.compared);
        let same = loaded.value.body.is_some() == entry.found && loaded.value.body.unwrap_or_default() == entry.body;
        if same || inner.knowledge.check(&entry.proof).is_err() {
            return;
        }
        add(&inner.tally.violations);
        let mut logged = inner.polaris.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() < LOGGED && logged.insert(key.clone()) {
            let name = key.name();
            tracing::error!(
                stamp = %entry.proof.stamp,
                now = %loaded.stamp,
                "the copy of {name} differs from the database and no invalidation says so: a trigger or a tag is missing"
            );
        }
    });
}
