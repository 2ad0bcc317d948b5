//! The operator's settings of the cache. `docs/consistency.md` has the measurements behind every default.

use std::fmt;
use std::time::Duration;

use lockstep_clock::{Clock, Random};

/// Settings of one [`Cache`](crate::Cache).
#[derive(Clone)]
pub struct Config {
    /// Address of Redis (`redis://` or `rediss://`, may contain a password). `None` keeps entries in this process only.
    pub redis_url: Option<String>,
    /// Prefix of every key in Redis, for shops that share a server. Empty: the names of `docs/data-model.md` unchanged.
    pub key_prefix: String,
    /// The lease (X): the maximum age of the last poll of the invalidation log at which entries are served.
    pub lease: Duration,
    /// Interval of polls of the invalidation log without a wake-up. Several intervals must fit into `lease`.
    pub poll: Duration,
    /// Memory for cached entries of this process, in bytes.
    pub l1_bytes: u64,
    /// Time that a reader waits for Redis before it reads PostgreSQL.
    pub redis_timeout: Duration,
    /// Interval at which the cache checks that an entry served from memory is still in Redis. An entry that Redis
    /// evicted or lost is written again at its next read after this interval.
    pub redis_recheck: Duration,
    /// Time limit of one load, whatever the network does; the database's own statement limit is shorter.
    pub load_timeout: Duration,
    /// The time of day, by which processes compare the ages of shared entries. The system's by default.
    pub clock: Clock,
    /// The source of the variation of lifetimes. The system's by default.
    pub random: Random,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            redis_url: None,
            key_prefix: String::new(),
            lease: Duration::from_millis(250),
            poll: Duration::from_millis(50),
            l1_bytes: 64 * 1024 * 1024,
            redis_timeout: Duration::from_millis(100),
            redis_recheck: Duration::from_secs(30),
            load_timeout: Duration::from_secs(20),
            clock: Clock::system(),
            random: Random::system(),
        }
    }
}

/// Never prints the address, which may contain a password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("redis_url", &self.redis_url.as_ref().map(|_| "***"))
            .field("key_prefix", &self.key_prefix)
            .field("lease", &self.lease)
            .field("poll", &self.poll)
            .field("l1_bytes", &self.l1_bytes)
            .field("redis_timeout", &self.redis_timeout)
            .field("redis_recheck", &self.redis_recheck)
            .field("load_timeout", &self.load_timeout)
            .field("clock", &self.clock)
            .field("random", &self.random)
            .finish()
    }
}

/// Settings that contradict each other or cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `redis_url` is not the address of a Redis server. The message omits the address, which may contain a password.
    #[error(
        "the address of Redis cannot be read; it looks like redis://host:6379/0 and names one server: lists of addresses, \
         Sentinel and Cluster are not supported"
    )]
    RedisUrl,
    /// `lease` is too short for `poll`: one missed poll would end the lease.
    #[error("cache.lease ({lease:?}) has to be at least twice cache.poll ({poll:?})")]
    LeaseTooShort {
        /// The configured lease.
        lease: Duration,
        /// The configured poll interval.
        poll: Duration,
    },
}

impl Config {
    /// Checks the settings against each other before anything starts with them.
    ///
    /// # Errors
    /// Returns the first contradiction.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(url) = &self.redis_url {
            redis::Client::open(url.as_str()).map_err(|_| ConfigError::RedisUrl)?;
        }
        if self.poll.is_zero() || self.lease < self.poll * 2 {
            return Err(ConfigError::LeaseTooShort {
                lease: self.lease,
                poll: self.poll,
            });
        }
        Ok(())
    }
}
