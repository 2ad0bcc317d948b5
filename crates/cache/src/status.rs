//! The state and the counters of the cache for operators and monitors.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// Whether Redis is configured and up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum RedisState {
    /// Redis is not configured.
    #[default]
    Off,
    /// Redis answers.
    Up,
    /// Redis does not answer; answers come from this process and PostgreSQL.
    Down {
        /// When it stopped answering.
        since: DateTime<Utc>,
    },
}

/// Whether Redis accepts writes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum RedisWrites {
    /// It does, as far as known.
    #[default]
    Taken,
    /// It accepts writes but no scripts, so an older answer may overwrite a newer one; readers refuse it.
    WithoutScripts,
    /// It refuses: it is full, a replica, or the user lacks the permission.
    Refused {
        /// When the refusals began.
        since: DateTime<Utc>,
        /// The error text of Redis.
        reason: String,
    },
}

/// The state of the cache, for `/readyz`, `/health` and `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Whether Redis is up.
    pub redis: RedisState,
    /// Whether Redis accepts writes; [`RedisWrites::Taken`] while it is off or down.
    pub redis_writes: RedisWrites,
    /// Age of the last poll of the invalidation log; `None` before the first.
    pub lease_age: Option<Duration>,
    /// `lease_age` is within the lease, so entries may be served.
    pub lease_live: bool,
    /// The database's identity: system identifier, timeline and whatever distinguishes it from a restored backup.
    pub identity: Option<String>,
    /// Counts since the start of the process.
    pub counters: Counters,
}

/// Counts since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Answers from this process's memory.
    pub l1_hits: u64,
    /// Answers from Redis.
    pub redis_hits: u64,
    /// Reads of Redis without a value.
    pub redis_misses: u64,
    /// Reads of Redis that failed or timed out.
    pub redis_errors: u64,
    /// Answers read from PostgreSQL.
    pub loads: u64,
    /// Failed reads of PostgreSQL.
    pub load_errors: u64,
    /// Entries refused because the lease had expired.
    pub refused_lease: u64,
    /// Entries refused because one of their tags was invalidated after they were read.
    pub refused_tag: u64,
    /// Entries refused because the log does not reach back to them.
    pub refused_horizon: u64,
    /// Entries refused because they come from another database.
    pub refused_identity: u64,
    /// Values in Redis that were foreign or damaged.
    pub refused_garbage: u64,
    /// Values written to Redis.
    pub fills: u64,
    /// Those of `fills` that rewrote a value that Redis had lost.
    pub returned: u64,
    /// Values not written to Redis because too many writes were in flight or because they were too large.
    pub fills_dropped: u64,
    /// Keys removed from Redis.
    pub keys_dropped: u64,
    /// Polls of the log.
    pub polls: u64,
    /// Failed polls.
    pub poll_errors: u64,
    /// Served entries that were compared with PostgreSQL.
    pub compared: u64,
    /// Comparisons that found a violation of the freshness guarantee. Any number but 0 is a bug.
    pub violations: u64,
}
