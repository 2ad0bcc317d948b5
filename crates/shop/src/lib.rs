//! What a shopper does, once for both faces of the store: JSON (`api`) and pages (`web`) call the same use cases.
//!
//! `api, web → [this] → auth, cache, store, payments`
//!
//! Reads go through the cache under the seed's keys, writes go to the store in one transaction each. Nothing here knows
//! HTTP: who is asking comes in as a value that only `lockstep_auth` can make, and errors are types that each face tells
//! in its own way.

use std::sync::Arc;

use lockstep_auth::{Auth, Keys};
use lockstep_cache::Cache;
use lockstep_domain::cart::CartLimits;
use lockstep_store::Store;

/// What the use cases stand on.
#[derive(Clone)]
pub struct Parts {
    /// The truth.
    pub store: Store,
    /// Answers.
    pub cache: Cache,
    /// Who is asking.
    pub auth: Auth,
    /// What opens sealed game keys.
    pub keys: Keys,
    /// How much fits into a cart.
    pub cart_limits: CartLimits,
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Shop(Arc<Parts>);

impl Shop {
    /// The use cases over these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Who is asking.
    pub fn auth(&self) -> &Auth {
        &self.0.auth
    }

    /// Answers.
    pub fn cache(&self) -> &Cache {
        &self.0.cache
    }
}

impl std::fmt::Debug for Shop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shop")
    }
}
