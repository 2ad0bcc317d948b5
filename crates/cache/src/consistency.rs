//! The consistency checker in production: it compares a sample of served entries with PostgreSQL.
//!
//! An entry may lag behind the database by up to the lease; that is no violation. The check is therefore stricter: it
//! reads PostgreSQL and then polls the log once more, so that everything the read saw is known. If the entry would
//! still be served then, it must equal the result of the read. A difference means that a table's trigger or a value's
//! tag is missing, or that the protocol is wrong.

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

/// One in `ONE_IN` served entries is compared.
const ONE_IN: u64 = 1_000;
/// Minimum time between comparisons, so that a busy shop does not read its database twice.
const APART: Duration = Duration::from_millis(100);
/// Maximum number of keys whose violation is logged; further keys are only counted.
const LOGGED: usize = 1_000;

/// The state between comparisons.
#[derive(Debug, Default)]
pub(crate) struct ConsistencyChecker {
    /// Set while a comparison runs; at most one runs at a time.
    busy: AtomicBool,
    /// Start of the last comparison ([`clock::now`]).
    last: AtomicU64,
    logged: Mutex<HashSet<CacheKey>>,
}

/// Whether the hit with this number is compared.
pub(crate) fn is_sample(count: u64) -> bool {
    count % ONE_IN == ONE_IN - 1
}

/// Clears `busy` when dropped, however the comparison ends.
struct Place(Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.consistency.busy.store(false, Ordering::Release);
    }
}

/// Compares an entry that was just served with the result of `load`, in the background.
pub(crate) fn compare<F, Fut>(inner: &Arc<Inner>, key: CacheKey, entry: &Arc<Entry>, load: F)
where
    F: FnOnce(Store) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Stamped<Payload>, StoreError>> + Send + 'static,
{
    let now = clock::now();
    let consistency = &inner.consistency;
    if !entry.proof.repeatable
        || now.saturating_sub(consistency.last.load(Ordering::Relaxed)) < clock::nanos(APART)
        || consistency.busy.swap(true, Ordering::AcqRel)
    {
        return;
    }
    consistency.last.store(now, Ordering::Relaxed);
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
        if same || inner.index.check(&entry.proof).is_err() {
            return;
        }
        add(&inner.tally.violations);
        let mut logged = inner.consistency.logged.lock().unwrap_or_else(PoisonError::into_inner);
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
