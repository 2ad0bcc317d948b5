//! Drops the keys that a commit made untrue from Redis, and keeps the invalidation log short.
//!
//! `store (log) → [this] → cache (Redis)`
//!
//! Readers refuse untrue values by themselves, so this is hygiene: whoever looks into Redis finds the keys of a changed
//! game, and every list and page that shows games, gone within milliseconds of the commit, as the data model demands. A
//! value that was on its way to Redis at that moment is found when the same keys are dropped a second time, shortly
//! after. The relay may stand still, repeat itself or lose its place, and no reader notices.
//!
//! One process at a time is the relay; the right to it is a lock in PostgreSQL that ends with the process. It remembers
//! how far it has got in PostgreSQL too, so that what was committed while Redis was away or no relay ran is dropped
//! later. Without a Redis only the log is kept short.

use std::collections::BTreeSet;
use std::time::Duration;

use lockstep_cache::{Cache, RedisState};
use lockstep_domain::cache_key::{MAX_TTL, TAG_EVERYTHING};
use lockstep_store::invalidation::{PRUNED_AT_ONCE, Turn};
use lockstep_store::{Result, Snapshot, Store};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long the log is kept: longer than any value lives.
const KEEP: Duration = MAX_TTL.saturating_add(Duration::from_hours(1));
/// How often the log is shortened.
const PRUNE: Duration = Duration::from_mins(10);
/// How often a process that is not the relay asks whether it should be.
const TAKE_OVER: Duration = Duration::from_secs(1);
/// How long it waits for news at the most, and how often it writes down how far it has got.
const REST: Duration = Duration::from_secs(1);
/// Tags are dropped a second time after once to twice this time. A process that has not heard of the change yet sends
/// nothing to Redis after its lease, and what it has sent arrives within Redis's time limit.
const AGAIN: Duration = Duration::from_millis(400);
/// Pauses before Redis is tried again.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// The longest that one question to PostgreSQL may take.
const LIMIT: Duration = Duration::from_secs(20);
/// The name under which the place in the log is kept.
const NAME: &str = "redis";

/// Is the relay, or waits to become it, until `stop` is cancelled.
///
/// Nothing ends it before: what fails is logged and tried again.
pub async fn run(store: Store, cache: Cache, stop: CancellationToken) {
    // Connections of its own, so that it never takes one from a reader.
    let store = store.apart(lockstep_store::pools::RELAY);
    while !stop.is_cancelled() {
        match bounded(store.relay_turn(NAME)).await {
            Ok(Some(mut turn)) => {
                tracing::debug!("this process is the relay");
                if let Err(error) = relay(&store, &cache, &mut turn, &stop).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the relay stops for a moment: {error}"
                    );
                }
                bounded(async {
                    turn.end().await;
                    Ok(())
                })
                .await
                .ok();
            }
            Ok(None) => {}
            Err(error) => tracing::debug!("the relay cannot reach the database: {error}"),
        }
        stop.run_until_cancelled(sleep(TAKE_OVER)).await;
    }
    store.close().await;
}

/// The turn, until `stop` or until PostgreSQL is lost.
async fn relay(store: &Store, cache: &Cache, turn: &mut Turn, stop: &CancellationToken) -> Result<()> {
    let mut news = cache.news();
    let mut cursor = bounded(turn.cursor()).await?.unwrap_or(Snapshot::ORIGIN);
    let mut written = cursor.clone();
    let mut write_at = Instant::now() + REST;
    let mut prune_at = Instant::now();
    let mut identity = None;
    let mut retry = RETRY_MIN;
    let mut again = Again::default();
    while !stop.is_cancelled() {
        if Instant::now() >= prune_at {
            let gone = bounded(store.prune_invalidations(KEEP)).await?;
            // A backlog goes with the next looks, one by one.
            prune_at = Instant::now() + if gone < PRUNED_AT_ONCE { PRUNE } else { Duration::ZERO };
            tracing::debug!("forgot {gone} old rows of the invalidation log");
        }
        news.mark_unchanged();
        let mut rest = REST;
        if cache.status().redis != RedisState::Off {
            let look = bounded(store.look_at_invalidations(&cursor)).await?;
            if look.snapshot.xmax < cursor.xmax {
                // The place came with a backup of another server.
                cursor = Snapshot::ORIGIN;
                continue;
            }
            if identity.get_or_insert_with(|| look.identity.clone()) != &look.identity {
                // Another database: its own place in the log is the one that counts.
                return Ok(());
            }
            let mut tags: BTreeSet<String> = look.news.into_iter().flat_map(|news| news.tags).collect();
            if !look.complete {
                tracing::warn!("too much has changed to drop its keys from Redis one by one; all are dropped");
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
                metrics::counter!("lockstep_relay_keys_dropped_total").increment(dropped);
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
                bounded(turn.check()).await?;
            } else {
                bounded(turn.set_cursor(&cursor)).await?;
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
        bounded(turn.set_cursor(&cursor)).await?;
    }
    Ok(())
}

/// The tags that are dropped a second time.
#[derive(Debug, Default)]
struct Again {
    older: BTreeSet<String>,
    newer: BTreeSet<String>,
    /// When `older` is due; `None` when nothing waits.
    at: Option<Instant>,
}

impl Again {
    fn add(&mut self, tags: &BTreeSet<String>) {
        if !tags.is_empty() {
            self.newer.extend(tags.iter().cloned());
            self.at.get_or_insert_with(|| Instant::now() + AGAIN);
        }
    }

    /// What is due now; each tag once, after one to two times [`AGAIN`].
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
