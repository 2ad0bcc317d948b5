//! What staff are shown of Redis, with a real PostgreSQL and a real Redis.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test whose ground gives way has to fail where it does"
)]

mod common;

use common::{insert_games, pool, price, set_price, until, with_redis};
use lockstep_cache::{Cache, Reached, RedisState};
use lockstep_domain::CacheKey;
use lockstep_domain::cache_pattern::{CachePattern, FAMILY_PATTERNS, SYNC_PROGRESS_KEY};
use lockstep_store::audit::By;
use lockstep_store::invalidation::drop_answers;
use lockstep_testkit::{TestDb, TestRedis};

fn pattern(text: &str) -> CachePattern {
    CachePattern::parse(text).unwrap()
}

async fn cache(db: &TestDb, redis: &TestRedis) -> Cache {
    let cache = Cache::start(db.store.clone(), with_redis(&redis.url())).await;
    until("Redis is seen", async || cache.status().redis == RedisState::Up).await;
    cache
}

#[tokio::test]
async fn only_the_shops_keys_are_counted_and_invalidation_reaches_every_process() {
    let db = TestDb::new().await;
    let redis = TestRedis::start().await;
    let sql = pool(db.url(), 4);
    let games = insert_games(&db, 3).await;
    let (one, two) = (cache(&db, &redis).await, cache(&db, &redis).await);
    for game in &games {
        assert_eq!(
            (price(&one, &sql, *game).await, price(&two, &sql, *game).await),
            (Some(1), Some(1))
        );
    }
    // Another program's keys, one of them with a name like ours.
    for foreign in ["session:other-program", "game:foreign", "bull:orders"] {
        redis.set(foreign, b"theirs").await;
    }
    let hour = std::time::Duration::from_hours(1);
    one.leave_note(SYNC_PROGRESS_KEY, "{}", hour).await.unwrap();
    until("the answers are in Redis", async || {
        one.survey().await.keys["game:*"] == 3
    })
    .await;
    let survey = one.survey().await;
    assert_eq!(
        (survey.reached, survey.total(), survey.complete),
        (Reached::Connected, 4, true)
    );
    assert_eq!((survey.keys["g2a:*"], survey.keys["session:*"]), (1, 0));
    assert!(survey.bytes > 200, "{survey:?}");
    assert_eq!(two.count(&pattern("game:*")).await, 3);
    assert_eq!(two.count(&pattern("home:*")).await, 0);
    assert_eq!(two.count(&pattern(&format!("game:{}", games[0]))).await, 1);
    assert_eq!(two.count(&pattern("*")).await, 4);

    // A change that no trigger sees, so that only the invalidation makes it visible.
    db.execute("alter table games disable trigger all").await;
    set_price(&db, games[0], 7).await;
    set_price(&db, games[1], 7).await;
    assert_eq!(
        (price(&one, &sql, games[0]).await, price(&two, &sql, games[0]).await),
        (Some(1), Some(1))
    );
    let by = By::Operator("test".to_owned());
    let only = pattern(&format!("game:{}", games[0]));
    drop_answers(&db.store, &by, &only.to_string(), only.tags())
        .await
        .unwrap();
    one.catch_up().await.unwrap();
    two.catch_up().await.unwrap();
    assert_eq!(
        (price(&one, &sql, games[0]).await, price(&two, &sql, games[0]).await),
        (Some(7), Some(7))
    );
    assert_eq!(
        (price(&one, &sql, games[1]).await, price(&two, &sql, games[1]).await),
        (Some(1), Some(1))
    );

    let everything = CachePattern::everything();
    drop_answers(&db.store, &by, "*", everything.tags()).await.unwrap();
    one.catch_up().await.unwrap();
    two.catch_up().await.unwrap();
    until("the keys are gone", async || {
        one.drop_tags(everything.tags()).await.unwrap();
        let keys = redis.keys().await;
        games.iter().all(|game| !keys.contains(&format!("game:{game}")))
    })
    .await;
    assert_eq!(
        (price(&one, &sql, games[1]).await, price(&two, &sql, games[1]).await),
        (Some(7), Some(7))
    );
    let keys = redis.keys().await;
    for foreign in ["session:other-program", "game:foreign", "bull:orders"] {
        assert!(keys.contains(&foreign.to_owned()), "{foreign} in {keys:?}");
    }
    one.shutdown().await;
    two.shutdown().await;
}

/// Lists are read piece by piece, also where many values end at the same moment.
#[tokio::test]
async fn more_keys_than_one_piece_are_all_counted_once() {
    let db = TestDb::new().await;
    let redis = TestRedis::start().await;
    let one = cache(&db, &redis).await;
    let (mut values, mut listed) = (
        vec!["MSET".to_owned()],
        vec!["ZADD".to_owned(), "lockstep:keys:game:*".to_owned()],
    );
    for n in 0..1_300 {
        let name = format!("game:00000000-0000-4000-8000-{n:012}");
        // 1,200 of them with one score: two pieces and a part.
        let score = if n < 100 {
            4_000_000_000_000_u64 + n
        } else {
            4_000_000_001_000
        };
        values.extend([name.clone(), "v".to_owned()]);
        listed.extend([score.to_string(), name]);
    }
    for words in [values, listed] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        redis.command(&words).await;
    }
    let survey = one.survey().await;
    assert_eq!((survey.keys["game:*"], survey.complete), (1_300, true));
    one.shutdown().await;
}

#[tokio::test]
async fn without_redis_the_truth_is_told_and_this_process_is_counted() {
    let db = TestDb::new().await;
    let mut redis = TestRedis::start().await;
    let sql = pool(db.url(), 4);
    let games = insert_games(&db, 2).await;
    let with = cache(&db, &redis).await;
    assert_eq!(price(&with, &sql, games[0]).await, Some(1));
    redis.configure("maxmemory-policy", "noeviction").await;
    redis.command(&["ACL", "SETUSER", "default", "-memory"]).await;
    assert_eq!(with.survey().await.reached, Reached::Refused);
    assert_eq!(with.status().redis, RedisState::Up, "a refusal is an answer");
    redis.kill();
    let survey = with.survey().await;
    assert_eq!(
        (survey.reached, survey.total(), survey.bytes),
        (Reached::Disconnected, 0, 0)
    );
    assert_eq!(survey.keys.len(), FAMILY_PATTERNS.len());
    assert_eq!(with.count(&pattern("game:*")).await, 1);
    let without = Cache::start(db.store.clone(), lockstep_cache::Config::default()).await;
    assert_eq!(price(&without, &sql, games[0]).await, Some(1));
    assert_eq!(without.survey().await.reached, Reached::Disconnected);
    assert_eq!(without.count(&pattern("*")).await, 1);
    assert_eq!(without.count(&pattern(&CacheKey::Game(games[0]).name())).await, 1);
    assert_eq!(without.count(&pattern(&CacheKey::Game(games[1]).name())).await, 0);
    with.shutdown().await;
    without.shutdown().await;
}
