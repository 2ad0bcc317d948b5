//! The second tier: a bag of values that is never trusted and never waited for.
//!
//! Redis may be away, come, freeze, forget everything or remember too much, and nobody has to restart anything: every
//! command has its time limit, after a few failures Redis is left alone, and a background call finds out when it is
//! back. The loss and the return are logged once each.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, RedisResult, Script, cmd};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::status::RedisState;
use crate::{RedisLost, clock};

/// So many failures in a row, and Redis is left alone until it answers the background call.
const PATIENCE: u32 = 10;
/// How often the background call is made while Redis answers, and while it does not.
const CALL_WHEN_UP: Duration = Duration::from_secs(1);
const CALL_WHEN_DOWN: Duration = Duration::from_millis(200);
/// A connection that takes longer is no use: readers wait for it.
const CONNECT: Duration = Duration::from_millis(200);
/// Values on their way to Redis at one time; more are dropped.
const FILLS: usize = 64;
/// Keys removed in one round trip.
const DROPS: usize = 500;

/// Writes a value unless a newer one is there. The first 16 bytes of both are their `xmax`, in hexadecimal, so text
/// order is the order of numbers. It only saves work: an older value would be refused when it is read.
const FILL: &str = r"
if ARGV[4] == '0' then
    local there = redis.call('GETRANGE', KEYS[1], 0, 15)
    if #there == 16 and there > ARGV[2] then
        return 0
    end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1
";

/// What Redis said.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A value of some kind.
    Value(Bytes),
    /// Something that is not a value (a list, a set).
    Garbage,
    /// Nothing.
    Nothing,
    /// It failed or took too long.
    Failed,
    /// It was not asked, because it is down.
    NotAsked,
}

/// A value on its way to Redis.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(crate) name: String,
    pub(crate) value: Vec<u8>,
    /// The value's first field ([`crate::envelope::order`]).
    pub(crate) order: String,
    pub(crate) ttl: Duration,
    /// What stands there was found to be worthless: replace it whatever it says.
    pub(crate) replace: bool,
}

/// One Redis server.
pub(crate) struct Redis {
    /// Readers' connection; a large value on its way in must not stand before them.
    reads: ConnectionManager,
    writes: ConnectionManager,
    script: Script,
    prefix: String,
    limit: Duration,
    failures: AtomicU32,
    /// Unix milliseconds since when it does not answer; 0 while it does.
    down_since: AtomicI64,
    permits: Arc<Semaphore>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Redis {
    /// Prepares the connections without making one. Has to be called inside the runtime.
    pub(crate) fn new(url: &str, config: &Config) -> Result<Self, RedisError> {
        let client = Client::open(url)?;
        // Repeating is of no use to a reader that can ask PostgreSQL instead; the manager's defaults block for seconds.
        let tuned = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_min_delay(Duration::from_millis(10))
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(config.redis_timeout));
        Ok(Self {
            reads: ConnectionManager::new_lazy_with_config(client.clone(), tuned.clone())?,
            writes: ConnectionManager::new_lazy_with_config(client, tuned)?,
            script: Script::new(FILL),
            prefix: config.key_prefix.clone(),
            limit: config.redis_timeout,
            failures: AtomicU32::new(0),
            down_since: AtomicI64::new(0),
            permits: Arc::new(Semaphore::new(FILLS)),
        })
    }

    /// How it is.
    pub(crate) fn state(&self) -> RedisState {
        match self.down_since.load(Ordering::Acquire) {
            0 => RedisState::Up,
            since => RedisState::Down {
                since: DateTime::from_timestamp_millis(since).unwrap_or_default(),
            },
        }
    }

    fn is_up(&self) -> bool {
        self.down_since.load(Ordering::Acquire) == 0
    }

    /// The value under a key.
    pub(crate) async fn get(&self, name: &str) -> Answer {
        if !self.is_up() {
            return Answer::NotAsked;
        }
        let mut connection = self.reads.clone();
        let mut command = cmd("GET");
        command.arg(self.full(name));
        let asked = command.query_async::<Option<Bytes>>(&mut connection);
        match timeout(self.limit, asked).await {
            Ok(Ok(value)) => {
                self.succeeded();
                value.map_or(Answer::Nothing, Answer::Value)
            }
            Ok(Err(error)) if error.code() == Some("WRONGTYPE") => Answer::Garbage,
            Ok(Err(error)) => {
                self.failed(&error);
                Answer::Failed
            }
            Err(_) => {
                self.failed(&"no answer in time");
                Answer::Failed
            }
        }
    }

    /// A place among the fills under way; `None` when there are too many or Redis is down.
    pub(crate) fn admit(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        if self.is_up() {
            Arc::clone(&self.permits).try_acquire_owned().ok()
        } else {
            None
        }
    }

    /// Writes a value unless a newer one is there; whether it was written.
    pub(crate) async fn fill(&self, fill: &Fill) -> Result<bool, RedisLost> {
        let mut connection = self.writes.clone();
        let mut call = self.script.prepare_invoke();
        call.key(self.full(&fill.name))
            .arg(fill.value.as_slice())
            .arg(fill.order.as_str())
            .arg(u64::try_from(fill.ttl.as_millis()).unwrap_or(u64::MAX).max(1))
            .arg(if fill.replace { "1" } else { "0" });
        self.written(call.invoke_async(&mut connection)).await
    }

    /// Removes keys.
    pub(crate) async fn remove(&self, names: &[String]) -> Result<u64, RedisLost> {
        if !self.is_up() {
            return Err(RedisLost);
        }
        let mut removed = 0;
        for batch in names.chunks(DROPS) {
            let mut connection = self.writes.clone();
            // One key a command, so that a cluster could take it.
            let mut pipeline = redis::pipe();
            for name in batch {
                pipeline.cmd("UNLINK").arg(self.full(name));
            }
            let counts: Vec<u64> = self.written(pipeline.query_async(&mut connection)).await?;
            removed += counts.iter().sum::<u64>();
        }
        Ok(removed)
    }

    /// Writes something that Lockstep itself never reads back, for whoever looks into Redis.
    pub(crate) async fn note(&self, name: &str, text: &str, ttl: Duration) -> Result<(), RedisLost> {
        if !self.is_up() {
            return Err(RedisLost);
        }
        let mut connection = self.writes.clone();
        let mut command = cmd("SET");
        command
            .arg(self.full(name))
            .arg(text)
            .arg("EX")
            .arg(ttl.as_secs().max(1));
        self.written(command.query_async(&mut connection)).await
    }

    /// Waits for a write, and remembers how it went.
    async fn written<T>(&self, write: impl Future<Output = RedisResult<T>>) -> Result<T, RedisLost> {
        match timeout(self.limit * 4, write).await {
            Ok(Ok(value)) => {
                self.succeeded();
                Ok(value)
            }
            Ok(Err(error)) => {
                self.failed(&error);
                Err(RedisLost)
            }
            Err(_) => {
                self.failed(&"no answer in time");
                Err(RedisLost)
            }
        }
    }

    /// Asks over both connections whether Redis is there and remembers the answer. One failure may be a connection that
    /// died unnoticed, so it is asked twice.
    pub(crate) async fn call(&self) {
        let mut answers = Ok(());
        for connection in [&self.reads, &self.writes] {
            if answers.is_ok() && self.ping(connection).await.is_err() {
                answers = self.ping(connection).await;
            }
        }
        match answers {
            Ok(()) => {
                self.failures.store(0, Ordering::Relaxed);
                self.found();
            }
            Err(error) => self.lost(&error),
        }
    }

    async fn ping(&self, connection: &ConnectionManager) -> Result<(), String> {
        let mut connection = connection.clone();
        match timeout(CONNECT + self.limit, cmd("PING").query_async::<()>(&mut connection)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    /// Calls until `stop`.
    pub(crate) async fn watch(&self, stop: &CancellationToken) {
        loop {
            let pause = if self.is_up() { CALL_WHEN_UP } else { CALL_WHEN_DOWN };
            if timeout(pause, stop.cancelled()).await.is_ok() {
                return;
            }
            self.call().await;
        }
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    fn failed(&self, error: &dyn std::fmt::Display) {
        tracing::debug!("Redis failed: {error}");
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= PATIENCE {
            self.lost(error);
        }
    }

    fn lost(&self, error: &dyn std::fmt::Display) {
        let now = Utc::now().timestamp_millis().max(1);
        if self
            .down_since
            .compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            tracing::warn!("Redis lost: {error}; answers come from this process and from PostgreSQL until it is back");
        }
    }

    fn found(&self) {
        let since = self.down_since.swap(0, Ordering::AcqRel);
        if since != 0 {
            let gone_ms = Utc::now().timestamp_millis() - since;
            tracing::info!(gone_ms, "Redis back after {gone_ms} ms");
        }
    }
}

/// Unix milliseconds, for values that other machines read.
pub(crate) fn unix_ms() -> u64 {
    u64::try_from(Utc::now().timestamp_millis()).unwrap_or(0)
}

/// When a value that was made at `made_ms` by the wall clock was made by ours; never in the future.
pub(crate) fn made(made_ms: u64, now: u64) -> u64 {
    let age_ms = unix_ms().saturating_sub(made_ms);
    now.saturating_sub(clock::nanos(Duration::from_millis(age_ms)))
}
