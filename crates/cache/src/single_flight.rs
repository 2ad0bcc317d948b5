//! Single flight: one fetch for all concurrent readers of a key, first from Redis, then from PostgreSQL.
//!
//! A fetch runs in its own task. A reader that joins a running fetch may use its result only if the result is proven
//! valid at that moment or if the fetch began after the reader's request; otherwise the reader fetches again, once.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockstep_domain::CacheKey;
use lockstep_store::{Stamped, Store, StoreError};
use rand::Rng;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::Instrument as _;

use crate::entry::{Entry, Payload, Proof, tag_hashes};
use crate::envelope::{self, Sealed};
use crate::fill;
use crate::invalidation_index::Refusal;
use crate::redis::Answer;
use crate::tally::add;
use crate::{Inner, ReadError, clock, consistency};

/// Maximum TTL of a missing row: the number of names that do not exist is unlimited, and probing them must not fill
/// Redis for an hour.
const MISSING_TTL: Duration = Duration::from_mins(1);

/// The fetches in flight.
#[derive(Debug, Default)]
pub(crate) struct SingleFlight(Mutex<HashMap<CacheKey, watch::Receiver<Option<Outcome>>>>);

type Outcome = Result<LoadedValue, ReadError>;

#[derive(Debug, Clone)]
struct LoadedValue {
    entry: Arc<Entry>,
    /// The entry contains every commit known before this time ([`clock::now`]): when it was proven valid, or when its
    /// load began.
    good_as_of: u64,
}

/// Removes the fetch from the map when dropped.
struct InFlightGuard<'f> {
    flights: &'f SingleFlight,
    key: &'f CacheKey,
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        flights.remove(self.key);
    }
}

/// Reads through: the slow path of [`crate::Cache::read`], for a key without a valid entry in this process.
pub(crate) async fn read<F, Fut>(inner: &Arc<Inner>, key: CacheKey, load: F) -> Result<Arc<Entry>, ReadError>
where
    F: FnOnce(Store) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Stamped<Payload>, StoreError>> + Send + 'static,
{
    let asked = clock::now();
    let mut load = Some(load);
    loop {
        let mut flight = join_or_start(inner, &key, &mut load);
        let outcome = match flight.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            // The load panicked.
            Err(_) => None,
        };
        let landing = outcome.unwrap_or(Err(ReadError::Unavailable))?;
        // A second fetch begins after the first has ended, so this loop runs at most twice.
        if landing.good_as_of >= asked || inner.index.prove(&landing.entry, clock::now()).is_ok() {
            return Ok(landing.entry);
        }
    }
}

/// Joins the fetch of `key` in flight, or starts one, which consumes `load`.
fn join_or_start<F, Fut>(inner: &Arc<Inner>, key: &CacheKey, load: &mut Option<F>) -> watch::Receiver<Option<Outcome>>
where
    F: FnOnce(Store) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Stamped<Payload>, StoreError>> + Send + 'static,
{
    let mut flights = inner.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
    let (landed, flight) = match flights.entry(key.clone()) {
        Slot::Occupied(slot) => return slot.get().clone(),
        Slot::Vacant(slot) => {
            let (landed, flight) = watch::channel(None);
            let Some(load) = load.take() else {
                // Unreachable: the reader that starts a fetch uses its result. Dropping the sender returns
                // "unavailable".
                return flight;
            };
            slot.insert(flight.clone());
            ((landed, load), flight)
        }
    };
    drop(flights);
    let (landed, load) = landed;
    let (inner, key) = (Arc::clone(inner), key.clone());
    let loading = async move {
        let outcome = {
            let _boarding = InFlightGuard {
                flights: &inner.flights,
                key: &key,
            };
            fetch(&inner, &key, load).await
        };
        landed.send_replace(Some(outcome));
    };
    // In the trace of the first request that waits for it.
    tokio::spawn(loading.in_current_span());
    flight
}

async fn fetch<F, Fut>(inner: &Arc<Inner>, key: &CacheKey, load: F) -> Outcome
where
    F: FnOnce(Store) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Stamped<Payload>, StoreError>> + Send + 'static,
{
    let (found, worthless) = if key.is_shared() {
        from_redis(inner, key).await
    } else {
        (None, false)
    };
    if let Some(landing) = found {
        let count = inner
            .tally
            .redis_hits
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if consistency::is_sample(count) {
            consistency::compare(inner, key.clone(), &landing.entry, load);
        }
        return Ok(landing);
    }

    // Read before the load begins: if the database has been replaced by then, the value is rejected.
    let identity = inner.index.identity();
    let good_as_of = clock::now();
    let loaded = timeout(inner.config.load_timeout, load(inner.store.clone()))
        .await
        .unwrap_or_else(|_| Err(StoreError::timed_out()));
    inner.count_load(loaded.is_err());
    let Stamped { stamp, value } = loaded?;
    let mut tags = key.tags();
    tags.extend_from_slice(&value.tags);
    let proof = Proof {
        stamp,
        tags: tag_hashes(tags),
        identity,
        repeatable: value.repeatable,
    };
    let ttl = jittered(ttl(key, value.body.is_some()), &mut inner.config.random.rng());
    let entry = Arc::new(Entry::new(
        value.body,
        proof,
        Some(value.tags.into()),
        good_as_of,
        good_as_of + clock::nanos(ttl),
    ));
    // A value that is known to be stale, or cannot be proven later, goes only to the readers that wait for it.
    if let Ok(generation) = inner.index.check(&entry.proof) {
        entry.checked.store(generation, std::sync::atomic::Ordering::Relaxed);
        keep(inner, key, &entry);
        if key.is_shared() {
            fill::send(inner, key, &entry, worthless);
        }
    }
    Ok(LoadedValue { entry, good_as_of })
}

/// Returns a value from Redis that is proven valid, if any, and whether the present value is invalid.
async fn from_redis(inner: &Inner, key: &CacheKey) -> (Option<LoadedValue>, bool) {
    let Some(redis) = &inner.redis else {
        return (None, false);
    };
    let name = key.name();
    let bytes = match redis.get(&name).await {
        Answer::Value(bytes) => bytes,
        Answer::Garbage => {
            add(&inner.tally.refused_garbage);
            return (None, true);
        }
        Answer::Nothing => {
            add(&inner.tally.redis_misses);
            tracing::debug!("{name} is not in Redis");
            return (None, false);
        }
        Answer::Failed => {
            add(&inner.tally.redis_errors);
            return (None, false);
        }
        Answer::NotAsked => return (None, false),
    };
    let Some(Sealed {
        mut proof,
        body,
        made_ms,
    }) = envelope::open(&name, &bytes)
    else {
        add(&inner.tally.refused_garbage);
        return (None, true);
    };
    // The process that wrote it may know fewer tags for this key than this one.
    let own = tag_hashes(key.tags());
    let shown = proof.tags.iter().all(|tag| own.contains(tag)).then(Box::default);
    let mut tags = proof.tags.into_vec();
    tags.extend(own);
    tags.sort_unstable();
    tags.dedup();
    proof.tags = tags.into();
    let now = clock::now();
    let age = redis.age(made_ms);
    let made = now.saturating_sub(clock::nanos(age));
    // Not from `made`: the value may be older than this machine's uptime, at which the clock of leases begins.
    let expires = now + clock::nanos(ttl(key, body.is_some()).saturating_sub(age));
    let entry = Arc::new(Entry::new(body, proof, shown, made, expires));
    entry.in_redis.store(now, std::sync::atomic::Ordering::Relaxed);
    // The time is taken after Redis has answered, so the duration of the call counts.
    match inner.index.prove(&entry, now) {
        Ok(()) if now < expires => {
            keep(inner, key, &entry);
            (Some(LoadedValue { entry, good_as_of: now }), false)
        }
        Ok(()) => (None, true),
        Err(refusal) => {
            inner.tally.refuse(refusal);
            (None, refusal == Refusal::Identity)
        }
    }
}

/// Stores an entry in this process.
fn keep(inner: &Inner, key: &CacheKey, entry: &Arc<Entry>) {
    inner.l1.insert(key.clone(), Arc::clone(entry));
}

fn ttl(key: &CacheKey, found: bool) -> Duration {
    if found { key.ttl() } else { key.ttl().min(MISSING_TTL) }
}

/// Shortens a TTL by up to a tenth, so that values stored together do not expire together.
fn jittered(ttl: Duration, random: &mut impl Rng) -> Duration {
    let most_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX) / 10;
    ttl.saturating_sub(Duration::from_millis(random.random_range(0..=most_ms)))
}
