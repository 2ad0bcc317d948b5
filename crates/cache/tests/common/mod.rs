//! Helpers of the cache tests: games whose price is read through the cache.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::time::{Duration, Instant};

use lockstep_cache::{Cache, Config, Entry, Payload};
use lockstep_domain::{CacheKey, GameId};
use lockstep_store::{Stamped, StoreError};
use lockstep_testkit::TestDb;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

/// Time limit of a wait; a busy machine stays below it, and only a failing test reaches it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Inserts `count` games with the price 1, as `psql` would.
pub(crate) async fn insert_games(db: &TestDb, count: i32) -> Vec<GameId> {
    sqlx::query_scalar::<_, Uuid>(
        "insert into games (title, slug, description, price, image, release_date)
         select 'Game ' || n, 'game-' || n, '', 1, '', now() from generate_series(1, $1) n returning id",
    )
    .bind(count)
    .fetch_all(&db.sql)
    .await
    .unwrap()
    .into_iter()
    .map(GameId)
    .collect()
}

/// Sets a price as `psql` would, without waking the caches.
pub(crate) async fn set_price(db: &TestDb, game: GameId, price: i32) {
    sqlx::query("update games set price = $2 where id = $1")
        .bind(game.0)
        .bind(price)
        .execute(&db.sql)
        .await
        .unwrap();
}

/// A pool with a short connection timeout.
pub(crate) fn pool(url: &str, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(2))
        .test_before_acquire(false)
        .connect_lazy(url)
        .unwrap()
}

/// Reads one game's price after taking the stamp; missing if the game does not exist.
pub(crate) async fn read_price(sql: PgPool, game: GameId) -> Result<Stamped<Payload>, StoreError> {
    let mut tx = sql
        .begin_with("begin isolation level repeatable read read only")
        .await?;
    let stamp: String = sqlx::query("select pg_current_snapshot()::text")
        .fetch_one(&mut *tx)
        .await?
        .try_get(0)?;
    let price: Option<String> = sqlx::query_scalar("select price::bigint::text from games where id = $1")
        .bind(game.0)
        .fetch_optional(&mut *tx)
        .await?;
    tx.rollback().await?;
    Ok(Stamped {
        stamp: stamp.parse().unwrap(),
        value: price.map_or_else(Payload::missing, |price| Payload::bytes(price.into())),
    })
}

/// Returns the price that `cache` serves. It yields first: a hit never awaits anything, and the cache also needs turns
/// on the test's single thread.
pub(crate) async fn price(cache: &Cache, sql: &PgPool, game: GameId) -> Option<i64> {
    tokio::task::yield_now().await;
    let sql = sql.clone();
    let entry = cache
        .read(CacheKey::Game(game), move |_| read_price(sql, game))
        .await
        .unwrap();
    number(&entry)
}

/// The price in an answer.
pub(crate) fn number(entry: &Entry) -> Option<i64> {
    entry
        .found
        .then(|| std::str::from_utf8(&entry.body).unwrap().parse().unwrap())
}

/// Settings with this Redis.
pub(crate) fn with_redis(url: &str) -> Config {
    Config {
        redis_url: Some(url.to_owned()),
        ..Config::default()
    }
}

/// Waits until `is_so` returns `true`; `what` names the condition.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
