//! Measures the cache on this machine, with its own PostgreSQL and Redis:
//!
//! `cargo run --release -p lockstep-cache --example measure`

#![allow(clippy::disallowed_methods, reason = "a measurement takes real time")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement for people; what fails ends it"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lockstep_cache::{Cache, Config, Payload, RedisState};
use lockstep_domain::{CacheKey, GameId};
use lockstep_store::{Options, Stamped, Store, StoreError};
use lockstep_testkit::{TestDb, TestRedis};
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

const GAMES: usize = 1_000;
const TIME: Duration = Duration::from_secs(3);
const COMMITS: usize = 300;

/// Loads a stamped body of 1 kB that begins with the game's price.
async fn load(sql: PgPool, game: GameId) -> Result<Stamped<Payload>, StoreError> {
    let row = sqlx::query(
        "select pg_current_snapshot()::text, rpad(price::bigint::text || ' ', 1024, 'x') from games where id = $1",
    )
    .bind(game.0)
    .fetch_one(&sql)
    .await?;
    let stamp: String = row.try_get(0)?;
    let body: String = row.try_get(1)?;
    Ok(Stamped {
        stamp: stamp.parse().unwrap(),
        value: Payload::bytes(body.into()),
    })
}

async fn read(cache: &Cache, sql: &PgPool, game: GameId) -> i64 {
    let sql = sql.clone();
    let entry = cache
        .read(CacheKey::Game(game), move |_| load(sql, game))
        .await
        .unwrap();
    let text = std::str::from_utf8(&entry.body).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Reads random games with `tasks` concurrent tasks and returns the answers per second.
async fn throughput(cache: &Cache, sql: &PgPool, games: &Arc<Vec<GameId>>, tasks: usize) -> u64 {
    for game in games.iter() {
        read(cache, sql, *game).await;
    }
    let count = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + TIME;
    let mut running = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let (cache, sql, games, count) = (cache.clone(), sql.clone(), Arc::clone(games), Arc::clone(&count));
        running.spawn(async move {
            let mut at = task * 7919;
            while Instant::now() < end {
                for _ in 0..100 {
                    at = (at + 1) % games.len();
                    let (sql, game) = (sql.clone(), games[at]);
                    cache
                        .read(CacheKey::Game(game), move |_| load(sql, game))
                        .await
                        .unwrap();
                }
                count.fetch_add(100, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
    }
    while running.join_next().await.is_some() {}
    count.load(Ordering::Relaxed) / TIME.as_secs()
}

/// Measures the time from a commit's acknowledgement to the first answer with the new price at another node.
async fn visible(cache: &Cache, db: &TestDb, writer: Option<&Store>, game: GameId) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..COMMITS {
        let price: i64 = sqlx::query_scalar("update games set price = price + 1 where id = $1 returning price::bigint")
            .bind(game.0)
            .fetch_one(&db.sql)
            .await
            .unwrap();
        let committed = Instant::now();
        if let Some(writer) = writer {
            // A commit of a process that has a cache and wakes the other processes.
            writer
                .tx("measure", |_| Box::pin(async { Ok::<_, StoreError>(()) }))
                .await
                .unwrap();
        }
        while read(cache, &db.sql, game).await < price {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        times.push(committed.elapsed());
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..20))).await;
    }
    times.sort();
    times
}

fn print(what: &str, times: &[Duration]) {
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!(
        "{what}: p50 {p50:?}, p99 {p99:?}, max {:?} of {}",
        times[times.len() - 1],
        times.len()
    );
}

#[tokio::main]
async fn main() {
    let db = TestDb::new().await;
    let redis = TestRedis::start().await;
    let games: Vec<Uuid> = sqlx::query_scalar(
        "insert into games (title, slug, description, price, image, release_date)
         select 'Game ' || n, 'game-' || n, '', 1, '', now() from generate_series(1, $1) n returning id",
    )
    .bind(i32::try_from(GAMES).unwrap())
    .fetch_all(&db.sql)
    .await
    .unwrap();
    let games: Arc<Vec<GameId>> = Arc::new(games.into_iter().map(GameId).collect());
    let config = Config {
        redis_url: Some(redis.url()),
        ..Config::default()
    };
    let cache = Cache::start(db.store.clone(), config.clone()).await;
    while cache.status().redis != RedisState::Up {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!(
        "load average {}",
        std::fs::read_to_string("/proc/loadavg").unwrap().trim()
    );
    println!("own copies, 1 task: {}/s", throughput(&cache, &db.sql, &games, 1).await);
    println!(
        "own copies, 64 tasks: {}/s",
        throughput(&cache, &db.sql, &games, 64).await
    );
    let without = Cache::start(
        db.store.clone(),
        Config {
            l1_bytes: 0,
            ..config.clone()
        },
    )
    .await;
    println!("Redis, 64 tasks: {}/s", throughput(&without, &db.sql, &games, 64).await);
    println!("{:?}", without.status().counters);

    let other = Store::new(db.url(), &Options::default()).unwrap();
    let writing = Cache::start(other.clone(), config).await;
    print(
        "commit -> seen by another node, woken",
        &visible(&cache, &db, Some(&other), games[0]).await,
    );
    print(
        "commit -> seen by a node, plain SQL (nobody wakes)",
        &visible(&cache, &db, None, games[1]).await,
    );
    for cache in [cache, without, writing] {
        cache.shutdown().await;
    }
}
