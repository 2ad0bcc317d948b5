//! The second tier: a bag of values that is never trusted and never waited for.
//!
//! Redis may be away, come, freeze, forget everything or remember too much, and nobody has to restart anything: every
//! command has its time limit, after a few failures Redis is left alone, and a background call finds out when it is
//! back. The loss and the return are logged once each, and so are the beginning and the end of a time in which it
//! refuses writes ([`crate::writes`]).
//!
//! What cannot be found by its name alone is listed: every value stands in a sorted set for each of its families and
//! tags, with the time when it expires, so that the whole family can be dropped without a search. The lists are written
//! with the values, in one step, and forget what has expired.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ErrorKind, RedisError, RedisResult, Script, ServerErrorKind, cmd};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::status::RedisState;
use crate::writes::Writes;
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

/// Before every name of a list.
const LISTS: &str = "lockstep:keys:";
/// Written and read to see whether that works; it is gone at once.
const PROBE: &str = "lockstep:probe";
/// A list lives longer than anything in it.
const LIST_TTL_MS: u64 = 25 * 60 * 60 * 1000;
/// Names stay in a list for longer than their values may live, because clocks differ.
const LIST_SLACK: Duration = Duration::from_mins(5);

/// Writes a value unless a newer one is there, and lists it. The first 16 bytes of both are their `xmax`, in
/// hexadecimal, so text order is the order of numbers. It only saves work: an older value would be refused when it is
/// read.
const FILL: &str = r"
if ARGV[4] == '0' then
    local there = redis.pcall('GETRANGE', KEYS[1], 0, 15)
    if type(there) == 'string' and #there == 16 and there > ARGV[2] then
        return 0
    end
end
for list = 2, #KEYS do
    redis.call('ZREMRANGEBYSCORE', KEYS[list], '-inf', ARGV[5])
    redis.call('ZADD', KEYS[list], ARGV[6], ARGV[7])
    redis.call('PEXPIRE', KEYS[list], ARGV[8])
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
    /// Tags under which it is listed.
    pub(crate) lists: Vec<String>,
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
    /// When it last came back, or a connection was made anew: what was written before may be gone ([`clock::now`]).
    back_at: AtomicU64,
    /// A command failed, so the connection may be another one by now.
    suspect: AtomicBool,
    /// It may have lost everything, and is there.
    pub(crate) returned: Notify,
    pub(crate) accepts: Writes,
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
            back_at: AtomicU64::new(0),
            suspect: AtomicBool::new(false),
            returned: Notify::new(),
            accepts: Writes::default(),
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

    /// It answers and takes writes, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        self.is_up() && self.accepts.are_taken()
    }

    /// Whether what was there at `time` has to be expected to be there still.
    pub(crate) fn kept_since(&self, time: u64) -> bool {
        time > self.back_at.load(Ordering::Acquire)
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

    /// A place among the fills under way; `None` when there are too many or Redis takes none.
    pub(crate) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        if self.is_open() {
            Arc::clone(&self.permits).try_acquire_owned().ok()
        } else {
            None
        }
    }

    /// Waits for a place among the fills under way; `None` when Redis takes none.
    pub(crate) async fn wait_for_a_place(&self) -> Option<OwnedSemaphorePermit> {
        if self.is_open() {
            Arc::clone(&self.permits).acquire_owned().await.ok()
        } else {
            None
        }
    }

    /// Writes a value unless a newer one is there; whether it was written.
    pub(crate) async fn fill(&self, fill: &Fill) -> Result<bool, RedisLost> {
        let mut refused = None;
        if self.accepts.scripts_are_tried() {
            match self.answered(self.fill_by_script(fill)).await? {
                Ok(written) => {
                    self.accepts.take_scripts();
                    return Ok(written);
                }
                Err(reason) => refused = Some(reason),
            }
        }
        match self.answered(self.fill_plainly(fill)).await? {
            Ok(()) => {
                if let Some(reason) = refused {
                    self.accepts.refuse_scripts(&reason);
                }
                Ok(true)
            }
            Err(reason) => {
                self.accepts.refuse(&reason);
                Err(RedisLost)
            }
        }
    }

    async fn fill_by_script(&self, fill: &Fill) -> RedisResult<bool> {
        let mut connection = self.writes.clone();
        let mut call = self.script.prepare_invoke();
        call.key(self.full(&fill.name));
        for list in &fill.lists {
            call.key(self.list(list));
        }
        call.arg(fill.value.as_slice())
            .arg(fill.order.as_str())
            .arg(millis(fill.ttl))
            .arg(if fill.replace { "1" } else { "0" })
            .arg(unix_ms())
            .arg(unix_ms() + millis(fill.ttl + LIST_SLACK))
            .arg(fill.name.as_str())
            .arg(LIST_TTL_MS);
        call.invoke_async(&mut connection).await
    }

    /// What the script does, but for leaving a newer value alone.
    async fn fill_plainly(&self, fill: &Fill) -> RedisResult<()> {
        let mut connection = self.writes.clone();
        let mut pipeline = redis::pipe();
        if !fill.lists.is_empty() {
            pipeline.atomic();
        }
        for list in &fill.lists {
            let list = self.list(list);
            pipeline
                .cmd("ZREMRANGEBYSCORE")
                .arg(&list)
                .arg("-inf")
                .arg(unix_ms())
                .ignore();
            pipeline
                .cmd("ZADD")
                .arg(&list)
                .arg(unix_ms() + millis(fill.ttl + LIST_SLACK))
                .arg(&fill.name)
                .ignore();
            pipeline.cmd("PEXPIRE").arg(&list).arg(LIST_TTL_MS).ignore();
        }
        pipeline
            .cmd("SET")
            .arg(self.full(&fill.name))
            .arg(fill.value.as_slice())
            .arg("PX")
            .arg(millis(fill.ttl))
            .ignore();
        pipeline.query_async::<()>(&mut connection).await
    }

    /// Whether a value stands under `name` that is not older than `order`.
    pub(crate) async fn has(&self, name: &str, order: &str) -> Result<bool, RedisLost> {
        let mut connection = self.writes.clone();
        let mut command = cmd("GETRANGE");
        command.arg(self.full(name)).arg(0).arg(order.len() - 1);
        let there: Bytes = self.written(command.query_async(&mut connection)).await?;
        Ok(there.len() == order.len() && *there >= *order.as_bytes())
    }

    /// Removes all keys that are listed under these tags.
    pub(crate) async fn remove_listed(&self, tags: &[String]) -> Result<u64, RedisLost> {
        if !self.is_up() {
            return Err(RedisLost);
        }
        let mut removed = 0;
        for batch in tags.chunks(DROPS) {
            let mut connection = self.writes.clone();
            let mut pipeline = redis::pipe();
            for tag in batch {
                pipeline.cmd("ZCARD").arg(self.list(tag));
            }
            // Most tags have no list.
            let counts: Vec<usize> = self.dropped(pipeline.query_async(&mut connection)).await?;
            for (tag, count) in batch.iter().zip(counts) {
                removed += self.empty(&self.list(tag), count).await?;
            }
        }
        Ok(removed)
    }

    /// Removes the keys of one list. What is listed meanwhile is newer than what made the list untrue.
    async fn empty(&self, list: &str, count: usize) -> Result<u64, RedisLost> {
        let mut removed = 0;
        for _ in 0..count.div_ceil(DROPS) {
            let mut connection = self.writes.clone();
            let mut command = cmd("ZRANGE");
            command.arg(list).arg(0).arg(DROPS - 1);
            let names: Vec<String> = self.dropped(command.query_async(&mut connection)).await?;
            if names.is_empty() {
                break;
            }
            // In one step, so that no value is left that no list names.
            let mut pipeline = redis::pipe();
            pipeline.atomic();
            pipeline.cmd("ZREM").arg(list).arg(&names).ignore();
            let mut unlink = cmd("UNLINK");
            for name in &names {
                unlink.arg(self.full(name));
            }
            pipeline.add_command(unlink);
            let gone: Vec<u64> = self.dropped(pipeline.query_async(&mut connection)).await?;
            removed += gone.iter().sum::<u64>();
        }
        Ok(removed)
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
            let counts: Vec<u64> = self.dropped(pipeline.query_async(&mut connection)).await?;
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

    /// Waits for a write, and remembers how it went. What Redis refuses says nothing about whether it is there.
    async fn written<T>(&self, write: impl Future<Output = RedisResult<T>>) -> Result<T, RedisLost> {
        self.answered(write).await?.map_err(|reason| {
            tracing::debug!("Redis refused: {reason}");
            RedisLost
        })
    }

    /// The same for what removes keys; a refusal is told once.
    async fn dropped<T>(&self, removal: impl Future<Output = RedisResult<T>>) -> Result<T, RedisLost> {
        match self.answered(removal).await? {
            Ok(value) => {
                self.accepts.take_drops();
                Ok(value)
            }
            Err(reason) => {
                self.accepts.refuse_drops(&reason);
                Err(RedisLost)
            }
        }
    }

    /// Waits for a write; `Err` within is what Redis said instead of doing it.
    async fn answered<T>(&self, write: impl Future<Output = RedisResult<T>>) -> Result<Result<T, String>, RedisLost> {
        match timeout(self.limit * 4, write).await {
            Ok(Ok(value)) => {
                self.succeeded();
                Ok(Ok(value))
            }
            Ok(Err(error)) if is_refusal(&error) => {
                self.succeeded();
                Ok(Err(in_words(error)))
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

    /// Asks over both connections whether Redis is there, tries a write, and remembers the answers. One failure may be a
    /// connection that died unnoticed, so it is asked twice.
    pub(crate) async fn call(&self) {
        let mut anew = self.suspect.swap(false, Ordering::AcqRel);
        let mut answers = Ok(());
        for connection in [&self.reads, &self.writes] {
            if answers.is_ok() && self.ping(connection).await.is_err() {
                anew = true;
                answers = self.ping(connection).await;
            }
        }
        match answers {
            Ok(()) => {
                self.failures.store(0, Ordering::Relaxed);
                anew |= self.found();
                anew |= self.try_a_write().await;
                if anew {
                    self.back_at.store(clock::now(), Ordering::Release);
                    self.returned.notify_one();
                }
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

    /// Writes something that is gone at once, the way values are written; whether writes are taken again.
    async fn try_a_write(&self) -> bool {
        let probe = Fill {
            name: PROBE.to_owned(),
            value: b"1".to_vec(),
            order: String::new(),
            lists: Vec::new(),
            ttl: Duration::from_millis(1),
            replace: true,
        };
        self.fill(&probe).await.is_ok() && self.accepts.take()
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

    fn list(&self, tag: &str) -> String {
        format!("{}{LISTS}{tag}", self.prefix)
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
        self.suspect.store(true, Ordering::Release);
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

    /// Whether it had been lost.
    fn found(&self) -> bool {
        let since = self.down_since.swap(0, Ordering::AcqRel);
        if since != 0 {
            let gone_ms = Utc::now().timestamp_millis() - since;
            tracing::info!(gone_ms, "Redis back after {gone_ms} ms");
        }
        since != 0
    }
}

/// Whether Redis is there and does not do what it was asked. A password that is missing or wrong, a server that is still
/// loading or a node that knows nothing of a key is no use to anybody, so that counts as a failure.
fn is_refusal(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => !matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
        ),
        ErrorKind::Extension => !matches!(error.code(), Some("NOAUTH" | "WRONGPASS")),
        _ => false,
    }
}

/// What Redis said, as it says it to everybody; of several commands the first that was refused.
fn in_words(error: RedisError) -> String {
    let plain = error.to_string();
    let errors = error.into_server_errors();
    match errors.as_deref().and_then(<[_]>::first) {
        Some((_, first)) => format!("{} {}", first.code(), first.details().unwrap_or_default()),
        None => plain,
    }
}

/// As Redis takes it: at least one.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
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
