//! An answer with a user's own data: the JSON body as it is cached, and its value.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use lockstep_cache::{Entry, Payload};
use lockstep_domain::catalogue::Answer;
use lockstep_store::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ShopError;

/// An answer that is served as bytes, or read as a `T`.
#[derive(Clone)]
pub struct CachedJson<T> {
    body: Bytes,
    says: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> CachedJson<T> {
    pub(crate) fn remembered(body: Bytes) -> Self {
        Self {
            body,
            says: PhantomData,
        }
    }

    pub(crate) fn of(value: &T) -> Result<Self, ShopError> {
        Ok(Self::remembered(serde_json::to_vec(&Answer::new(value))?.into()))
    }

    /// The whole answer as JSON, `{"success": true, "data": …}`.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The value.
    ///
    /// # Errors
    /// [`ShopError::Unreadable`], a bug.
    pub fn read(&self) -> Result<T, ShopError> {
        Ok(serde_json::from_slice::<Answer<T>>(&self.body)?.data)
    }
}

impl<T> fmt::Debug for CachedJson<T> {
    // Does not print the body: personal data does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CachedJson({} bytes)", self.body.len())
    }
}

/// An answer in the form that is cached.
pub(crate) fn payload(data: &impl Serialize) -> Result<Payload, StoreError> {
    Payload::json(&Answer::new(data)).map_err(|error| StoreError::Schema(format!("has no JSON form: {error}")))
}

/// The value of a cached answer; `None` when the cache has "not found".
pub(crate) fn data<T: DeserializeOwned>(entry: &Entry) -> Result<Option<T>, ShopError> {
    if !entry.found {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice::<Answer<T>>(&entry.body)?.data))
}

/// The same for a small answer that many requests read: it is parsed once for all of them.
pub(crate) fn parsed<T: DeserializeOwned + Send + Sync + 'static>(entry: &Entry) -> Result<Option<Arc<T>>, ShopError> {
    if !entry.found {
        return Ok(None);
    }
    entry
        .parsed(|body| Ok(serde_json::from_slice::<Answer<T>>(body)?.data))
        .map(Some)
}
