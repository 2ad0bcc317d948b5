//! Copies of answers, in this process and in Redis, that are never believed without proof.
//!
//! `store (truth, log) → [this] → api, web`
//!
//! Every copy carries the snapshot that it was read in and the tags of the rows that it was made from. The database's
//! triggers log which tags a commit made untrue; every process looks at that log twenty times a second, and at once
//! after a wake-up. A copy is served while the log was seen within the lease and names no transaction that the copy has
//! not seen. So nothing that Redis does, loses or brings back can make a reader accept an old value, and no promise
//! rests on keys being deleted. The protocol and why it holds: `docs/consistency.md`.
//!
//! Invariants: a reader never waits for Redis longer than [`Config::redis_timeout`]; a value is never kept without the
//! identity of the database that was known before it was read; nothing here decides about money or stock.

mod clock;
mod config;
mod entry;
mod envelope;
mod fill;
mod flight;
mod knowledge;
mod polaris;
mod poller;
mod redis;
mod status;
mod tally;
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

pub use config::{Config, ConfigError, Mutant};
pub use entry::{Entry, Payload};
pub use status::{Counters, RedisState, RedisWrites, Status};

use flight::Flights;
use knowledge::Knowledge;
use polaris::Polaris;
use poller::Poller;
use redis::Redis;
use tally::{Tally, add};

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// No copy can be proven true and PostgreSQL does not answer. Try again (503).
    #[error("nothing can be read at the moment")]
    Unavailable,
    /// PostgreSQL answered with an error that waiting does not mend. Shared by all who waited for the same load.
    #[error("the answer could not be read")]
    Load(#[source] Arc<StoreError>),
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable,
            error => Self::Load(Arc::new(error)),
        }
    }
}

/// Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Redis does not answer")]
pub struct RedisLost;

/// The copies of one process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    config: Config,
    /// Loads read through it.
    store: Store,
    knowledge: Knowledge,
    poller: Poller,
    /// Ticks when a look brought something.
    news: watch::Sender<u64>,
    l1: moka::sync::Cache<CacheKey, Arc<Entry>, RandomState>,
    redis: Option<Redis>,
    flights: Flights,
    polaris: Polaris,
    tally: Tally,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Cache {
    /// Starts looking at the log. Neither PostgreSQL nor Redis has to be there: each is taken when it comes. An address
    /// of Redis that cannot be read is logged and means no Redis ([`Config::check`] finds it beforehand).
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
            knowledge: Knowledge::new(config.lease, config.mutant()),
            poller: Poller::new(&store),
            news: watch::Sender::new(0),
            l1,
            redis,
            flights: Flights::default(),
            polaris: Polaris::default(),
            tally: Tally::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            store,
            config,
        });
        if let Some(redis) = &inner.redis {
            redis.call().await;
        }
        // Not an error: whoever reads before the first look that succeeds reads PostgreSQL.
        inner.catch_up().await.ok();
        poller::spawn(&inner);
        inner.tasks.close();
        Self(inner)
    }

    /// The answer under `key`, from a copy that is proven true or by `load`.
    ///
    /// What is returned contains every change whose commit was confirmed [`Config::lease`] or longer before the call,
    /// and everything that [`catch_up`](Self::catch_up) was called after.
    ///
    /// `load` reads PostgreSQL through the store that it is given; its stamp has to be taken before its data, as
    /// [`Store::read`] does. It runs in a task of its own, once for all who ask for the key at the same time, so that a
    /// caller that goes away takes nothing from the others. A key stands for one kind of answer: two loads under one
    /// key have to mean the same.
    ///
    /// # Errors
    /// [`ReadError`]. Redis being away is not an error.
    pub async fn read<F, Fut>(&self, key: CacheKey, load: F) -> Result<Arc<Entry>, ReadError>
    where
        F: FnOnce(Store) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Stamped<Payload>, StoreError>> + Send + 'static,
    {
        let now = clock::now();
        if let Some(entry) = self.0.own_copy(&key, now) {
            fill::recheck(&self.0, &key, &entry, now);
            let count = self.0.tally.l1_hits.fetch_add(1, Ordering::Relaxed);
            if polaris::is_sample(count) {
                polaris::compare(&self.0, key, &entry, load);
            }
            return Ok(entry);
        }
        // Boxed, so that the many callers that hit carry a small future.
        Box::pin(flight::read(&self.0, key, load)).await
    }

    /// Learns of everything that was committed before this call, so that whoever has just written reads its own
    /// writes. Callers at the same time share one look.
    ///
    /// # Errors
    /// [`ReadError`] when PostgreSQL does not answer. The commit stands, and is seen within the promise.
    pub async fn catch_up(&self) -> Result<(), ReadError> {
        self.0.catch_up().await
    }

    /// How the copies are doing.
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// Ticks whenever a look at the log brought something.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    /// Removes keys from Redis; names are the seed's, without the configured prefix. Without a Redis there is nothing
    /// to remove.
    ///
    /// # Errors
    /// [`RedisLost`]; nothing rests on the removal, try again later.
    pub async fn drop_keys(&self, names: &[String]) -> Result<(), RedisLost> {
        if let Some(redis) = &self.0.redis {
            let removed = redis.remove(names).await?;
            self.0.tally.keys_dropped.fetch_add(removed, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Removes from Redis all keys that carry one of these tags: those whose names can be told from it, and those that
    /// were listed under it when they were written; no search. How many names were told and keys removed.
    ///
    /// # Errors
    /// [`RedisLost`], when it does not answer or refuses; nothing rests on the removal, try again later.
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

    /// Leaves a text in Redis for people and monitors (`g2a:sync:progress`). It is not an answer: nothing here reads it
    /// back, so it carries no stamp. Without a Redis nobody could look.
    ///
    /// # Errors
    /// [`RedisLost`]; the next note will do.
    pub async fn leave_note(&self, name: &str, text: &str, ttl: Duration) -> Result<(), RedisLost> {
        match &self.0.redis {
            Some(redis) => redis.note(name, text, ttl).await,
            None => Ok(()),
        }
    }

    /// Ends the background work and waits for it.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tasks.wait().await;
    }

    /// Keeps this process from looking at the log for a while, as a machine that stands still would.
    #[cfg(feature = "mutants")]
    pub async fn stand_still(&self, time: Duration) {
        self.0.poller.stand_still(time).await;
    }
}

impl Inner {
    /// This process's own copy, if it is proven true now.
    fn own_copy(&self, key: &CacheKey, now: u64) -> Option<Arc<Entry>> {
        if self.config.mutant() == Mutant::CacheAside {
            return None;
        }
        let entry = self.l1.get(key)?;
        if now >= entry.expires {
            return None;
        }
        match self.knowledge.prove(&entry, now) {
            Ok(()) => Some(entry),
            Err(refusal) => {
                self.tally.refuse(refusal);
                None
            }
        }
    }

    fn status(&self) -> Status {
        let known_at = self.knowledge.known_at();
        let now = clock::now();
        Status {
            redis: self.redis.as_ref().map_or(RedisState::Off, Redis::state),
            redis_writes: match &self.redis {
                Some(redis) if redis.state() == RedisState::Up => redis.accepts.told(),
                _ => RedisWrites::Taken,
            },
            lease_age: (known_at != 0).then(|| Duration::from_nanos(now.saturating_sub(known_at))),
            lease_live: self.knowledge.lease_is_live(now),
            identity: self.poller.identity(),
            counters: self.tally.counters(),
        }
    }

    /// Hands what is counted to whoever records metrics.
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

/// For gauges, which know no other number; exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge of bytes; nobody counts money with it"
)]
fn f64_of(number: u64) -> f64 {
    number as f64
}
