//! An answer about somebody's own things: the JSON body as it was remembered, and what it says.

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

/// An answer that is served as it is, or read as a `T`.
#[derive(Clone)]
pub struct Own<T> {
    body: Bytes,
    says: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Own<T> {
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

    /// What it says.
    ///
    /// # Errors
    /// [`ShopError::Unreadable`], a bug.
    pub fn read(&self) -> Result<T, ShopError> {
        Ok(serde_json::from_slice::<Answer<T>>(&self.body)?.data)
    }
}

impl<T> fmt::Debug for Own<T> {
    // Somebody's own things are nobody else's, a log's neither.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Own({} bytes)", self.body.len())
    }
}

/// An answer in the form that is remembered.
pub(crate) fn payload(data: &impl Serialize) -> Result<Payload, StoreError> {
    Payload::json(&Answer::new(data)).map_err(|error| StoreError::Schema(format!("has no JSON form: {error}")))
}

/// What a remembered answer says; `None` when it is that there is nothing.
pub(crate) fn data<T: DeserializeOwned>(entry: &Entry) -> Result<Option<T>, ShopError> {
    if !entry.found {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice::<Answer<T>>(&entry.body)?.data))
}

/// The same for a small answer that many requests look into: it is read once for all of them.
pub(crate) fn said<T: DeserializeOwned + Send + Sync + 'static>(entry: &Entry) -> Result<Option<Arc<T>>, ShopError> {
    if !entry.found {
        return Ok(None);
    }
    entry
        .said(|body| Ok(serde_json::from_slice::<Answer<T>>(body)?.data))
        .map(Some)
}
