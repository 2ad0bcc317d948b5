//! Copies of answers: in this process, and in Redis.

mod clock;
mod config;
mod entry;
mod status;

use std::sync::Arc;

use lockstep_domain::CacheKey;
use lockstep_store::{Stamped, Store, StoreError};

pub use config::{Config, ConfigError};
pub use entry::{Entry, Payload};
pub use status::{Counters, RedisState, Status};

use entry::{Proof, tag_hashes};

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// No copy can be proven true and PostgreSQL does not answer. Try again (503).
    #[error("nothing can be read at the moment")]
    Unavailable,
    /// PostgreSQL answered with an error that waiting does not mend.
    #[error("the answer could not be read")]
    Load(#[source] Arc<StoreError>),
}

/// The copies of one process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache {
    store: Store,
}

impl Cache {
    /// Starts. Neither PostgreSQL nor Redis has to be there yet.
    pub async fn start(store: Store, _config: Config) -> Self {
        Self { store }
    }

    /// The answer under `key`, from a copy that is proven true or by `load`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read<F, Fut>(&self, key: CacheKey, load: F) -> Result<Arc<Entry>, ReadError>
    where
        F: FnOnce(Store) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Stamped<Payload>, StoreError>> + Send + 'static,
    {
        let loaded = load(self.store.clone()).await.map_err(|error| match error {
            StoreError::Unavailable(_) => ReadError::Unavailable,
            error => ReadError::Load(Arc::new(error)),
        })?;
        let mut tags = key.tags();
        tags.extend(loaded.value.tags);
        let proof = Proof {
            stamp: loaded.stamp,
            tags: tag_hashes(tags),
            identity: 0,
            repeatable: loaded.value.repeatable,
        };
        let now = clock::now();
        Ok(Arc::new(Entry::new(
            loaded.value.body,
            proof,
            now,
            now + clock::nanos(key.ttl()),
        )))
    }

    /// Learns at once of everything that was committed before this call, so that whoever has just written reads its
    /// own writes.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] when PostgreSQL does not answer.
    pub async fn catch_up(&self) -> Result<(), ReadError> {
        Ok(())
    }

    /// How the copies are doing.
    pub fn status(&self) -> Status {
        Status::default()
    }

    /// Removes keys from Redis; names are the seed's, without the configured prefix.
    ///
    /// # Errors
    /// [`RedisLost`]; nothing rests on the removal, try again later.
    pub async fn drop_keys(&self, _names: &[String]) -> Result<(), RedisLost> {
        Ok(())
    }

    /// Ends the background work.
    pub async fn shutdown(&self) {}
}

/// Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Redis does not answer")]
pub struct RedisLost;
