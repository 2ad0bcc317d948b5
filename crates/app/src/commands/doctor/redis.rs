//! Whether Redis answers and accepts writes.

use lockstep_cache::{Cache, Config as CacheConfig, RedisState, RedisWrites};
use lockstep_domain::language::Sentence;

use super::Finding;
use crate::config::Config;
use crate::database::Database;
use crate::words::say;

pub(super) async fn look(config: &Config, database: &Database) -> Finding {
    let Some(url) = &config.redis_url else {
        return Finding::note("redis", "doctor.redis.none", "doctor.redis.none.do");
    };
    let settings = CacheConfig {
        redis_url: Some(url.clone()),
        key_prefix: config.redis_prefix.clone(),
        ..CacheConfig::default()
    };
    if let Err(error) = settings.check() {
        return Finding::wrong("redis", Sentence::verbatim(error), "doctor.redis.url.do");
    }
    // Starting the cache performs one read and one write.
    let cache = Cache::start(database.store.clone(), settings).await;
    let status = cache.status();
    cache.shutdown().await;
    match (status.redis, status.redis_writes) {
        (RedisState::Up, RedisWrites::Taken) => Finding::well("redis", "doctor.redis.taken"),
        (RedisState::Up, RedisWrites::WithoutScripts) => {
            Finding::note("redis", "doctor.redis.scripts", "doctor.redis.scripts.do")
        }
        (RedisState::Up, RedisWrites::Refused { reason, .. }) => {
            Finding::wrong("redis", say!("doctor.redis.refused", reason), "doctor.redis.refused.do")
        }
        _ => Finding::wrong("redis", "doctor.redis.silent", "doctor.redis.silent.do"),
    }
}
