//! Injects all faults at once and verifies that no reader sees a stale price. That it would see one, were any rule of the
//! protocol missing, is what `cargo xtask mutants` verifies.
//!
//! Three nodes with warm caches share one Redis and one PostgreSQL. Writers raise the prices of a few hot games; some
//! keep their transaction open before they commit. Readers ask any node. Meanwhile loads are slow, so that their values
//! arrive late; nodes lose the log for a while; Redis is killed, frozen, and gets old data written back; the connections that
//! wake nodes are cut.
//!
//! The check needs no tolerance for slow machines: a price is a version number, and its confirmation time is recorded
//! after the commit was acknowledged. A read that began at `t` must contain every version confirmed before `t - X`.
//! Both times err in the reader's favour.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test whose ground gives way has to fail where it does"
)]

mod common;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{insert_games, number, pool, read_price, with_redis};
use lockstep_cache::{Cache, Config, Payload};
use lockstep_domain::{CacheKey, GameId};
use lockstep_store::{Options, Stamped, Store, StoreError};
use lockstep_testkit::{DatabaseProxy, TestDb, TestRedis};
use sqlx::PgPool;

const NODES: usize = 3;
const READERS: usize = 24;
const WRITERS: usize = 4;
const GAMES: i32 = 64;
const X: Duration = Duration::from_millis(250);
/// Duration of the run. A missing rule shows within a few seconds.
const LONG: Duration = Duration::from_secs(15);

/// The versions of one game and the times of their confirmation.
#[derive(Default)]
struct History(Mutex<Vec<(Instant, i64)>>);

impl History {
    fn confirm(&self, version: i64) {
        let mut history = self.0.lock().unwrap();
        history.push((Instant::now(), version));
    }

    /// The newest version confirmed before `time`.
    fn confirmed_before(&self, time: Instant) -> i64 {
        let history = self.0.lock().unwrap();
        let before = history.iter().filter(|(at, _)| *at < time);
        before.map(|(_, version)| *version).max().unwrap_or(1)
    }
}

struct Chaos {
    db: TestDb,
    reads: PgPool,
    writes: PgPool,
    caches: Vec<Cache>,
    /// Each node's way to the database.
    proxies: Vec<DatabaseProxy>,
    games: Vec<GameId>,
    histories: Vec<History>,
    stop: AtomicBool,
    answers: AtomicU64,
    versions: AtomicU64,
    /// Reads that lacked a confirmed version; `first` describes the first one.
    violations: AtomicU64,
    first: Mutex<Option<String>>,
}

fn chance(percent: u32) -> bool {
    rand::random_range(0..100) < percent
}

fn up_to(ms: u64) -> Duration {
    Duration::from_millis(rand::random_range(0..=ms))
}

/// Loads one price; a quarter of the loads wait a long time after their read.
async fn load(reads: PgPool, game: GameId) -> Result<Stamped<Payload>, StoreError> {
    let loaded = read_price(reads, game).await?;
    if chance(25) {
        tokio::time::sleep(up_to(800)).await;
    }
    Ok(loaded)
}

impl Chaos {
    fn over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn read_on(&self, node: usize) {
        while !self.over() {
            // Paces the readers, so that two cores also have time for PostgreSQL.
            tokio::time::sleep(up_to(4)).await;
            let which = rand::random_range(0..self.games.len());
            let (game, reads) = (self.games[which], self.reads.clone());
            let began = Instant::now();
            let answer = self.caches[node]
                .read(CacheKey::Game(game), move |_| load(reads, game))
                .await;
            // "Try again" is a correct answer.
            let Ok(entry) = answer else { continue };
            self.answers.fetch_add(1, Ordering::Relaxed);
            let seen = number(&entry).unwrap();
            let Some(limit) = began.checked_sub(X) else { continue };
            let confirmed = self.histories[which].confirmed_before(limit);
            if seen < confirmed {
                self.violations.fetch_add(1, Ordering::Relaxed);
                self.first.lock().unwrap().get_or_insert_with(|| {
                    format!("node {node} served version {seen} of game {which}; {confirmed} was confirmed more than {X:?} before: {entry:?}")
                });
            }
        }
    }

    async fn write_on(&self) -> Result<(), sqlx::Error> {
        while !self.over() {
            tokio::time::sleep(up_to(40)).await;
            let which = rand::random_range(0..self.games.len());
            let mut tx = self.writes.begin().await?;
            let price: i64 =
                sqlx::query_scalar("update games set price = price + 1 where id = $1 returning price::bigint")
                    .bind(self.games[which].0)
                    .fetch_one(&mut *tx)
                    .await?;
            if chance(10) {
                tokio::time::sleep(up_to(120)).await;
            }
            tx.commit().await?;
            self.histories[which].confirm(price);
            self.versions.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Keeps the log from a node, often for longer than its lease, as if the node or its network stood still.
    async fn freeze_log(&self, node: usize) {
        while !self.over() {
            tokio::time::sleep(up_to(1000)).await;
            self.proxies[node].freeze();
            tokio::time::sleep(Duration::from_millis(50) + up_to(850)).await;
            self.proxies[node].thaw();
        }
    }

    async fn cut_listeners(&self) {
        while !self.over() {
            tokio::time::sleep(Duration::from_secs(2)).await;
            self.db
                .execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen%'")
                .await;
        }
    }

    /// Restores old data, kills and freezes Redis in turn.
    async fn disturb_redis(&self, redis: &mut TestRedis) {
        let mut old = redis.contents().await;
        for turn in 0.. {
            let pause = Instant::now() + Duration::from_millis(1200);
            while Instant::now() < pause {
                if self.over() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            match turn % 4 {
                0 | 2 => {
                    let now = redis.contents().await;
                    redis.write_back(&old).await;
                    old = now;
                }
                1 => {
                    redis.kill();
                    tokio::time::sleep(Duration::from_millis(700)).await;
                    redis.restart_same_port().await;
                    redis.write_back(&old).await;
                }
                _ => {
                    redis.freeze();
                    tokio::time::sleep(Duration::from_millis(700)).await;
                    redis.thaw();
                }
            }
        }
    }
}

/// Runs until the first violation, or for [`LONG`].
async fn run() -> Arc<Chaos> {
    let db = TestDb::new().await;
    let mut redis = TestRedis::start().await;
    let games = insert_games(&db, GAMES).await;
    let proxies: Vec<_> = (0..NODES).map(|_| DatabaseProxy::before(&db)).collect();
    let mut caches = Vec::new();
    for proxy in &proxies {
        let config = Config {
            lease: X,
            ..with_redis(&redis.url())
        };
        let store = Store::new(proxy.url(), &Options::default()).unwrap();
        caches.push(Cache::start(store, config).await);
    }
    let chaos = Arc::new(Chaos {
        reads: pool(db.url(), 16),
        writes: pool(db.url(), u32::try_from(WRITERS).unwrap()),
        db,
        caches,
        proxies,
        histories: games.iter().map(|_| History::default()).collect(),
        games,
        stop: AtomicBool::new(false),
        answers: AtomicU64::new(0),
        versions: AtomicU64::new(0),
        violations: AtomicU64::new(0),
        first: Mutex::new(None),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for reader in 0..READERS {
        let chaos = Arc::clone(&chaos);
        tasks.spawn(async move { chaos.read_on(reader % NODES).await });
    }
    for _ in 0..WRITERS {
        let chaos = Arc::clone(&chaos);
        tasks.spawn(async move { chaos.write_on().await.unwrap() });
    }
    for node in 0..NODES {
        let chaos = Arc::clone(&chaos);
        tasks.spawn(async move { chaos.freeze_log(node).await });
    }
    let listeners = Arc::clone(&chaos);
    tasks.spawn(async move { listeners.cut_listeners().await });
    let redis_and = Arc::clone(&chaos);
    tasks.spawn(async move { redis_and.disturb_redis(&mut redis).await });
    let end = Instant::now() + LONG;
    while Instant::now() < end && chaos.violations.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    chaos.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    for cache in &chaos.caches {
        cache.shutdown().await;
    }
    chaos
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_older_than_the_lease_under_any_fault() {
    let chaos = run().await;
    let mut total = lockstep_cache::Counters::default();
    for cache in &chaos.caches {
        let counters = cache.status().counters;
        println!("{counters:?}");
        total.l1_hits += counters.l1_hits;
        total.redis_hits += counters.redis_hits;
        total.refused_tag += counters.refused_tag;
        total.refused_lease += counters.refused_lease;
        total.violations += counters.violations;
    }
    let answers = chaos.answers.load(Ordering::Relaxed);
    println!("{answers} answers, {} versions", chaos.versions.load(Ordering::Relaxed));
    assert_eq!(
        chaos.violations.load(Ordering::Relaxed),
        0,
        "{:?}",
        chaos.first.lock().unwrap()
    );
    assert_eq!(
        total.violations, 0,
        "the observer found a difference that no invalidation explains"
    );
    // The run is meaningful: all tiers served and refused entries, and prices changed.
    assert!(
        total.l1_hits > 0 && total.redis_hits > 0 && total.refused_tag > 0 && total.refused_lease > 0,
        "{total:?}"
    );
    assert!(chaos.versions.load(Ordering::Relaxed) > 0 && answers > 0);
}
