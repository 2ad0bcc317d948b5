//! The second tier: Redis, whose values are never trusted and whose answers are never waited for beyond a limit.
//!
//! Redis may be down, return, freeze, lose everything or restore old data, without a restart of this process: every
//! command has a time limit, after repeated failures Redis is not called any more, and a background probe detects its
//! return. The loss and the return are logged once each, and so are the start and the end of a period in which it
//! refuses writes ([`crate::writes`]).
//!
//! Values that cannot be found by name are listed: every value is a member of a sorted set for each of its families and
//! tags, with its expiry as the score, so that a family can be dropped without a scan. The lists are written with the
//! values in one step, and drop expired members.

mod survey;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use lockstep_clock::Clock;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ErrorKind, RedisError, RedisResult, Script, ServerErrorKind, cmd};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::status::RedisState;
use crate::writes::Writes;
use crate::{RedisLost, clock};

pub(crate) use survey::{NoSurvey, Place};

/// Consecutive failures after which Redis is not called until it answers the background probe.
const PATIENCE: u32 = 10;
/// Intervals of the background probe while Redis is up and while it is down.
const CALL_WHEN_UP: Duration = Duration::from_secs(1);
const CALL_WHEN_DOWN: Duration = Duration::from_millis(200);
/// Time limit of connecting, short because readers wait for it.
const CONNECT: Duration = Duration::from_millis(200);
/// Maximum number of concurrent writes of values; further ones are dropped.
const FILLS: usize = 64;
/// Keys removed per round trip.
const DROPS: usize = 500;

/// Prefix of every list's name.
const LISTS: &str = "lockstep:keys:";
/// The key that a probe writes; it expires immediately.
const PROBE: &str = "lockstep:probe";
/// TTL of a list in milliseconds, longer than that of any member.
const LIST_TTL_MS: u64 = 25 * 60 * 60 * 1000;
/// Time that a name stays in a list beyond its value's TTL, because clocks differ.
const LIST_SLACK: Duration = Duration::from_mins(5);

/// Writes a value unless a newer one is present, and lists it. The first 16 bytes of each value are its `xmax` in
/// hexadecimal, so text order equals numeric order. The comparison only saves work: readers refuse an older value.
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

/// The result of a read.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A string value of any content.
    Value(Bytes),
    /// A key of another type (a list, a set).
    Garbage,
    /// No such key.
    Nothing,
    /// The command failed or timed out.
    Failed,
    /// Redis is down, so no command was sent.
    NotAsked,
}

/// A value to be written.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(crate) name: String,
    pub(crate) value: Vec<u8>,
    /// The value's first field ([`crate::envelope::order`]).
    pub(crate) order: String,
    /// Tags that it is listed under.
    pub(crate) lists: Vec<String>,
    pub(crate) ttl: Duration,
    /// The present value is invalid: replace it whatever its order.
    pub(crate) replace: bool,
}

/// One Redis server.
pub(crate) struct Redis {
    /// The readers' connection, separate so that reads never queue behind a large write.
    reads: ConnectionManager,
    writes: ConnectionManager,
    script: Script,
    prefix: String,
    limit: Duration,
    failures: AtomicU32,
    /// Since when it does not answer, in Unix milliseconds; 0 while it answers.
    down_since: AtomicI64,
    /// When it last returned or was reconnected ([`clock::now`]): earlier writes may be lost.
    back_at: AtomicU64,
    /// A command failed, so the connection may have been replaced since.
    suspect: AtomicBool,
    /// Notified when Redis is up again and may have lost everything.
    pub(crate) returned: Notify,
    pub(crate) accepts: Writes,
    permits: Arc<Semaphore>,
    /// The time of day.
    time: Clock,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Redis {
    /// Prepares the connections without opening any. Must be called within the runtime.
    pub(crate) fn new(url: &str, config: &Config) -> Result<Self, RedisError> {
        let client = Client::open(url)?;
        // A reader can ask PostgreSQL instead, so retries are useless; the manager's defaults block for seconds.
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
            time: config.clock.clone(),
        })
    }

    /// Whether Redis is up, and since when it is down.
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

    /// Whether Redis is up and accepts writes, as far as known.
    pub(crate) fn is_open(&self) -> bool {
        self.is_up() && self.accepts.are_taken()
    }

    /// Whether a value that was in Redis at `time` is expected to be there still.
    pub(crate) fn kept_since(&self, time: u64) -> bool {
        time > self.back_at.load(Ordering::Acquire)
    }

    /// Reads the value of a key.
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

    /// Acquires a permit for a write; `None` if too many are in flight or Redis accepts none.
    pub(crate) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        if self.is_open() {
            Arc::clone(&self.permits).try_acquire_owned().ok()
        } else {
            None
        }
    }

    /// Waits for a write permit; `None` if Redis accepts no writes.
    pub(crate) async fn wait_for_a_place(&self) -> Option<OwnedSemaphorePermit> {
        if self.is_open() {
            Arc::clone(&self.permits).acquire_owned().await.ok()
        } else {
            None
        }
    }

    /// Writes a value unless a newer one is present; returns whether it was written.
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
                self.accepts.refuse(&reason, self.time.now());
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
            .arg(self.unix_ms())
            .arg(self.unix_ms() + millis(fill.ttl + LIST_SLACK))
            .arg(fill.name.as_str())
            .arg(LIST_TTL_MS);
        call.invoke_async(&mut connection).await
    }

    /// Does what the script does, except that it overwrites a newer value.
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
                .arg(self.unix_ms())
                .ignore();
            pipeline
                .cmd("ZADD")
                .arg(&list)
                .arg(self.unix_ms() + millis(fill.ttl + LIST_SLACK))
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

    /// Whether `name` has a value that is not older than `order`.
    pub(crate) async fn has(&self, name: &str, order: &str) -> Result<bool, RedisLost> {
        let mut connection = self.writes.clone();
        let mut command = cmd("GETRANGE");
        command.arg(self.full(name)).arg(0).arg(order.len() - 1);
        let there: Bytes = self.written(command.query_async(&mut connection)).await?;
        Ok(there.len() == order.len() && *there >= *order.as_bytes())
    }

    /// Removes all keys listed under these tags and returns their number.
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

    /// Removes the keys of one list. Keys added meanwhile are newer than the change that invalidated the list.
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
            // In one transaction, so that every remaining value stays listed.
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

    /// Removes keys and returns the number of those that existed.
    pub(crate) async fn remove(&self, names: &[String]) -> Result<u64, RedisLost> {
        if !self.is_up() {
            return Err(RedisLost);
        }
        let mut removed = 0;
        for batch in names.chunks(DROPS) {
            let mut connection = self.writes.clone();
            // One key per command, so that it also works on a cluster.
            let mut pipeline = redis::pipe();
            for name in batch {
                pipeline.cmd("UNLINK").arg(self.full(name));
            }
            let counts: Vec<u64> = self.dropped(pipeline.query_async(&mut connection)).await?;
            removed += counts.iter().sum::<u64>();
        }
        Ok(removed)
    }

    /// Writes a text for people who inspect Redis; Lockstep never reads it back.
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

    /// Awaits a write and records its result. A refusal by Redis does not mark Redis as down.
    async fn written<T>(&self, write: impl Future<Output = RedisResult<T>>) -> Result<T, RedisLost> {
        self.answered(write).await?.map_err(|reason| {
            tracing::debug!("Redis refused: {reason}");
            RedisLost
        })
    }

    /// Awaits a removal and records its result. A refusal is logged once.
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

    /// Awaits a command; the inner `Err` is the error text with which Redis refused it.
    async fn answered<T>(&self, write: impl Future<Output = RedisResult<T>>) -> Result<Result<T, String>, RedisLost> {
        match timeout(self.limit * 4, write).await {
            Ok(Ok(value)) => {
                self.succeeded();
                Ok(Ok(value))
            }
            Ok(Err(error)) if is_refusal(&error) => {
                self.succeeded();
                Ok(Err(server_message(error)))
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

    /// Probes Redis over both connections, tries a write, and records the results. It probes twice because a single
    /// failure may be a connection that died unnoticed.
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
                anew |= self.probe_write().await;
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

    /// Writes a probe that expires immediately, by the same commands as values; returns whether writes are accepted
    /// again.
    async fn probe_write(&self) -> bool {
        let probe = Fill {
            name: PROBE.to_owned(),
            value: b"1".to_vec(),
            order: String::new(),
            lists: Vec::new(),
            ttl: Duration::from_millis(1),
            replace: true,
        };
        self.fill(&probe).await.is_ok() && self.accepts.take(self.time.now())
    }

    /// Probes at an interval until `stop` is cancelled.
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
        let now = self.time.now().timestamp_millis().max(1);
        if self
            .down_since
            .compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            tracing::warn!("Redis lost: {error}; answers come from this process and from PostgreSQL until it is back");
        }
    }

    /// TagInvalidations Redis as up; returns whether it was down.
    fn found(&self) -> bool {
        let since = self.down_since.swap(0, Ordering::AcqRel);
        if since != 0 {
            let gone_ms = self.time.now().timestamp_millis() - since;
            tracing::info!(gone_ms, "Redis back after {gone_ms} ms");
        }
        since != 0
    }

    /// The current time in Unix milliseconds, for values that other machines read.
    pub(crate) fn unix_ms(&self) -> u64 {
        u64::try_from(self.time.now().timestamp_millis()).unwrap_or(0)
    }

    /// The age of a value that another process made at `made_ms`; zero if its clock is ahead.
    pub(crate) fn age(&self, made_ms: u64) -> Duration {
        Duration::from_millis(self.unix_ms().saturating_sub(made_ms))
    }
}

/// Whether Redis responded but refused the command. A missing or wrong password, a server that is still loading and a
/// cluster node without the key serve no caller, so they count as failures instead.
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

/// The server's own error text; of several commands, that of the first refused.
fn server_message(error: RedisError) -> String {
    let plain = error.to_string();
    let errors = error.into_server_errors();
    match errors.as_deref().and_then(<[_]>::first) {
        Some((_, first)) => format!("{} {}", first.code(), first.details().unwrap_or_default()),
        None => plain,
    }
}

/// Milliseconds for Redis, at least 1.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
