//! One fetch for all who ask for a key at the same time: Redis first, then PostgreSQL.
//!
//! A fetch runs in a task of its own. Whoever boards it late may take its result only when that is proven true at that
//! moment, or when the fetch began after they had asked; else they fetch again, once.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockstep_domain::CacheKey;
use lockstep_store::{Stamped, Store, StoreError};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::Mutant;
use crate::entry::{Entry, Payload, Proof, tag_hashes};
use crate::envelope::{self, Sealed};
use crate::fill;
use crate::knowledge::Refusal;
use crate::redis::{Answer, made};
use crate::tally::add;
use crate::{Inner, ReadError, clock, polaris};

/// A missing thing is remembered this long at the most: names that do not exist are unlimited, and whoever tries them
/// should not fill Redis for an hour.
const MISSING_TTL: Duration = Duration::from_mins(1);

/// The fetches under way.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<CacheKey, watch::Receiver<Option<Outcome>>>>);

type Outcome = Result<Landing, ReadError>;

#[derive(Debug, Clone)]
struct Landing {
    entry: Arc<Entry>,
    /// The entry contains everything that was committed and known before this time ([`clock::now`]): when it was proven
    /// true, or when its load began.
    good_as_of: u64,
}

/// Takes the fetch off the list however it ends.
struct Boarding<'f> {
    flights: &'f Flights,
    key: &'f CacheKey,
}

impl Drop for Boarding<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        flights.remove(self.key);
    }
}

/// Reads through: what [`crate::Cache::read`] does when this process has no copy that is proven true.
pub(crate) async fn read<F, Fut>(inner: &Arc<Inner>, key: CacheKey, load: F) -> Result<Arc<Entry>, ReadError>
where
    F: FnOnce(Store) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Stamped<Payload>, StoreError>> + Send + 'static,
{
    let asked = clock::now();
    let mut load = Some(load);
    loop {
        let mut flight = board(inner, &key, &mut load);
        let outcome = match flight.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            // The load panicked.
            Err(_) => None,
        };
        let landing = outcome.unwrap_or(Err(ReadError::Unavailable))?;
        // A second fetch begins after the first has landed, so this loop turns twice at the most.
        if landing.good_as_of >= asked || inner.knowledge.prove(&landing.entry, clock::now()).is_ok() {
            return Ok(landing.entry);
        }
    }
}

/// The fetch of `key` that is under way, or a new one, which takes `load`.
fn board<F, Fut>(inner: &Arc<Inner>, key: &CacheKey, load: &mut Option<F>) -> watch::Receiver<Option<Outcome>>
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
                // Not reached: whoever began a fetch takes its result. Dropping the sender answers "unavailable".
                return flight;
            };
            slot.insert(flight.clone());
            ((landed, load), flight)
        }
    };
    drop(flights);
    let (landed, load) = landed;
    let (inner, key) = (Arc::clone(inner), key.clone());
    tokio::spawn(async move {
        let outcome = {
            let _boarding = Boarding {
                flights: &inner.flights,
                key: &key,
            };
            fetch(&inner, &key, load).await
        };
        landed.send_replace(Some(outcome));
    });
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
        if polaris::is_sample(count) {
            polaris::compare(inner, key.clone(), &landing.entry, load);
        }
        return Ok(landing);
    }

    // Named before the load begins: if the database is another one by then, the value is refused, not believed.
    let identity = inner.knowledge.identity();
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
    let ttl = shortened(ttl(key, value.body.is_some()));
    let entry = Arc::new(Entry::new(
        value.body,
        proof,
        Some(value.tags.into()),
        good_as_of,
        good_as_of + clock::nanos(ttl),
    ));
    // What is known to be old already, or cannot be proven later, is for those who wait for it and nobody else.
    if let Ok(generation) = inner.knowledge.check(&entry.proof) {
        entry.checked.store(generation, std::sync::atomic::Ordering::Relaxed);
        keep(inner, key, &entry);
        if key.is_shared() {
            fill::send(inner, key, &entry, worthless);
        }
    }
    Ok(Landing { entry, good_as_of })
}

/// A value from Redis that is proven true, if there is one; and whether what stands there is worthless.
async fn from_redis(inner: &Inner, key: &CacheKey) -> (Option<Landing>, bool) {
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
    // Whoever wrote it may have known fewer tags for this key than we do.
    let own = tag_hashes(key.tags());
    let shown = proof.tags.iter().all(|tag| own.contains(tag)).then(Box::default);
    let mut tags = proof.tags.into_vec();
    tags.extend(own);
    tags.sort_unstable();
    tags.dedup();
    proof.tags = tags.into();
    let now = clock::now();
    let made = made(made_ms, now);
    let expires = made + clock::nanos(ttl(key, body.is_some()));
    let entry = Arc::new(Entry::new(body, proof, shown, made, expires));
    entry.in_redis.store(now, std::sync::atomic::Ordering::Relaxed);
    // The time is taken after Redis has answered, however long that took.
    match inner.knowledge.prove(&entry, now) {
        Ok(()) if now < expires => {
            keep(inner, key, &entry);
            (Some(Landing { entry, good_as_of: now }), false)
        }
        Ok(()) => (None, true),
        Err(refusal) => {
            inner.tally.refuse(refusal);
            (None, refusal == Refusal::Identity)
        }
    }
}

/// Keeps a copy in this process.
fn keep(inner: &Inner, key: &CacheKey, entry: &Arc<Entry>) {
    if inner.config.mutant() != Mutant::CacheAside {
        inner.l1.insert(key.clone(), Arc::clone(entry));
    }
}

fn ttl(key: &CacheKey, found: bool) -> Duration {
    if found { key.ttl() } else { key.ttl().min(MISSING_TTL) }
}

/// Up to a tenth less, so that values that were filled together do not all expire together.
fn shortened(ttl: Duration) -> Duration {
    let most_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX) / 10;
    ttl.saturating_sub(Duration::from_millis(rand::random_range(0..=most_ms)))
}
