//! `/api/admin/cache/…`: what is dropped is dropped in every process, and no other program's key is touched.

use std::sync::Arc;

use lockstep_api::Settings;
use lockstep_cache::{Config, RedisState};
use lockstep_store::Store;
use lockstep_testkit::{TestDb, TestRedis};
use serde_json::{Value, json};

use crate::client::Client;
use crate::permissions::member;
use crate::shop::{NewGame, Shop};

const STATISTICS: &str = "/api/admin/cache/statistics";
const INVALIDATE: &str = "/api/admin/cache/invalidate";

/// A process of a shop with Redis.
async fn process(db: &Arc<TestDb>, redis: &TestRedis) -> Shop {
    let store = Store::new(db.url(), &lockstep_store::Options::default()).unwrap();
    let config = Config {
        redis_url: Some(redis.url()),
        key_prefix: "shop:".to_owned(),
        ..Config::default()
    };
    let shop = Shop::open_on(Arc::clone(db), store, Settings::default(), config).await;
    until(async || shop.cache.status().redis == RedisState::Up).await;
    shop
}

async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !is_so().await {
        assert!(std::time::Instant::now() < deadline, "not within 30 s");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn title(shop: &Shop) -> Value {
    shop.get("/api/games/slug/portal").await.data()["title"].take()
}

#[tokio::test]
async fn dropped_answers_are_gone_in_every_process_and_foreign_keys_stay() {
    let (db, redis) = (Arc::new(TestDb::new().await), TestRedis::start().await);
    let (here, there) = (process(&db, &redis).await, process(&db, &redis).await);
    let staff = member(&here, "OWNER").await;
    here.put(&[NewGame::titled("Portal")]).await;
    there.cache.catch_up().await.unwrap();
    let foreign = ["game:their-own", "other:key", "shop2:game:x"];
    for key in foreign {
        redis.set(key, b"theirs").await;
    }
    for shop in [&here, &there] {
        assert_eq!(title(shop).await, "Portal");
        shop.get("/api/games/genres").await.data();
    }
    let games = async || {
        staff.get(STATISTICS).await.data()["keysByPattern"]["game:*"]
            .as_u64()
            .unwrap()
    };
    until(async || games().await >= 1).await;
    let shown = staff.get(STATISTICS).await.data();
    let patterns = &shown["keysByPattern"];
    for family in ["home:*", "game:*", "catalog:*", "user:*", "g2a:*", "session:*"] {
        assert!(patterns[family].is_u64(), "{family}: {shown}");
    }
    let sum: u64 = patterns.as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(
        (&shown["totalKeys"], &shown["redisStatus"]),
        (&json!(sum), &json!("connected"))
    );
    assert!(
        shown["memoryUsage"].as_u64().unwrap() > 0 && shown["complete"] == true,
        "{shown}"
    );

    // A change that no trigger sees, so that only the invalidation makes it visible.
    db.execute("alter table games disable trigger all; update games set title = 'Portal II'")
        .await;
    assert_eq!(
        (title(&here).await, title(&there).await),
        (json!("Portal"), json!("Portal"))
    );
    let mut dropped = staff.post(INVALIDATE, json!({"pattern": "game:*"})).await.data();
    assert!(dropped["keysInvalidated"].take().as_u64().unwrap() >= 1);
    assert_eq!(dropped["pattern"], "game:*");
    assert!(dropped["message"].as_str().unwrap().starts_with("Dropped"), "{dropped}");
    there.cache.catch_up().await.unwrap();
    assert_eq!(
        (title(&here).await, title(&there).await),
        (json!("Portal II"), json!("Portal II"))
    );

    db.execute("update games set title = 'Portal III'").await;
    let cleared = staff.post("/api/admin/cache/clear", json!({})).await.data();
    assert_eq!(cleared["pattern"], "*");
    there.cache.catch_up().await.unwrap();
    assert_eq!(
        (title(&here).await, title(&there).await),
        (json!("Portal III"), json!("Portal III"))
    );
    let keys = redis.keys().await;
    for key in foreign {
        assert!(keys.contains(&key.to_owned()), "{key} in {keys:?}");
    }
    assert_eq!(db.count("audit_log where action = 'cache.invalidate'").await, 2);
}

#[tokio::test]
async fn patterns_that_no_tag_stands_for_are_refused_and_redis_may_be_away() {
    let (db, mut redis) = (Arc::new(TestDb::new().await), TestRedis::start().await);
    let shop = process(&db, &redis).await;
    let staff = member(&shop, "OWNER").await;
    shop.put(&[NewGame::titled("Portal")]).await;
    for wrong in [
        json!("*:*"),
        json!(""),
        json!("bull:*"),
        json!("game:?"),
        json!("game:\0"),
        json!(7),
        Value::Null,
    ] {
        let answer = staff.post(INVALIDATE, json!({"pattern": wrong})).await;
        assert_eq!(answer.failure(), (400, "validation_failed".into()), "{wrong}");
    }
    let told = staff.post(INVALIDATE, json!({"pattern": "nothing"})).await.json();
    assert!(
        told["error"]["errors"][0]["msg"]
            .as_str()
            .unwrap()
            .contains("session:*"),
        "{told}"
    );
    redis.kill();
    assert_eq!(title(&shop).await, "Portal");
    let shown = staff.get(STATISTICS).await.data();
    assert_eq!(
        (&shown["redisStatus"], &shown["totalKeys"], &shown["memoryUsage"]),
        (&json!("disconnected"), &json!(0), &json!(0))
    );
    db.execute("alter table games disable trigger all; update games set title = 'Portal II'")
        .await;
    let dropped = staff
        .post(INVALIDATE, json!({"pattern": "game:slug:portal"}))
        .await
        .data();
    assert_eq!(dropped["keysInvalidated"], 1, "of this process");
    assert!(
        dropped["message"].as_str().unwrap().contains("Redis does not answer"),
        "{dropped}"
    );
    assert_eq!(title(&shop).await, "Portal II");
    let without = Shop::open().await;
    let staff = member(&without, "ANALYST").await;
    assert_eq!(staff.get(STATISTICS).await.data()["redisStatus"], "disconnected");
    assert_eq!(Client::new(&without).get(STATISTICS).await.status, 403);
}
