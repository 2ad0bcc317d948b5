//! What an operator may set about the cache; every default is the measured choice of `docs/consistency.md`.

use std::fmt;
use std::time::Duration;

/// Settings of one [`Cache`](crate::Cache).
#[derive(Clone)]
pub struct Config {
    /// Address of Redis (`redis://` or `rediss://`, may hold a password). `None`: this process keeps its copies to
    /// itself.
    pub redis_url: Option<String>,
    /// Put before every key's name in Redis, for stores that share a server. Empty: the seed's names as they are.
    pub key_prefix: String,
    /// The longest that knowledge of the invalidation log may age before copies are no longer served (X).
    pub lease: Duration,
    /// How often the log is looked at when nothing wakes us. Several of these have to fit into `lease`.
    pub poll: Duration,
    /// How many bytes of answers this process keeps.
    pub l1_bytes: u64,
    /// How long a reader waits for Redis before PostgreSQL is asked.
    pub redis_timeout: Duration,
    /// How often it is looked whether an answer that is served from memory still lies in Redis: what Redis evicts or
    /// loses unnoticed is back there after that time, if anybody asks for it.
    pub redis_recheck: Duration,
    /// The longest that one load may take, whatever the network does; the database's own limit comes first.
    pub load_timeout: Duration,
    /// Which rule of the protocol is broken on purpose.
    #[cfg(feature = "mutants")]
    pub mutant: Mutant,
}

/// A rule of the protocol that a test breaks on purpose, to see that the breach is found. Without the feature
/// `mutants`, which the program is never built with, there is only the protocol as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mutant {
    /// Nothing is broken.
    #[default]
    None,
    /// A transaction that was running when a value was read counts as seen by it.
    ForgetsRunning,
    /// Copies are served however long ago the log was seen.
    NoLease,
    /// Whatever stands in Redis is served, as a cache does that is only deleted from after commits.
    CacheAside,
}

impl Mutant {
    pub(crate) const fn forgets_running(self) -> bool {
        cfg!(feature = "mutants") && matches!(self, Self::ForgetsRunning)
    }

    pub(crate) const fn has_no_lease(self) -> bool {
        cfg!(feature = "mutants") && matches!(self, Self::NoLease | Self::CacheAside)
    }

    pub(crate) const fn believes_everything(self) -> bool {
        cfg!(feature = "mutants") && matches!(self, Self::CacheAside)
    }
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
            #[cfg(feature = "mutants")]
            mutant: Mutant::None,
        }
    }
}

impl Config {
    #[cfg(feature = "mutants")]
    pub(crate) const fn mutant(&self) -> Mutant {
        self.mutant
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the same call with and without the feature")]
    pub(crate) const fn mutant(&self) -> Mutant {
        Mutant::None
    }
}

/// The address may hold a password, so it is never shown.
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
            .finish_non_exhaustive()
    }
}

/// Settings that contradict each other or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The text of `redis_url` is not the address of a Redis server. The address itself is not repeated: it may hold a
    /// password.
    #[error(
        "the address of Redis cannot be read; it looks like redis://host:6379/0 and names one server: lists of addresses, \
         Sentinel and Cluster are not supported"
    )]
    RedisUrl,
    /// One missed look would end the lease.
    #[error("cache.lease ({lease:?}) has to be at least twice cache.poll ({poll:?})")]
    LeaseTooShort {
        /// As set.
        lease: Duration,
        /// As set.
        poll: Duration,
    },
}

impl Config {
    /// Checks the settings against each other, before anything is started with them.
    ///
    /// # Errors
    /// The first contradiction found.
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
