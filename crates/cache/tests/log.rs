//! What the cache logs for an operator. A separate binary: a subscriber of one thread misses events when tests of other
//! threads reach the same log statements at the same time.

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

use common::{insert_games, price, until, with_redis};
use lockstep_cache::{Cache, RedisState, RedisWrites};
use lockstep_testkit::{TestDb, TestRedis};

/// The log lines of this thread, which runs the whole test.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0.lock().unwrap()))
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines_with(&self, text: &str) -> usize {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains(text)).count()
    }
}

/// Captures log lines from here on.
fn capture(log: &Log) -> tracing::subscriber::DefaultGuard {
    let writer = log.clone();
    tracing::subscriber::set_default(
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || writer.clone())
            .finish(),
    )
}

#[tokio::test]
async fn start_and_end_of_refused_writes_are_logged_once_each() {
    let log = Log::default();
    let _capture = capture(&log);
    let db = TestDb::new().await;
    let games = insert_games(&db, 100).await;
    let redis = TestRedis::start().await;
    let cache = Cache::start(db.store.clone(), with_redis(&redis.url())).await;
    until("Redis is seen", async || cache.status().redis == RedisState::Up).await;
    redis.configure("maxmemory", "1").await;
    for game in &games {
        assert_eq!(price(&cache, &db.sql, *game).await, Some(1));
    }
    let refuses = || matches!(cache.status().redis_writes, RedisWrites::Refused { .. });
    until("the refusal is known", async || refuses()).await;
    assert_eq!(log.lines_with("lockstep_cache::writes"), 1, "{log:?}");
    assert_eq!(log.lines_with("Redis refuses writes: OOM"), 1, "{log:?}");
    redis.configure("maxmemory", "0").await;
    until("the refusal has ended", async || !refuses()).await;
    assert_eq!(log.lines_with("Redis accepts writes again"), 1, "{log:?}");
    assert_eq!(log.lines_with("lockstep_cache::writes"), 2, "{log:?}");
}

#[tokio::test]
async fn loss_and_return_of_redis_are_logged_once_each() {
    let log = Log::default();
    let _capture = capture(&log);
    let db = TestDb::new().await;
    let games = insert_games(&db, 100).await;
    let mut redis = TestRedis::start().await;
    let cache = Cache::start(db.store.clone(), with_redis(&redis.url())).await;
    until("Redis is seen", async || cache.status().redis == RedisState::Up).await;
    let lost_before = log.lines_with("Redis lost");
    redis.kill();
    // Every reader notices, before and after the loss is known.
    for game in &games {
        assert_eq!(price(&cache, &db.sql, *game).await, Some(1));
    }
    until("its loss is known", async || cache.status().redis != RedisState::Up).await;
    cache.drop_keys(&["game:1".to_owned()]).await.unwrap_err();
    assert_eq!(log.lines_with("Redis lost"), lost_before + 1);
    let back_before = log.lines_with("Redis back");
    redis.restart_same_port().await;
    until("its return is known", async || cache.status().redis == RedisState::Up).await;
    cache.drop_keys(&["game:1".to_owned()]).await.unwrap();
    assert_eq!(log.lines_with("Redis back"), back_before + 1);
    assert_eq!(log.lines_with("Redis lost"), lost_before + 1);
}
