//! The evictor with a real PostgreSQL and a real Redis.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test whose ground gives way has to fail where it does"
)]

use std::time::{Duration, Instant};

use lockstep_cache::{Cache, Config, Payload, RedisState};
use lockstep_domain::CacheKey;
use lockstep_domain::cache_key::game_tag;
use lockstep_domain::ids::{GameId, OrderId, ShopperId, UserId};
use lockstep_testkit::{TestDb, TestRedis};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(30);

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn cache(db: &TestDb, redis: &TestRedis) -> Cache {
    let config = Config {
        redis_url: Some(redis.url()),
        // A value that the second drop of an earlier change removes is soon written again.
        redis_recheck: Duration::from_millis(50),
        ..Config::default()
    };
    let cache = Cache::start(db.store.clone(), config).await;
    until("Redis is seen", async || cache.status().redis == RedisState::Up).await;
    cache
}

/// A evictor that can be stopped like its process.
struct Evictor(CancellationToken, JoinHandle<()>);

impl Evictor {
    fn start(db: &TestDb, cache: &Cache) -> Self {
        let stop = CancellationToken::new();
        let evictor = lockstep_cache::evictor::run(db.store.clone(), cache.clone(), stop.clone());
        Self(stop, tokio::spawn(evictor))
    }

    async fn stop(self) {
        self.0.cancel();
        self.1.await.unwrap();
    }
}

async fn insert_game(db: &TestDb, slug: &str) -> Uuid {
    let id = Uuid::now_v7();
    insert_game_as(db, id, slug).await;
    id
}

async fn insert_game_as(db: &TestDb, id: Uuid, slug: &str) {
    sqlx::query(
        "insert into games (id, title, slug, description, price, image, release_date) values ($1, $2, $2, '', 1, '', now())",
    )
    .bind(id)
    .bind(slug)
    .execute(&db.sql)
    .await
    .unwrap();
}

async fn set_price(db: &TestDb, game: Uuid, price: i32) {
    db.execute(&format!("update games set price = {price} where id = '{game}'"))
        .await;
}

/// Writes a value under every name.
async fn write(redis: &TestRedis, names: &[String]) {
    for name in names {
        redis.set(name, b"x").await;
    }
}

/// Waits until the evictor has read the log up to now, and has dropped what it names for the second time, too: of what is
/// written afterwards nothing is dropped for a change that came before.
///
/// A game that changes just once, by appearing, is dropped twice for it. The evictor's first look may drop everything twice, which
/// counts as one of the two here; the second game comes after that.
async fn caught_up(db: &TestDb, redis: &TestRedis) {
    for what in ["the evictor has got here", "nothing earlier is left to drop"] {
        let id = Uuid::now_v7();
        let names = [format!("game:{id}")];
        write(redis, &names).await;
        insert_game_as(db, id, &format!("sentinel-{id}")).await;
        for _ in 0..2 {
            until(what, async || !redis.keys().await.contains(&names[0])).await;
            write(redis, &names).await;
        }
    }
}

#[tokio::test]
async fn the_keys_of_a_changed_game_are_dropped_and_no_others() {
    let db = TestDb::new().await;
    let redis = TestRedis::start().await;
    let (game, other) = (insert_game(&db, "portal").await, insert_game(&db, "doom").await);
    let evictor = Evictor::start(&db, &cache(&db, &redis).await);
    caught_up(&db, &redis).await;

    let changed = [
        format!("game:{game}"),
        "game:slug:portal".into(),
        "home:bestSellers".into(),
        "home:newInCatalog".into(),
        "home:preorders".into(),
        "catalog:filterOptions".into(),
    ];
    let unchanged = [
        format!("game:{other}"),
        "game:slug:doom".into(),
        format!("user:{game}:cart"),
    ];
    write(&redis, &changed).await;
    write(&redis, &unchanged).await;
    set_price(&db, game, 2).await;
    until("the changed keys are gone", async || {
        let keys = redis.keys().await;
        changed.iter().all(|name| !keys.contains(name))
    })
    .await;
    let keys = redis.keys().await;
    assert!(unchanged.iter().all(|name| keys.contains(name)), "{keys:?}");
    evictor.stop().await;
}

#[tokio::test]
async fn changes_during_a_frozen_redis_are_dropped_afterwards() {
    let db = TestDb::new().await;
    let redis = TestRedis::start().await;
    let game = insert_game(&db, "portal").await;
    let cache = cache(&db, &redis).await;
    let evictor = Evictor::start(&db, &cache);
    caught_up(&db, &redis).await;
    let name = format!("game:{game}");
    write(&redis, std::slice::from_ref(&name)).await;
    redis.freeze();
    set_price(&db, game, 2).await;
    until("the loss of Redis is seen", async || {
        cache.status().redis != RedisState::Up
    })
    .await;
    redis.thaw();
    until("the key is gone", async || !redis.keys().await.contains(&name)).await;
    evictor.stop().await;
}

#[tokio::test]
async fn changes_without_a_relay_are_dropped_by_the_next_one() {
    let db = TestDb::new().await;
    let redis = TestRedis::start().await;
    let game = insert_game(&db, "portal").await;
    let cache = cache(&db, &redis).await;
    let evictor = Evictor::start(&db, &cache);
    caught_up(&db, &redis).await;
    evictor.stop().await;

    let name = format!("game:{game}");
    write(&redis, std::slice::from_ref(&name)).await;
    set_price(&db, game, 2).await;
    let evictor = Evictor::start(&db, &cache);
    until("the key is gone", async || !redis.keys().await.contains(&name)).await;
    evictor.stop().await;
}

#[tokio::test]
async fn another_process_takes_over_from_a_stopped_or_disconnected_relay() {
    let db = TestDb::new().await;
    let redis = TestRedis::start().await;
    let game = insert_game(&db, "portal").await;
    let cache = cache(&db, &redis).await;
    let first = Evictor::start(&db, &cache);
    caught_up(&db, &redis).await;
    assert!(
        db.store.evictor_lease("redis").await.unwrap().is_none(),
        "there is one evictor"
    );
    let second = Evictor::start(&db, &cache);

    db.cut_connections().await;
    let name = format!("game:{game}");
    write(&redis, std::slice::from_ref(&name)).await;
    until("PostgreSQL answers", async || db.store.ping().await.is_ok()).await;
    set_price(&db, game, 2).await;
    until("the key is gone", async || !redis.keys().await.contains(&name)).await;

    first.stop().await;
    write(&redis, std::slice::from_ref(&name)).await;
    set_price(&db, game, 3).await;
    until("the key is gone again", async || !redis.keys().await.contains(&name)).await;
    second.stop().await;
    until("no process is the evictor", async || {
        db.store.evictor_lease("redis").await.unwrap().is_some()
    })
    .await;
}

#[tokio::test]
async fn the_log_is_kept_just_longer_than_the_longest_ttl() {
    let db = TestDb::new().await;
    insert_game(&db, "old").await;
    db.execute("update cache_inval set at = at - interval '26 hours'").await;
    insert_game(&db, "young").await;
    db.execute("update cache_inval set at = at - interval '24 hours' where at > now() - interval '1 hour'")
        .await;
    // The log is pruned without Redis too.
    let cache = Cache::start(db.store.clone(), Config::default()).await;
    let evictor = Evictor::start(&db, &cache);
    let rows = async || -> i64 {
        sqlx::query_scalar("select count(*) from cache_inval")
            .fetch_one(&db.sql)
            .await
            .unwrap()
    };
    until("the old row is gone", async || rows().await == 1).await;
    evictor.stop().await;
    assert_eq!(rows().await, 1);
}

/// A backup contains the evictor position of another server.
#[tokio::test]
async fn a_position_in_the_future_is_reset() {
    let db = TestDb::new().await;
    let redis = TestRedis::start().await;
    let game = insert_game(&db, "portal").await;
    let cache = cache(&db, &redis).await;
    db.execute("insert into relay_cursor values ('redis', '9000000000:9000000000:')")
        .await;
    let name = format!("game:{game}");
    write(&redis, std::slice::from_ref(&name)).await;
    set_price(&db, game, 2).await;
    let evictor = Evictor::start(&db, &cache);
    until("the key is gone", async || !redis.keys().await.contains(&name)).await;
    evictor.stop().await;
}

/// One key of each kind that shows games; its answer was made from `game`.
fn families(game: Uuid) -> Vec<CacheKey> {
    let id = GameId(game);
    vec![
        CacheKey::Game(id),
        CacheKey::GameBySlug("portal".into()),
        CacheKey::SimilarGames(id, 10),
        CacheKey::GameEditions(id),
        CacheKey::HomeBestSellers(None),
        CacheKey::HomeBestSellers(Some("rpg".into())),
        CacheKey::HomeNewInCatalog,
        CacheKey::HomePreorders,
        CacheKey::HomeNewGames,
        CacheKey::HomeGenre("rpg".into()),
        CacheKey::HomeCollections,
        CacheKey::HomeRandomPool,
        CacheKey::HomePage("index".into()),
        CacheKey::CatalogFilterOptions,
        CacheKey::CatalogGenres,
        CacheKey::CatalogPlatforms,
        CacheKey::CatalogPage("one".into()),
        CacheKey::CatalogPage("two".into()),
        CacheKey::CatalogAutocomplete("por".into()),
        CacheKey::UserCart(ShopperId(game)),
        CacheKey::SessionWishlist(ShopperId(game)),
        CacheKey::UserOrders(UserId(game)),
        CacheKey::Order(OrderId(game)),
    ]
}

/// Reads `key` through the cache; the answer shows `game`.
async fn read(cache: &Cache, key: CacheKey, game: Uuid) {
    cache
        .read(key, move |store| async move {
            store
                .read(|_| {
                    Box::pin(async move {
                        Ok(Payload::bytes(b"shown".as_slice().into()).with_tags(vec![game_tag(GameId(game))]))
                    })
                })
                .await
        })
        .await
        .unwrap();
}

/// Those of `keys` that are in Redis.
async fn left(redis: &TestRedis, keys: &[CacheKey]) -> Vec<String> {
    let there = redis.keys().await;
    let names = keys.iter().map(CacheKey::name);
    names.filter(|name| there.contains(name)).collect()
}

/// Fills Redis with every kind of answer about games, executes `change`, and asserts that all affected answers are gone
/// within a second.
async fn assert_dropped_after(change: &str, untouched: usize) {
    let db = TestDb::new().await;
    let redis = TestRedis::start().await;
    let game = insert_game(&db, "portal").await;
    db.execute(
        "insert into games (title, slug, description, price, image, release_date)
         select 'G' || n, 'g-' || n, '', 1, '', now() from generate_series(1, 300) n",
    )
    .await;
    let cache = cache(&db, &redis).await;
    let evictor = Evictor::start(&db, &cache);
    caught_up(&db, &redis).await;
    let keys = families(game);
    until("every answer is in Redis", async || {
        for key in &keys {
            read(&cache, key.clone(), game).await;
        }
        left(&redis, &keys).await.len() == keys.len()
    })
    .await;
    // Answers about other games stay, unless the change covers very many games.
    let other = [
        CacheKey::Game(GameId(Uuid::now_v7())),
        CacheKey::Order(OrderId(Uuid::now_v7())),
    ];
    for key in &other {
        read(&cache, key.clone(), Uuid::now_v7()).await;
    }
    until("they are in Redis", async || {
        left(&redis, &other).await.len() == other.len()
    })
    .await;

    db.execute(change).await;
    let due = Instant::now() + Duration::from_secs(1);
    loop {
        let began = Instant::now();
        let left = left(&redis, &keys).await;
        if left.is_empty() {
            break;
        }
        assert!(began < due, "after a second there are still {left:?}");
    }
    assert_eq!(left(&redis, &other).await.len(), untouched, "{change}");
    evictor.stop().await;
}

#[tokio::test]
async fn every_family_of_a_changed_game_is_dropped() {
    assert_dropped_after("update games set price = 2 where slug = 'portal'", 2).await;
}

#[tokio::test]
async fn every_family_is_dropped_after_a_change_of_very_many_games() {
    assert_dropped_after("update games set price = 2", 0).await;
}

#[tokio::test]
async fn a_stale_value_written_after_the_first_drop_is_dropped_again() {
    let db = TestDb::new().await;
    let redis = TestRedis::start().await;
    let game = insert_game(&db, "portal").await;
    let cache = cache(&db, &redis).await;
    let evictor = Evictor::start(&db, &cache);
    caught_up(&db, &redis).await;
    let page = CacheKey::CatalogPage("late".into()).name();
    let late = [page.clone(), format!("game:{game}"), format!("game:{game}:similar:10")];
    write(&redis, &late[1..2]).await;
    set_price(&db, game, 2).await;
    until("what the change makes untrue is gone", async || {
        !redis.keys().await.contains(&late[1])
    })
    .await;
    write(&redis, &late).await;
    redis
        .command(&[
            "ZADD",
            "lockstep:keys:catalog",
            "99999999999998",
            &page,
            "99999999999999",
            &late[2],
        ])
        .await;
    until("they are gone", async || {
        let keys = redis.keys().await;
        late.iter().all(|name| !keys.contains(name))
    })
    .await;
    evictor.stop().await;
}

#[tokio::test]
async fn the_lists_drop_expired_members() {
    let db = TestDb::new().await;
    let redis = TestRedis::start().await;
    let cache = cache(&db, &redis).await;
    redis
        .command(&["ZADD", "lockstep:keys:catalog", "1", "catalog:page:gone"])
        .await;
    read(&cache, CacheKey::CatalogPage("new".into()), Uuid::now_v7()).await;
    until("only what lives is listed", async || {
        redis.members("lockstep:keys:catalog").await == ["catalog:page:new"]
    })
    .await;
    assert!(redis.ttl_ms("lockstep:keys:catalog").await > 0);
}
