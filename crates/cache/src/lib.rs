//! Cached answers in this process and in Redis that are served only when proven current.
//!
//! `store (truth, log) → [this] → api, web`
//!
//! Every entry carries the snapshot in which it was read and the tags of the rows that it was made from. Triggers in
//! the database log the tags that a commit invalidates; every process polls that log twenty times a second, and
//! immediately after a wake-up. An entry is served while the last poll is within the lease and the log has no
//! transaction for its tags that the entry lacks. No behaviour of Redis, such as loss or the return of old data, can
//! make a reader accept a stale value, and the freshness guarantee does not depend on deleted keys. The protocol and
//! its proof: `docs/consistency.md`.
//!
//! Invariants: a reader never waits for Redis longer than [`Config::redis_timeout`]; a value is stored only with the
//! database identity that was known before it was read; nothing here decides about money or stock.

mod clock;
mod config;
mod consistency;
mod entry;
mod envelope;
pub mod evictor;
mod fill;
mod invalidation_index;
mod poller;
mod redis;
mod single_flight;
mod status;
mod survey;
mod tally;
mod value;
mod writes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foldhash::fast::RandomState;
use lockstep_domain::CacheKey;
use lockstep_domain::cache_key::{lists_to_drop, names_to_drop};
use lockstep_store::{Stamped, Store, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::{Config, ConfigError};
pub use entry::{Entry, Payload};
pub use status::{Counters, RedisState, RedisWrites, Status};
pub use survey::{Reached, Survey};
pub use value::Cached;

use consistency::ConsistencyChecker;
use invalidation_index::InvalidationIndex;
use poller::Poller;
use redis::Redis;
use single_flight::SingleFlight;
use tally::{Tally, add};

/// Why a read has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// No entry can be proven current and PostgreSQL does not respond. Retry later (503).
    #[error("nothing can be read at the moment")]
    Unavailable,
    /// PostgreSQL returned an error that a retry does not fix. All waiters of the load share it.
    #[error("the answer could not be read")]
    Load(#[source] Arc<StoreError>),
    /// A cached answer does not have the form of its value (a bug).
    #[error("a cached answer has another form than expected")]
    Unreadable(#[source] Arc<serde_json::Error>),
}

impl From<serde_json::Error> for ReadError {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(Arc::new(error))
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable,
            error => Self::Load(Arc::new(error)),
        }
    }
}

/// Redis does not respond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Redis does not answer")]
pub struct RedisLost;

/// The cache of one process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    config: Config,
    /// The store that loads read through.
    store: Store,
    index: InvalidationIndex,
    poller: Poller,
    /// Changes whenever a poll found changes.
    news: watch::Sender<u64>,
    l1: moka::sync::Cache<CacheKey, Arc<Entry>, RandomState>,
    redis: Option<Redis>,
    flights: SingleFlight,
    consistency: ConsistencyChecker,
    tally: Tally,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Cache {
    /// Starts the cache and its polls of the log. PostgreSQL and Redis may be down: the cache uses each when it becomes
    /// available. An invalid Redis address is logged and disables Redis ([`Config::check`] detects it in advance).
    pub async fn start(store: Store, config: Config) -> Self {
        let redis = config.redis_url.as_deref().and_then(|url| {
            Redis::new(url, &config)
                .inspect_err(|_| tracing::error!("{}", ConfigError::RedisUrl))
                .ok()
        });
        let l1 = moka::sync::Cache::builder()
            .max_capacity(config.l1_bytes)
            .weigher(|_, entry: &Arc<Entry>| entry.weight())
            .build_with_hasher(RandomState::default());
        let inner = Arc::new(Inner {
            index: InvalidationIndex::new(config.lease),
            poller: Poller::new(&store),
            news: watch::Sender::new(0),
            l1,
            redis,
            flights: SingleFlight::default(),
            consistency: ConsistencyChecker::default(),
            tally: Tally::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            store,
            config,
        });
        if let Some(redis) = &inner.redis {
            redis.call().await;
        }
        // Not an error: until the first successful poll, readers read PostgreSQL.
        inner.catch_up().await.ok();
        poller::spawn(&inner);
        inner.tasks.close();
        Self(inner)
    }

    /// Returns the answer under `key`, from an entry that is proven current or from `load`.
    ///
    /// The answer contains every change whose commit was confirmed [`Config::lease`] or longer before the call, and
    /// everything that a preceding [`catch_up`](Self::catch_up) covers.
    ///
    /// `load` reads PostgreSQL through the store that it receives; it must take its stamp before its data, as
    /// [`Store::read`] does. It runs in its own task, once for all concurrent readers of the key, so a cancelled caller
    /// does not affect the others. A key identifies one kind of answer: two loads under one key must mean the same.
    ///
    /// # Errors
    /// Returns [`ReadError`]. Redis being unavailable is not an error.
    pub async fn read<F, Fut>(&self, key: CacheKey, load: F) -> Result<Arc<Entry>, ReadError>
    where
        F: FnOnce(Store) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Stamped<Payload>, StoreError>> + Send + 'static,
    {
        let now = clock::now();
        if let Some(entry) = self.0.valid_local_entry(&key, now) {
            fill::recheck(&self.0, &key, &entry, now);
            let count = self.0.tally.l1_hits.fetch_add(1, Ordering::Relaxed);
            if consistency::is_sample(count) {
                consistency::compare(&self.0, key, &entry, load);
            }
            return Ok(entry);
        }
        // Boxed to keep the future small for callers that hit.
        Box::pin(single_flight::read(&self.0, key, load)).await
    }

    /// Learns every commit made before this call, so that a writer reads its own writes. Concurrent callers share one
    /// poll.
    ///
    /// # Errors
    /// Returns [`ReadError`] if PostgreSQL does not respond. The caller's commit is unaffected and becomes visible
    /// within the freshness guarantee.
    pub async fn catch_up(&self) -> Result<(), ReadError> {
        self.0.catch_up().await
    }

    /// Returns the current state of the cache.
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// Returns a receiver that changes whenever a poll of the log found changes.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    /// Removes keys from Redis. `names` are those of `docs/data-model.md`, without the configured prefix. Does nothing
    /// without Redis.
    ///
    /// # Errors
    /// Returns [`RedisLost`]. Correctness does not depend on the removal; retry later.
    pub async fn drop_keys(&self, names: &[String]) -> Result<(), RedisLost> {
        if let Some(redis) = &self.0.redis {
            let removed = redis.remove(names).await?;
            self.0.tally.keys_dropped.fetch_add(removed, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Removes all keys with one of these tags from Redis: those whose names follow from the tag, and those listed
    /// under it when they were written. It does not scan. Returns the number of removed keys.
    ///
    /// # Errors
    /// Returns [`RedisLost`] if Redis does not respond or refuses. Correctness does not depend on the removal; retry
    /// later.
    pub async fn drop_tags(&self, tags: &[String]) -> Result<u64, RedisLost> {
        let Some(redis) = &self.0.redis else {
            return Ok(0);
        };
        let set = |names: Vec<String>| -> Vec<String> { BTreeSet::from_iter(names).into_iter().collect() };
        let names = set(tags.iter().flat_map(|tag| names_to_drop(tag)).collect());
        let lists = set(tags.iter().flat_map(|tag| lists_to_drop(tag)).collect());
        let removed = redis.remove(&names).await? + redis.remove_listed(&lists).await?;
        self.0.tally.keys_dropped.fetch_add(removed, Ordering::Relaxed);
        Ok(removed)
    }

    /// Writes a text to Redis for people and monitors (`g2a:sync:progress`). It is not a cached answer: nothing here
    /// reads it back, so it has no stamp. Does nothing without Redis.
    ///
    /// # Errors
    /// Returns [`RedisLost`]; the next note replaces this one.
    pub async fn leave_note(&self, name: &str, text: &str, ttl: Duration) -> Result<(), RedisLost> {
        match &self.0.redis {
            Some(redis) => redis.note(name, text, ttl).await,
            None => Ok(()),
        }
    }

    /// Stops the background work and waits until it has ended.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tasks.wait().await;
    }
}

impl Inner {
    /// Returns this process's entry if it is proven current at `now`.
    fn valid_local_entry(&self, key: &CacheKey, now: u64) -> Option<Arc<Entry>> {
        let entry = self.l1.get(key)?;
        if now >= entry.expires {
            return None;
        }
        match self.index.prove(&entry, now) {
            Ok(()) => Some(entry),
            Err(refusal) => {
                self.tally.refuse(refusal);
                None
            }
        }
    }

    fn status(&self) -> Status {
        let known_at = self.index.known_at();
        let now = clock::now();
        Status {
            redis: self.redis.as_ref().map_or(RedisState::Off, Redis::state),
            redis_writes: match &self.redis {
                Some(redis) if redis.state() == RedisState::Up => redis.accepts.status(),
                _ => RedisWrites::Taken,
            },
            lease_age: (known_at != 0).then(|| Duration::from_nanos(now.saturating_sub(known_at))),
            lease_live: self.index.lease_is_live(now),
            identity: self.poller.identity(),
            counters: self.tally.counters(),
        }
    }

    /// Publishes the counters and gauges to the process's metrics recorder.
    fn publish(&self) {
        self.tally.publish();
        let status = self.status();
        metrics::gauge!("lockstep_cache_redis_up").set(if status.redis == RedisState::Up { 1.0 } else { 0.0 });
        let refused = matches!(status.redis_writes, RedisWrites::Refused { .. });
        metrics::gauge!("lockstep_cache_redis_refuses_writes").set(if refused { 1.0 } else { 0.0 });
        if let Some(age) = status.lease_age {
            metrics::gauge!("lockstep_cache_lease_age_seconds").set(age.as_secs_f64());
        }
        metrics::gauge!("lockstep_cache_copies_bytes").set(f64_of(self.l1.weighted_size()));
    }

    fn count_load(&self, failed: bool) {
        add(if failed {
            &self.tally.load_errors
        } else {
            &self.tally.loads
        });
    }
}

/// Converts a number for a gauge, which takes only `f64`; exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge of bytes; nobody counts money with it"
)]
fn f64_of(number: u64) -> f64 {
    number as f64
}
