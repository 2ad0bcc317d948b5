//! Whether Redis answers and accepts writes.

use lockstep_cache::{Cache, Config as CacheConfig, RedisState, RedisWrites};

use super::Finding;
use crate::config::Config;
use crate::database::Database;

pub(super) async fn look(config: &Config, database: &Database) -> Finding {
    let Some(url) = &config.redis_url else {
        return Finding::note(
            "redis",
            "not configured: each process caches in its own memory",
            "set REDIS_URL to share",
        );
    };
    let settings = CacheConfig {
        redis_url: Some(url.clone()),
        key_prefix: config.redis_prefix.clone(),
        ..CacheConfig::default()
    };
    if let Err(error) = settings.check() {
        return Finding::wrong("redis", error.to_string(), "correct REDIS_URL");
    }
    // Starting the cache performs one read and one write.
    let cache = Cache::start(database.store.clone(), settings).await;
    let status = cache.status();
    cache.shutdown().await;
    match (status.redis, status.redis_writes) {
        (RedisState::Up, RedisWrites::Taken) => Finding::well("redis", "answers, and accepts writes"),
        (RedisState::Up, RedisWrites::WithoutScripts) => Finding::note(
            "redis",
            "answers, and accepts writes but no scripts",
            "give the user the rights of EVALSHA and SCRIPT LOAD; until then a newer answer there may be overwritten by an \
             older one, which readers refuse",
        ),
        (RedisState::Up, RedisWrites::Refused { reason, .. }) => Finding::wrong(
            "redis",
            format!("answers, but refuses writes: {reason}"),
            "the store works without, more slowly. OOM: raise maxmemory, or set maxmemory-policy to allkeys-lru; READONLY: \
             REDIS_URL names a replica; NOPERM: see \"Redis\" in docs/operations.md",
        ),
        _ => Finding::wrong(
            "redis",
            "does not answer",
            "the store works without it, more slowly; check REDIS_URL",
        ),
    }
}
