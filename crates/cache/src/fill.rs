//! Writes entries to Redis: after a load, and when this process holds entries that Redis has lost.
//!
//! A process records for each entry when it was last written to Redis or seen there. If Redis has returned since, or if
//! that time is long ago, the process offers the entry again: all entries that are proven valid after a return, and
//! single entries when they are served. No reader waits for a write, the number of concurrent writes is limited, and an
//! entry is never offered twice at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use lockstep_domain::CacheKey;

use crate::entry::Entry;
use crate::envelope::{self, Sealed};
use crate::redis::{Fill, Redis};
use crate::tally::add;
use crate::{Inner, clock};

/// Writes an entry that was just loaded, in the background. Drops it if too many writes are in flight. `replace`:
/// overwrites the present value unconditionally because it is invalid.
pub(crate) fn send(inner: &Arc<Inner>, key: &CacheKey, entry: &Arc<Entry>, replace: bool) {
    let Some(redis) = &inner.redis else {
        return;
    };
    let Some(permit) = redis.admit() else {
        add(&inner.tally.fills_dropped);
        return;
    };
    entry.in_redis.store(clock::now(), Ordering::Relaxed);
    let (inner, key, entry) = (Arc::clone(inner), key.clone(), Arc::clone(entry));
    tokio::spawn(async move {
        let _permit = permit;
        write(&inner, &key, &entry, replace).await;
    });
}

/// Ensures that an entry that was just served from memory is in Redis.
pub(crate) fn recheck(inner: &Arc<Inner>, key: &CacheKey, entry: &Arc<Entry>, now: u64) {
    let Some(redis) = &inner.redis else {
        return;
    };
    let Some(seen) = due(inner, redis, entry, now).filter(|_| key.is_shared()) else {
        return;
    };
    let Some(permit) = redis.admit() else {
        return;
    };
    if !claim(entry, seen, now) {
        return;
    }
    let (inner, key, entry) = (Arc::clone(inner), key.clone(), Arc::clone(entry));
    tokio::spawn(async move {
        let _permit = permit;
        write_back(&inner, &key, &entry).await;
    });
}

/// Writes all valid entries of this process back to Redis whenever Redis returns.
pub(crate) async fn give_back_after_returns(inner: &Arc<Inner>) {
    let Some(redis) = &inner.redis else {
        return;
    };
    loop {
        redis.returned.notified().await;
        let copies: Vec<_> = inner.l1.iter().collect();
        for (key, entry) in copies {
            let now = clock::now();
            let Some(seen) = due(inner, redis, &entry, now).filter(|_| key.is_shared()) else {
                continue;
            };
            if inner.index.prove(&entry, now).is_err() {
                continue;
            }
            let Some(permit) = redis.wait_for_a_place().await else {
                break;
            };
            if !claim(&entry, seen, now) {
                continue;
            }
            let inner = Arc::clone(inner);
            tokio::spawn(async move {
                let _permit = permit;
                write_back(&inner, &key, &entry).await;
            });
        }
    }
}

/// When the entry was last seen in Redis, if a new check is due.
fn due(inner: &Inner, redis: &Redis, entry: &Entry, now: u64) -> Option<u64> {
    let seen = entry.in_redis.load(Ordering::Relaxed);
    let lately = now.saturating_sub(seen) < clock::nanos(inner.config.redis_recheck);
    let well = seen != 0 && lately && redis.kept_since(seen);
    (!well && entry.shown.is_some() && redis.is_open() && now < entry.expires).then_some(seen)
}

/// Claims the check of an entry; `false` if another task has claimed it.
fn claim(entry: &Entry, seen: u64, now: u64) -> bool {
    let claimed = entry
        .in_redis
        .compare_exchange(seen, now, Ordering::AcqRel, Ordering::Relaxed);
    claimed.is_ok()
}

async fn write_back(inner: &Inner, key: &CacheKey, entry: &Entry) {
    let Some(redis) = &inner.redis else {
        return;
    };
    let order = envelope::order(&entry.proof.stamp);
    // Most entries are still in Redis and need no write.
    if redis.has(&key.name(), &order).await == Ok(false) && write(inner, key, entry, false).await {
        add(&inner.tally.returned);
    }
}

/// Writes the entry; `true` if Redis stored it.
async fn write(inner: &Inner, key: &CacheKey, entry: &Entry, replace: bool) -> bool {
    let now = clock::now();
    let Some(redis) = &inner.redis else {
        return false;
    };
    // An entry that was invalidated since its load would only have to be removed again.
    let untrue = inner.index.check(&entry.proof).is_err();
    let Some(shown) = entry.shown.as_deref().filter(|_| now < entry.expires && !untrue) else {
        return false;
    };
    let name = key.name();
    let sealed = Sealed {
        proof: entry.proof.clone(),
        body: entry.found.then(|| Bytes::clone(&entry.body)),
        made_ms: redis
            .unix_ms()
            .saturating_sub(u64::try_from(entry.age().as_millis()).unwrap_or(0)),
    };
    let Some(value) = envelope::seal(&name, &sealed) else {
        add(&inner.tally.fills_dropped);
        return false;
    };
    let fill = Fill {
        name,
        value,
        order: envelope::order(&entry.proof.stamp),
        lists: key.listed_under(shown),
        ttl: Duration::from_nanos(entry.expires - now),
        replace,
    };
    match redis.fill(&fill).await {
        Ok(true) => {
            add(&inner.tally.fills);
            return true;
        }
        Ok(false) => tracing::debug!("{} in Redis is newer", fill.name),
        Err(_) => add(&inner.tally.redis_errors),
    }
    false
}
