//! What operators and monitors are told about the cache.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// How Redis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum RedisState {
    /// None is configured.
    #[default]
    Off,
    /// It answers.
    Up,
    /// It does not; answers come from this process and from PostgreSQL.
    Down {
        /// Since when.
        since: DateTime<Utc>,
    },
}

/// Whether Redis takes what is written to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum RedisWrites {
    /// It does, as far as is known.
    #[default]
    Taken,
    /// It does, but not by scripts, so that a newer answer there may be overwritten by an older one, which readers
    /// refuse.
    WithoutScripts,
    /// It does not: it is full, a replica, or the user has no right to.
    Refused {
        /// Since when.
        since: DateTime<Utc>,
        /// What it said.
        reason: String,
    },
}

/// How the copies are doing, for `/readyz`, `/health` and `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Redis.
    pub redis: RedisState,
    /// Whether Redis takes writes; [`RedisWrites::Taken`] while it is off or down.
    pub redis_writes: RedisWrites,
    /// How old the knowledge of the invalidation log is; `None` before the first look.
    pub lease_age: Option<Duration>,
    /// Copies may be served (`lease_age` is within the lease).
    pub lease_live: bool,
    /// Which database this is: system identifier, timeline and what else tells it from a restored copy.
    pub identity: Option<String>,
    /// What happened since the start.
    pub counters: Counters,
}

/// Counts since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Served from this process's own copies.
    pub l1_hits: u64,
    /// Served from Redis.
    pub redis_hits: u64,
    /// Redis had nothing.
    pub redis_misses: u64,
    /// Redis failed or did not answer in time.
    pub redis_errors: u64,
    /// Read from PostgreSQL.
    pub loads: u64,
    /// Loads that failed.
    pub load_errors: u64,
    /// Copies refused because the log has not been seen for too long.
    pub refused_lease: u64,
    /// Copies refused because one of their tags was invalidated after they were read.
    pub refused_tag: u64,
    /// Copies refused because the log does not reach back to them.
    pub refused_horizon: u64,
    /// Copies refused because they come from another database.
    pub refused_identity: u64,
    /// Values in Redis that were not ours or were damaged.
    pub refused_garbage: u64,
    /// Values written to Redis.
    pub fills: u64,
    /// Of these, values that this process held and Redis had lost.
    pub returned: u64,
    /// Values not written to Redis because too many were waiting, or because they were too large.
    pub fills_dropped: u64,
    /// Keys removed from Redis.
    pub keys_dropped: u64,
    /// Looks at the log.
    pub polls: u64,
    /// Looks that failed.
    pub poll_errors: u64,
    /// Served copies that were compared with PostgreSQL.
    pub compared: u64,
    /// Comparisons that found the promise broken. Anything but 0 is a bug.
    pub violations: u64,
}
