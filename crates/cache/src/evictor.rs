//! Drops the keys that a commit invalidated from Redis, and prunes the invalidation log.
//!
//! `store (log) → [this] → cache (Redis)`
//!
//! Readers refuse invalid values themselves, so this is only hygiene: within milliseconds of a commit, the keys of a
//! changed game and every list and page that shows games are gone from Redis, as `docs/data-model.md` requires. A
//! second drop of the same keys shortly afterwards removes values that were being written to Redis at that moment. The
//! relay may pause, repeat drops or lose its position without any effect on readers.
//!
//! One process at a time is the evictor, by a lock in PostgreSQL that ends with the process. It also stores its
//! position there, so that commits made while Redis was down or no evictor ran are dropped later. Without Redis it only
//! prunes the log.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::{Cache, RedisState};
use lockstep_domain::cache_key::{MAX_TTL, TAG_EVERYTHING};
use lockstep_store::invalidation::{EvictorLease, PRUNED_AT_ONCE};
use lockstep_store::{Result, Snapshot, Store};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Retention of the log: longer than the TTL of any value.
const KEEP: Duration = MAX_TTL.saturating_add(Duration::from_hours(1));
/// Interval of pruning.
const PRUNE: Duration = Duration::from_mins(10);
/// Interval at which a process that is not the evictor tries to become it.
const TAKE_OVER: Duration = Duration::from_secs(1);
/// Maximum wait for news, and interval at which the position is stored.
const REST: Duration = Duration::from_secs(1);
/// Tags are dropped a second time after one to two times this delay. A process that has not seen the change stops
/// writing to Redis when its lease expires, and its last write ends within Redis's time limit.
const AGAIN: Duration = Duration::from_millis(400);
/// Delays before Redis is retried.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Time limit of one query to PostgreSQL.
const LIMIT: Duration = Duration::from_secs(20);
/// The name under which the position in the log is stored.
const NAME: &str = "redis";

/// Runs the evictor, or waits to become it, until `stop` is cancelled.
///
/// It has no other end: errors are logged and the operation is retried.
pub async fn run(store: Store, cache: Cache, stop: CancellationToken) {
    // A separate pool, so that it never takes a connection from a reader.
    let store = store.apart(lockstep_store::pools::EVICTOR);
    while !stop.is_cancelled() {
        match bounded(store.evictor_lease(NAME)).await {
            Ok(Some(mut lease)) => {
                tracing::debug!("this process is the evictor");
                if let Err(error) = evict(&store, &cache, &mut lease, &stop).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the evictor pauses: {error}");
                }
                bounded(async {
                    lease.end().await;
                    Ok(())
                })
                .await
                .ok();
            }
            Ok(None) => {}
            Err(error) => tracing::debug!("the evictor cannot reach the database: {error}"),
        }
        stop.run_until_cancelled(sleep(TAKE_OVER)).await;
    }
    store.close().await;
}

/// Works as the evictor until `stop` is cancelled or PostgreSQL is lost.
async fn evict(store: &Store, cache: &Cache, lease: &mut EvictorLease, stop: &CancellationToken) -> Result<()> {
    let mut news = cache.news();
    let mut cursor = bounded(lease.cursor()).await?.unwrap_or(Snapshot::ORIGIN);
    let mut written = cursor.clone();
    let mut write_at = Instant::now() + REST;
    let mut prune_at = Instant::now();
    let mut identity = None;
    let mut retry = RETRY_MIN;
    let mut again = Again::default();
    while !stop.is_cancelled() {
        if Instant::now() >= prune_at {
            let gone = bounded(store.prune_invalidations(KEEP)).await?;
            // A backlog is pruned in steps, one per iteration.
            prune_at = Instant::now() + if gone < PRUNED_AT_ONCE { PRUNE } else { Duration::ZERO };
            tracing::debug!("deleted {gone} old rows of the invalidation log");
        }
        news.mark_unchanged();
        let mut rest = REST;
        if cache.status().redis != RedisState::Off {
            let look = bounded(store.look_at_invalidations(&cursor)).await?;
            if look.snapshot.xmax < cursor.xmax {
                // The position was restored from a backup of another server.
                cursor = Snapshot::ORIGIN;
                continue;
            }
            if identity.get_or_insert_with(|| look.identity.clone()) != &look.identity {
                // Another database: its own stored position applies.
                return Ok(());
            }
            let mut tags: BTreeSet<String> = look.news.into_iter().flat_map(|news| news.tags).collect();
            if !look.complete {
                tracing::warn!("too many changes to remove keys from Redis one by one; all keys are removed");
                tags = BTreeSet::from([TAG_EVERYTHING.to_owned()]);
            }
            again.add(&tags);
            tags.extend(again.due());
            let tags: Vec<String> = tags.into_iter().collect();
            let dropped = if tags.is_empty() {
                Ok(0)
            } else {
                cache.drop_tags(&tags).await
            };
            if let Ok(dropped) = dropped {
                metrics::counter!("lockstep_cache_keys_evicted_total").increment(dropped);
                cursor = look.snapshot;
                retry = RETRY_MIN;
                rest = again.wait().map_or(REST, |wait| wait.min(REST));
            } else {
                rest = retry;
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
        if Instant::now() >= write_at {
            write_at = Instant::now() + REST;
            if cursor == written {
                bounded(lease.check()).await?;
            } else {
                bounded(lease.set_cursor(&cursor)).await?;
                written = cursor.clone();
            }
        }
        let waiting = if retry > RETRY_MIN {
            stop.run_until_cancelled(sleep(rest)).await.is_some()
        } else {
            let news = timeout(rest, news.changed());
            stop.run_until_cancelled(news).await.is_some()
        };
        if !waiting {
            break;
        }
    }
    if cursor != written {
        bounded(lease.set_cursor(&cursor)).await?;
    }
    Ok(())
}

/// The tags that will be dropped a second time.
#[derive(Debug, Default)]
struct Again {
    older: BTreeSet<String>,
    newer: BTreeSet<String>,
    /// When `older` is due; `None` if both sets are empty.
    at: Option<Instant>,
}

impl Again {
    fn add(&mut self, tags: &BTreeSet<String>) {
        if !tags.is_empty() {
            self.newer.extend(tags.iter().cloned());
            self.at.get_or_insert_with(|| Instant::now() + AGAIN);
        }
    }

    /// Returns the tags that are due, each once, one to two times [`AGAIN`] after it was added.
    fn due(&mut self) -> BTreeSet<String> {
        let now = Instant::now();
        if self.at.is_none_or(|at| now < at) {
            return BTreeSet::new();
        }
        let due = std::mem::replace(&mut self.older, std::mem::take(&mut self.newer));
        self.at = (!self.older.is_empty()).then(|| now + AGAIN);
        due
    }

    fn wait(&self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

async fn bounded<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(LIMIT, work)
        .await
        .unwrap_or_else(|_| Err(lockstep_store::StoreError::timed_out()))
}
