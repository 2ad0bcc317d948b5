//! The cache as its readers see it, on a real PostgreSQL and a real Redis.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test whose ground gives way has to fail where it does"
)]

mod common;

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use common::{insert_games, number, pool, price, read_price, set_price, until, with_redis};
use lockstep_cache::{Cache, Config, ConfigError, Payload, ReadError, RedisState, RedisWrites};
use lockstep_clock::{Clock, ManualClock};
use lockstep_domain::{CacheKey, GameId};
use lockstep_store::{Options, Snapshot, Stamped, Store, StoreError};
use lockstep_testkit::{DatabaseProxy, TestDb, TestRedis};
use uuid::Uuid;

/// The freshness guarantee.
const PROMISE: Duration = Duration::from_secs(1);

/// Settings with time limits that a busy machine does not reach, for tests of other properties.
fn patient() -> Config {
    Config {
        lease: Duration::from_mins(1),
        redis_timeout: Duration::from_secs(10),
        ..Config::default()
    }
}

/// A cache without Redis that has polled the log.
async fn cache_without_redis(db: &TestDb) -> Cache {
    let cache = Cache::start(db.store.clone(), patient()).await;
    until("the log is seen", async || cache.status().lease_live).await;
    cache
}

/// A load that counts its runs.
fn counted(
    db: &TestDb,
    game: GameId,
    count: &Arc<AtomicU64>,
) -> impl FnOnce(Store) -> futures::future::BoxFuture<'static, Result<Stamped<Payload>, StoreError>> + Send + 'static {
    let (sql, count) = (db.sql.clone(), Arc::clone(count));
    move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Box::pin(read_price(sql, game))
    }
}

/// Changes the price as `psql` would, and reads through every cache until the freshness guarantee is due; then all must
/// serve the new price. The measured time ends when the read begins.
async fn changed_price_is_served_by_all(db: &TestDb, caches: &[Cache], game: GameId, to: i32) {
    set_price(db, game, to).await;
    let due = Instant::now() + PROMISE;
    for cache in caches {
        loop {
            let began = Instant::now();
            if price(cache, &db.sql, game).await == Some(to.into()) {
                break;
            }
            assert!(began < due, "the old price was served after {PROMISE:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_is_loaded_once_and_then_served_from_memory() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let cache = cache_without_redis(&db).await;
    let loads = Arc::new(AtomicU64::new(0));
    // A pause of this process beyond the lease costs another load, which is correct.
    until("two reads cost one load", async || {
        loads.store(0, Ordering::Relaxed);
        set_price(&db, game, 7).await;
        cache.catch_up().await.unwrap();
        for _ in 0..2 {
            let entry = cache
                .read(CacheKey::Game(game), counted(&db, game, &loads))
                .await
                .unwrap();
            assert_eq!(number(&entry), Some(7));
        }
        loads.load(Ordering::Relaxed) == 1
    })
    .await;
    assert!(cache.status().counters.l1_hits > 0);
}

#[tokio::test]
async fn concurrent_callers_share_a_poll() {
    let db = TestDb::new().await;
    let config = Config {
        poll: Duration::from_secs(30),
        ..patient()
    };
    let cache = Cache::start(db.store.clone(), config).await;
    until("the log is seen", async || cache.status().lease_live).await;
    // The poll that the new wake-up connection triggers may come in between.
    until("300 cost a few looks", async || {
        let before = cache.status().counters.polls;
        let asked = futures::future::join_all((0..300).map(|_| cache.catch_up())).await;
        assert!(asked.iter().all(Result::is_ok));
        cache.status().counters.polls - before <= 2
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_poll_releases_its_waiters() {
    let db = TestDb::new().await;
    let cache = cache_without_redis(&db).await;
    let mut broken_off = 0;
    for _ in 0..50 {
        let mut first = Box::pin(cache.catch_up());
        // The answer may already be ready if this thread was delayed.
        if let Poll::Ready(looked) = futures::poll!(&mut first) {
            looked.unwrap();
            continue;
        }
        broken_off += 1;
        let second = tokio::spawn({
            let cache = cache.clone();
            async move { cache.catch_up().await }
        });
        tokio::task::yield_now().await;
        drop(first);
        tokio::time::timeout(Duration::from_secs(20), second)
            .await
            .expect("it waits for a look that has ended")
            .unwrap()
            .unwrap();
    }
    assert!(broken_off > 0);
}

#[tokio::test]
async fn a_missing_row_is_cached_until_it_exists() {
    let db = TestDb::new().await;
    let redis = TestRedis::start().await;
    let cache = cold_cache(&db, &redis).await;
    let game = GameId(Uuid::now_v7());
    assert_eq!(price(&cache, &db.sql, game).await, None);
    let name = CacheKey::Game(game).name();
    until("the absence is in Redis", async || redis.get(&name).await.is_some()).await;
    assert!(
        redis.ttl_ms(&name).await <= 60_000,
        "names that do not exist are unlimited"
    );
    assert_eq!(price(&cache, &db.sql, game).await, None);
    assert_eq!(cache.status().counters.l1_hits, 1);
    sqlx::query(
        "insert into games (id, title, slug, description, price, image, release_date) values ($1, 'G', 'g', '', 5, '', now())",
    )
    .bind(game.0)
    .execute(&db.sql)
    .await
    .unwrap();
    let due = Instant::now() + PROMISE;
    loop {
        let began = Instant::now();
        if price(&cache, &db.sql, game).await == Some(5) {
            break;
        }
        assert!(began < due, "still missing after {PROMISE:?}");
    }
}

#[tokio::test]
async fn a_price_changed_by_plain_sql_is_served_within_a_second() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let mut redis = TestRedis::start().await;
    let mut caches = Vec::new();
    for _ in 0..3 {
        caches.push(Cache::start(db.store.clone(), with_redis(&redis.url())).await);
    }
    caches.push(cache_without_redis(&db).await);
    changed_price_is_served_by_all(&db, &caches, game, 2).await;
    redis.freeze();
    changed_price_is_served_by_all(&db, &caches, game, 3).await;
    redis.thaw();
    changed_price_is_served_by_all(&db, &caches, game, 4).await;
    redis.kill();
    changed_price_is_served_by_all(&db, &caches, game, 5).await;
    redis.restart_same_port().await;
    changed_price_is_served_by_all(&db, &caches, game, 6).await;
}

#[tokio::test]
async fn redis_may_start_late_fail_and_return_without_a_restart() {
    let db = TestDb::new().await;
    let games = insert_games(&db, 200).await;
    let mut redis = TestRedis::start().await;
    redis.kill();
    let cache = Cache::start(db.store.clone(), with_redis(&redis.url())).await;
    assert!(matches!(cache.status().redis, RedisState::Down { .. }));
    assert_eq!(price(&cache, &db.sql, games[0]).await, Some(1), "it works without");

    for round in 0..2 {
        redis.restart_same_port().await;
        until("Redis is seen", async || cache.status().redis == RedisState::Up).await;
        until("it is filled", async || {
            set_price(&db, games[0], 10 + round).await;
            price(&cache, &db.sql, games[0]).await;
            redis.get(&CacheKey::Game(games[0]).name()).await.is_some()
        })
        .await;
        redis.kill();
        until("its loss is seen", async || cache.status().redis != RedisState::Up).await;
        set_price(&db, games[1], 20 + round).await;
        until("the new price is served", async || {
            price(&cache, &db.sql, games[1]).await == Some(i64::from(20 + round))
        })
        .await;
    }
}

#[tokio::test]
async fn readers_stop_waiting_for_a_frozen_redis() {
    let db = TestDb::new().await;
    let games = insert_games(&db, 64).await;
    let redis = TestRedis::start().await;
    let cache = Cache::start(db.store.clone(), with_redis(&redis.url())).await;
    redis.freeze();
    // Ten failed reads are enough, even before the background probe notices.
    for game in &games {
        assert_eq!(price(&cache, &db.sql, *game).await, Some(1));
    }
    assert!(matches!(cache.status().redis, RedisState::Down { .. }));
    assert!(
        cache.status().counters.redis_errors <= 32,
        "{:?}",
        cache.status().counters
    );
    redis.thaw();
    until("Redis is taken back", async || cache.status().redis == RedisState::Up).await;
}

/// A cache with empty memory, so that its answers come from Redis if possible.
async fn cold_cache(db: &TestDb, redis: &TestRedis) -> Cache {
    cold_cache_at(db, redis, Clock::system()).await
}

/// The same on a machine whose time is `clock`.
async fn cold_cache_at(db: &TestDb, redis: &TestRedis, clock: Clock) -> Cache {
    let config = Config {
        redis_url: Some(redis.url()),
        clock,
        ..patient()
    };
    let cache = Cache::start(db.store.clone(), config).await;
    until("the log and Redis are seen", async || {
        cache.status().lease_live && cache.status().redis == RedisState::Up
    })
    .await;
    cache
}

/// Fills Redis with the price of `game`.
async fn filled(db: &TestDb, redis: &TestRedis, game: GameId) {
    let name = CacheKey::Game(game).name();
    price(&cold_cache(db, redis).await, &db.sql, game).await;
    until("Redis is filled", async || redis.get(&name).await.is_some()).await;
}

#[tokio::test]
async fn a_second_process_is_served_from_redis() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let redis = TestRedis::start().await;
    filled(&db, &redis, game).await;
    let ttl_ms = redis.ttl_ms(&CacheKey::Game(game).name()).await;
    assert!(
        (1..=3_600_000).contains(&ttl_ms),
        "{ttl_ms} ms are not within the key's hour"
    );
    let cache = cold_cache(&db, &redis).await;
    assert_eq!(price(&cache, &db.sql, game).await, Some(1));
    let counters = cache.status().counters;
    assert_eq!((counters.redis_hits, counters.loads), (1, 0), "{counters:?}");
}

#[tokio::test]
async fn a_value_in_redis_ends_with_its_lifetime_by_the_clock_of_its_reader() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let redis = TestRedis::start().await;
    filled(&db, &redis, game).await;
    for (age_mins, counts) in [(59, (1, 0)), (61, (0, 1))] {
        let clock = ManualClock::at_present();
        clock.advance(Duration::from_mins(age_mins));
        let cache = cold_cache_at(&db, &redis, clock.clock()).await;
        assert_eq!(price(&cache, &db.sql, game).await, Some(1));
        let counters = cache.status().counters;
        assert_eq!((counters.redis_hits, counters.loads), counts, "{age_mins} minutes old");
    }
}

#[tokio::test]
async fn old_values_written_back_to_redis_are_refused() {
    let db = TestDb::new().await;
    let games = insert_games(&db, 10).await;
    let redis = TestRedis::start().await;
    for game in &games {
        filled(&db, &redis, *game).await;
    }
    let old = redis.contents().await;
    assert_eq!(old.len(), games.len() + 1, "the games and their list");
    for game in &games {
        set_price(&db, *game, 2).await;
    }
    redis.flush().await;
    redis.write_back(&old).await;
    let cache = cold_cache(&db, &redis).await;
    cache.catch_up().await.unwrap();
    for game in &games {
        assert_eq!(price(&cache, &db.sql, *game).await, Some(2));
    }
    let counters = cache.status().counters;
    assert_eq!(
        (counters.redis_hits, counters.refused_tag),
        (0, games.len() as u64),
        "{counters:?}"
    );
}

#[tokio::test]
async fn a_flushed_redis_only_costs_loads() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let redis = TestRedis::start().await;
    filled(&db, &redis, game).await;
    redis.flush().await;
    let cache = cold_cache(&db, &redis).await;
    assert_eq!(price(&cache, &db.sql, game).await, Some(1));
    assert_eq!(cache.status().counters.redis_misses, 1);
}

/// Whether the prices of all these games are in Redis.
async fn all_are_there(redis: &TestRedis, games: &[GameId]) -> bool {
    let keys = redis.keys().await;
    games.iter().all(|game| keys.contains(&CacheKey::Game(*game).name()))
}

#[tokio::test]
async fn memory_entries_are_written_back_to_redis_after_an_outage() {
    let db = TestDb::new().await;
    let games = insert_games(&db, 200).await;
    let mut redis = TestRedis::start().await;
    let cache = cold_cache(&db, &redis).await;
    for game in &games {
        assert_eq!(price(&cache, &db.sql, *game).await, Some(1));
    }
    for _ in 0..2 {
        redis.restart_same_port().await;
        until("what memory holds is in Redis", async || {
            all_are_there(&redis, &games).await
        })
        .await;
    }
    let counters = cache.status().counters;
    assert_eq!(
        counters.loads,
        games.len() as u64,
        "nothing was read anew: {counters:?}"
    );
    // Other processes can use the value there.
    let other = cold_cache(&db, &redis).await;
    assert_eq!(price(&other, &db.sql, games[7]).await, Some(1));
    assert_eq!(other.status().counters.redis_hits, 1);
    let ttl_ms = redis.ttl_ms(&CacheKey::Game(games[7]).name()).await;
    assert!((1..=3_600_000).contains(&ttl_ms), "{ttl_ms} ms");
}

#[tokio::test]
async fn entries_loaded_during_an_outage_reach_redis_afterwards() {
    let db = TestDb::new().await;
    let games = insert_games(&db, 20).await;
    let mut redis = TestRedis::start().await;
    redis.kill();
    let config = Config {
        redis_url: Some(redis.url()),
        ..patient()
    };
    let cache = Cache::start(db.store.clone(), config).await;
    for game in &games {
        assert_eq!(price(&cache, &db.sql, *game).await, Some(1));
    }
    redis.restart_same_port().await;
    until("it is in Redis", async || all_are_there(&redis, &games).await).await;
}

#[tokio::test]
async fn an_evicted_value_is_rewritten_when_served_from_memory() {
    let db = TestDb::new().await;
    let games = insert_games(&db, 2).await;
    let redis = TestRedis::start().await;
    let config = Config {
        redis_url: Some(redis.url()),
        redis_recheck: Duration::from_millis(100),
        ..patient()
    };
    let cache = Cache::start(db.store.clone(), config).await;
    until("Redis is seen", async || cache.status().redis == RedisState::Up).await;
    for game in &games {
        price(&cache, &db.sql, *game).await;
    }
    until("they are in Redis", async || all_are_there(&redis, &games).await).await;
    redis.flush().await;
    // Many concurrent readers: one of them rewrites it.
    until("the game that is asked for is in Redis", async || {
        futures::future::join_all((0..100).map(|_| price(&cache, &db.sql, games[0]))).await;
        all_are_there(&redis, &games[..1]).await
    })
    .await;
    let counters = cache.status().counters;
    assert_eq!((counters.returned, counters.loads), (1, 2), "{counters:?}");
    assert!(!all_are_there(&redis, &games[1..]).await, "nobody asked for the other");
}

#[tokio::test]
async fn invalidated_entries_are_not_written_back_to_redis() {
    let db = TestDb::new().await;
    let games = insert_games(&db, 2).await;
    let mut redis = TestRedis::start().await;
    let cache = cold_cache(&db, &redis).await;
    for game in &games {
        price(&cache, &db.sql, *game).await;
    }
    redis.kill();
    set_price(&db, games[0], 2).await;
    cache.catch_up().await.unwrap();
    redis.restart_same_port().await;
    until("the other one is in Redis", async || {
        all_are_there(&redis, &games[1..]).await
    })
    .await;
    assert!(!all_are_there(&redis, &games[..1]).await);
}

#[tokio::test]
async fn a_redis_that_refuses_scripts_is_written_without_them() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let redis = TestRedis::start().await;
    redis
        .command(&["ACL", "SETUSER", "shop", "on", ">secret", "~*", "+@all", "-@scripting"])
        .await;
    let config = Config {
        redis_url: Some(redis.url().replace("redis://", "redis://shop:secret@")),
        ..patient()
    };
    let cache = Cache::start(db.store.clone(), config.clone()).await;
    assert_eq!(price(&cache, &db.sql, game).await, Some(1));
    until("Redis is filled", async || all_are_there(&redis, &[game]).await).await;
    assert_eq!(cache.status().redis_writes, RedisWrites::WithoutScripts);
    let ttl_ms = redis.ttl_ms(&CacheKey::Game(game).name()).await;
    assert!((1..=3_600_000).contains(&ttl_ms), "{ttl_ms} ms");
    let other = Cache::start(db.store.clone(), config).await;
    until("the log is seen", async || other.status().lease_live).await;
    assert_eq!(price(&other, &db.sql, game).await, Some(1));
    assert_eq!(other.status().counters.redis_hits, 1);
    // Families are removed without scripts too.
    assert_eq!(cache.drop_tags(&["game:*".to_owned()]).await, Ok(1));
    assert!(!all_are_there(&redis, &[game]).await);
}

/// A full Redis, a replica, and missing permissions: readers get answers, and the status reports the refusal and its
/// end.
#[tokio::test]
async fn a_redis_that_refuses_writes_gets_none_until_it_accepts() {
    let db = TestDb::new().await;
    let games = insert_games(&db, 300).await;
    let redis = TestRedis::start().await;
    let cache = cold_cache(&db, &redis).await;
    let mut unread = games.chunks(100);
    for (refuse, take, reason) in [
        (["maxmemory", "1"], ["maxmemory", "0"], "OOM"),
        (
            ["min-replicas-to-write", "1"],
            ["min-replicas-to-write", "0"],
            "NOREPLICAS",
        ),
    ] {
        redis.configure(refuse[0], refuse[1]).await;
        let refused = || match cache.status().redis_writes {
            RedisWrites::Refused { reason, .. } => Some(reason),
            _ => None,
        };
        until("the refusal is known", async || refused().is_some()).await;
        assert!(refused().unwrap().contains(reason), "{:?}", refused());
        assert_eq!(cache.status().redis, RedisState::Up, "it answers");
        let games = unread.next().unwrap();
        for game in games {
            assert_eq!(price(&cache, &db.sql, *game).await, Some(1));
        }
        assert!(!all_are_there(&redis, &games[..1]).await);
        redis.configure(take[0], take[1]).await;
        if reason == "OOM" {
            // A second refusal so soon requires a longer calm period, so the test does not wait for its end.
            until("the refusal has ended", async || refused().is_none()).await;
            until("what was read meanwhile is in Redis", async || {
                all_are_there(&redis, games).await
            })
            .await;
        }
    }
}

#[tokio::test]
async fn garbage_in_redis_is_a_miss_and_is_replaced() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let redis = TestRedis::start().await;
    let name = CacheKey::Game(game).name();
    // The middle one claims to be the newest possible, so no fill would replace it by order alone.
    for garbage in [b"42".as_slice(), b"ffffffffffffffffffffffffffffffffffff", b""] {
        redis.set(&name, garbage).await;
        let cache = cold_cache(&db, &redis).await;
        assert_eq!(price(&cache, &db.sql, game).await, Some(1));
        assert_eq!(cache.status().counters.refused_garbage, 1);
        until("the garbage is replaced", async || {
            redis.get(&name).await.as_deref() != Some(garbage)
        })
        .await;
    }
}

#[tokio::test]
async fn a_value_copied_to_another_key_is_not_served_there() {
    let db = TestDb::new().await;
    let games = insert_games(&db, 2).await;
    set_price(&db, games[1], 9).await;
    let redis = TestRedis::start().await;
    filled(&db, &redis, games[0]).await;
    let value = redis.get(&CacheKey::Game(games[0]).name()).await.unwrap();
    redis.set(&CacheKey::Game(games[1]).name(), &value).await;
    assert_eq!(price(&cold_cache(&db, &redis).await, &db.sql, games[1]).await, Some(9));
}

#[tokio::test]
async fn two_databases_share_a_redis_without_serving_each_other() {
    let redis = TestRedis::start().await;
    let (one, two) = (TestDb::new().await, TestDb::new().await);
    let game = GameId(Uuid::now_v7());
    for (db, price) in [(&one, 1), (&two, 2)] {
        db.execute(&format!(
            "insert into games (id, title, slug, description, price, image, release_date)
             values ('{game}', 'G', 'g', '', {price}, '', now())"
        ))
        .await;
    }
    filled(&one, &redis, game).await;
    let cache = cold_cache(&two, &redis).await;
    assert_eq!(price(&cache, &two.sql, game).await, Some(2));
    let counters = cache.status().counters;
    assert_eq!(counters.refused_identity, 1, "{counters:?}");
    // An invalid value is replaced even if its transaction numbers are greater.
    until("our value stands in Redis", async || {
        let cache = cold_cache(&two, &redis).await;
        assert_eq!(price(&cache, &two.sql, game).await, Some(2));
        cache.status().counters.redis_hits == 1
    })
    .await;
}

#[tokio::test]
async fn a_database_crash_invalidates_earlier_entries() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let redis = TestRedis::start().await;
    filled(&db, &redis, game).await;
    let old = cold_cache(&db, &redis).await;
    assert_eq!(price(&old, &db.sql, game).await, Some(1));
    let identity = old.status().identity;
    // PostgreSQL truncates an unlogged table when it recovers from a crash.
    db.execute("truncate cache_incarnation").await;
    until("the new life is noticed", async || old.status().identity != identity).await;
    assert_eq!(price(&old, &db.sql, game).await, Some(1));
    let counters = old.status().counters;
    assert_eq!(
        (counters.refused_identity, counters.loads),
        (2, 1),
        "its own and Redis's are refused: {counters:?}"
    );
}

#[tokio::test]
async fn without_postgres_entries_are_served_only_for_the_lease() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let redis = TestRedis::start().await;
    let proxy = DatabaseProxy::before(&db);
    let options = Options {
        acquire_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let cache = Cache::start(Store::new(proxy.url(), &options).unwrap(), with_redis(&redis.url())).await;
    let sql = pool(proxy.url(), 4);
    assert_eq!(price(&cache, &sql, game).await, Some(1));

    proxy.cut();
    let read = async || {
        let sql = sql.clone();
        cache.read(CacheKey::Game(game), move |_| read_price(sql, game)).await
    };
    until("nothing is served", async || match read().await {
        Ok(entry) => {
            assert_eq!(number(&entry), Some(1));
            false
        }
        Err(ReadError::Unavailable) => true,
        Err(error) => panic!("{error:?}"),
    })
    .await;
    assert!(!cache.status().lease_live);
    assert!(matches!(cache.catch_up().await, Err(ReadError::Unavailable)));

    // The row changes while the cache cannot see it.
    set_price(&db, game, 2).await;
    proxy.mend();
    until("it is served again", async || {
        read().await.is_ok_and(|entry| number(&entry) == Some(2))
    })
    .await;
    until("the lease is back", async || cache.status().lease_live).await;
}

#[tokio::test]
async fn the_cache_starts_without_postgres_and_uses_it_once_up() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let proxy = DatabaseProxy::before(&db);
    proxy.cut();
    let options = Options {
        acquire_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let cache = Cache::start(Store::new(proxy.url(), &options).unwrap(), Config::default()).await;
    assert_eq!(cache.status().identity, None);
    proxy.mend();
    until("the log is seen", async || cache.status().lease_live).await;
    assert_eq!(price(&cache, &pool(proxy.url(), 2), game).await, Some(1));
}

#[tokio::test]
async fn without_the_log_every_read_is_a_load() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let cache = Cache::start(db.store.clone(), Config::default()).await;
    db.execute("alter table cache_inval rename to elsewhere").await;
    until("the lease has ended", async || !cache.status().lease_live).await;
    for new in [3, 4] {
        set_price_without_log(&db, game, new).await;
        assert_eq!(price(&cache, &db.sql, game).await, Some(i64::from(new)));
    }
    db.execute("alter table elsewhere rename to cache_inval").await;
    until("the lease is back", async || cache.status().lease_live).await;
}

async fn set_price_without_log(db: &TestDb, game: GameId, price: i32) {
    db.execute(&format!(
        "begin; set local session_replication_role = replica; update games set price = {price} where id = '{game}'; commit"
    ))
    .await;
}

#[tokio::test]
async fn a_writer_reads_its_own_write() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let redis = TestRedis::start().await;
    let cache = cold_cache(&db, &redis).await;
    for new in 2..40 {
        set_price(&db, game, new).await;
        cache.catch_up().await.unwrap();
        assert_eq!(price(&cache, &db.sql, game).await, Some(i64::from(new)));
    }
}

#[tokio::test]
async fn concurrent_readers_share_one_load() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let cache = cache_without_redis(&db).await;
    let loads = Arc::new(AtomicU64::new(0));
    let readers = (0..100).map(|_| cache.read(CacheKey::Game(game), counted(&db, game, &loads)));
    for entry in futures::future::join_all(readers).await {
        assert_eq!(number(&entry.unwrap()), Some(1));
    }
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_cancelled_reader_does_not_cancel_the_shared_load() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let cache = cache_without_redis(&db).await;
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let sql = db.sql.clone();
    let first = tokio::spawn({
        let cache = cache.clone();
        async move {
            cache
                .read(CacheKey::Game(game), move |_| async move {
                    wait.await.ok();
                    read_price(sql, game).await
                })
                .await
        }
    });
    let loads = Arc::new(AtomicU64::new(0));
    let second = tokio::spawn({
        let (cache, load) = (cache.clone(), counted(&db, game, &loads));
        async move { cache.read(CacheKey::Game(game), load).await }
    });
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    go.send(()).unwrap();
    assert_eq!(number(&second.await.unwrap().unwrap()), Some(1));
}

#[tokio::test]
async fn a_load_is_not_shared_with_readers_after_a_newer_change() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let cache = cache_without_redis(&db).await;
    let (read_it, is_read) = tokio::sync::oneshot::channel::<()>();
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let sql = db.sql.clone();
    let early = tokio::spawn({
        let cache = cache.clone();
        async move {
            cache
                .read(CacheKey::Game(game), move |_| async move {
                    let value = read_price(sql, game).await;
                    read_it.send(()).unwrap();
                    wait.await.ok();
                    value
                })
                .await
        }
    });
    is_read.await.unwrap();
    set_price(&db, game, 2).await;
    cache.catch_up().await.unwrap();
    let late = tokio::spawn({
        let (cache, sql) = (cache.clone(), db.sql.clone());
        async move { price(&cache, &sql, game).await }
    });
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    assert_eq!(late.await.unwrap(), Some(2));
    assert_eq!(
        number(&early.await.unwrap().unwrap()),
        Some(1),
        "it asked before the change"
    );
    assert_eq!(
        price(&cache, &db.sql, game).await,
        Some(2),
        "the early value was not kept"
    );
}

#[tokio::test]
async fn a_panicking_load_does_not_affect_other_reads() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let cache = cache_without_redis(&db).await;
    let failed = cache
        .read(CacheKey::Game(game), |_| async { panic!("a bug in a load") })
        .await;
    assert!(matches!(failed, Err(ReadError::Unavailable)), "{failed:?}");
    assert_eq!(price(&cache, &db.sql, game).await, Some(1));
}

#[tokio::test]
async fn a_failed_load_is_not_shared_with_later_readers() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let cache = cache_without_redis(&db).await;
    let failed = cache
        .read(CacheKey::Game(game), |_| async {
            Err(StoreError::Schema("once".into()))
        })
        .await;
    assert!(matches!(failed, Err(ReadError::Load(_))), "{failed:?}");
    assert_eq!(price(&cache, &db.sql, game).await, Some(1));
}

#[tokio::test]
async fn a_change_of_an_additionally_tagged_row_is_served() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let cache = cache_without_redis(&db).await;
    let key = CacheKey::UserCart(lockstep_domain::ids::ShopperId(Uuid::now_v7()));
    let cart = async || {
        let sql = db.sql.clone();
        let entry = cache.read(key.clone(), move |_| async move {
            let tag = lockstep_domain::cache_key::game_tag(game);
            Ok(read_price(sql, game).await?.map(|payload| payload.with_tags(vec![tag])))
        });
        number(&entry.await.unwrap())
    };
    assert_eq!(cart().await, Some(1));
    set_price(&db, game, 2).await;
    cache.catch_up().await.unwrap();
    assert_eq!(cart().await, Some(2));
}

#[tokio::test]
async fn entries_older_than_the_pruned_log_are_refused() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let redis = TestRedis::start().await;
    filled(&db, &redis, game).await;
    let old = redis.contents().await;
    set_price(&db, game, 2).await;
    db.execute("update cache_inval set at = at - interval '2 days'").await;
    assert!(db.store.prune_invalidations(Duration::from_hours(25)).await.unwrap() > 0);
    assert_eq!(db.store.prune_invalidations(Duration::from_hours(25)).await.unwrap(), 0);
    redis.write_back(&old).await;
    let cache = cold_cache(&db, &redis).await;
    assert_eq!(price(&cache, &db.sql, game).await, Some(2));
    let counters = cache.status().counters;
    assert_eq!(counters.refused_horizon, 1, "{counters:?}");
}

#[tokio::test]
async fn a_flood_of_invalidations_is_handled() {
    let db = TestDb::new().await;
    let games = insert_games(&db, 2).await;
    let cache = cache_without_redis(&db).await;
    assert_eq!(price(&cache, &db.sql, games[0]).await, Some(1));
    let before = db
        .store
        .look_at_invalidations(&Snapshot::ORIGIN)
        .await
        .unwrap()
        .snapshot;
    db.execute(
        "begin;
         update games set price = 2;
         insert into cache_inval (tags) select array['flood:' || n] from generate_series(1, 6000) n;
         commit",
    )
    .await;
    let look = db.store.look_at_invalidations(&before).await.unwrap();
    assert!(!look.complete && look.news.is_empty());
    cache.catch_up().await.unwrap();
    for game in &games {
        assert_eq!(price(&cache, &db.sql, *game).await, Some(2));
    }
    let hits = cache.status().counters.l1_hits;
    assert_eq!(price(&cache, &db.sql, games[0]).await, Some(2));
    assert_eq!(cache.status().counters.l1_hits, hits + 1, "copies are served again");
}

#[tokio::test]
async fn a_late_commit_invalidates_values_read_during_it() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let cache = cache_without_redis(&db).await;
    let mut slow = db.sql.begin().await.unwrap();
    sqlx::query("update games set price = 2 where id = $1")
        .bind(game.0)
        .execute(&mut *slow)
        .await
        .unwrap();
    // Other transactions commit, and the value is read and cached.
    for _ in 0..5 {
        db.execute("select pg_current_xact_id()").await;
        cache.catch_up().await.unwrap();
        assert_eq!(price(&cache, &db.sql, game).await, Some(1));
    }
    slow.commit().await.unwrap();
    cache.catch_up().await.unwrap();
    assert_eq!(price(&cache, &db.sql, game).await, Some(2));
}

#[tokio::test]
async fn the_checker_detects_a_missing_trigger() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let cache = cache_without_redis(&db).await;
    assert_eq!(price(&cache, &db.sql, game).await, Some(1));
    set_price_without_log(&db, game, 2).await;
    until("the difference is counted", async || {
        for _ in 0..500 {
            price(&cache, &db.sql, game).await;
        }
        cache.status().counters.violations > 0
    })
    .await;
}

#[tokio::test]
async fn the_checker_reports_nothing_for_current_entries() {
    let db = TestDb::new().await;
    let game = insert_games(&db, 1).await[0];
    let cache = cache_without_redis(&db).await;
    let mut new = 1;
    until("copies are compared", async || {
        new += 1;
        set_price(&db, game, new).await;
        for _ in 0..500 {
            price(&cache, &db.sql, game).await;
        }
        cache.status().counters.compared >= 3
    })
    .await;
    assert_eq!(cache.status().counters.violations, 0);
}

#[tokio::test]
async fn an_answer_has_a_weak_validator_and_a_compressed_form() {
    let db = TestDb::new().await;
    let cache = cache_without_redis(&db).await;
    let body = |text: &'static str| {
        let store = db.store.clone();
        cache.read(CacheKey::CatalogPage(text.len().to_string()), move |_| async move {
            store
                .read(|_| Box::pin(async move { Ok(Payload::bytes(text.as_bytes().into())) }))
                .await
        })
    };
    let small = body("small").await.unwrap();
    assert_eq!(small.gzip(), None);
    assert!(small.etag.starts_with(b"W/\"") && small.etag.ends_with(b"\"") && small.etag.len() > 10);
    let large = body(include_str!("../Cargo.toml").repeat(4).leak()).await.unwrap();
    let packed = large.gzip().unwrap();
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.as_ref())
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, large.body);
    assert_ne!(small.etag, large.etag);
}

#[test]
fn contradictory_settings_are_refused_without_showing_passwords() {
    let secret = with_redis("redis://:hunter2@localhost/");
    assert!(!format!("{secret:?}").contains("hunter2"));
    assert_eq!(secret.check(), Ok(()));
    let error = with_redis("hunter2").check().unwrap_err();
    assert_eq!(error, ConfigError::RedisUrl);
    assert!(!error.to_string().contains("hunter2"));
    let short = Config {
        lease: Duration::from_millis(60),
        ..Config::default()
    };
    assert!(matches!(short.check(), Err(ConfigError::LeaseTooShort { .. })));
}
