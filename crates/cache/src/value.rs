//! Typed reads: the key, the loader and the answer agree on one type.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use lockstep_domain::cached::{CachedValue, ValueKey};
use lockstep_store::{Result as StoreResult, Stamped, StoreError, Tx};

use crate::entry::{Entry, Payload};
use crate::{Cache, ReadError};

/// An answer that is proven current: the finished body, to be served without a copy, and the value in it.
pub struct Cached<T> {
    entry: Arc<Entry>,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Cached<T> {
    fn clone(&self) -> Self {
        Self {
            entry: Arc::clone(&self.entry),
            value: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Cached<T> {
    // Does not print the body: personal data does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cached({} bytes)", self.entry.body.len())
    }
}

impl<T: CachedValue> Cached<T> {
    /// The finished body.
    pub fn body(&self) -> &Bytes {
        &self.entry.body
    }

    /// The validator of the content as a header value. It is weak because every encoding of the content shares it.
    pub fn etag(&self) -> &Bytes {
        &self.entry.etag
    }

    /// The gzip form of the body, computed once and shared; `None` if compression does not pay.
    pub fn gzip(&self) -> Option<Bytes> {
        self.entry.gzip()
    }

    /// The value, parsed for this call.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`], a bug.
    pub fn value(&self) -> Result<T, ReadError> {
        Ok(T::parse(&self.entry.body)?)
    }

    /// What `read` takes from the value, computed once and shared by all requests. For small parts that many requests
    /// need: the result stays in memory as long as the body and is not part of the entry's weight. All reads of one key
    /// should take the same part; any other is computed again each time.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`], a bug.
    pub fn part<P: Any + Send + Sync>(&self, read: impl FnOnce(T) -> P) -> Result<Arc<P>, ReadError> {
        Ok(self.entry.parsed(|body| T::parse(body).map(read))?)
    }
}

impl Cache {
    /// Returns the answer under `key`, from an entry that is proven current or loaded by `load` in a read transaction.
    /// See [`read`](Self::read).
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get<T, F>(&self, key: ValueKey<T>, load: F) -> Result<Cached<T>, ReadError>
    where
        T: CachedValue,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, StoreResult<T>> + Send + 'static,
    {
        let key = key.untyped();
        let repeatable = key.is_repeatable();
        let entry = self.read(key, move |store| async move {
            let found: Stamped<T> = store.read(load).await?;
            let payload = payload(&found.value, repeatable)?;
            Ok(found.map(|_| payload))
        });
        Ok(Cached::of(entry.await?))
    }

    /// Like [`get`](Self::get) for a value that may not exist; its absence is cached too.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn find<T, F>(&self, key: ValueKey<T>, load: F) -> Result<Option<Cached<T>>, ReadError>
    where
        T: CachedValue,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, StoreResult<Option<T>>> + Send + 'static,
    {
        let key = key.untyped();
        let repeatable = key.is_repeatable();
        let entry = self.read(key, move |store| async move {
            let found: Stamped<Option<T>> = store.read(load).await?;
            let payload = match &found.value {
                Some(value) => payload(value, repeatable)?,
                None => Payload::missing(),
            };
            Ok(found.map(|_| payload))
        });
        let entry = entry.await?;
        Ok(entry.found.then(|| Cached::of(entry)))
    }
}

impl<T> Cached<T> {
    const fn of(entry: Arc<Entry>) -> Self {
        Self {
            entry,
            value: PhantomData,
        }
    }
}

/// A value in the form that is cached.
fn payload<T: CachedValue>(value: &T, repeatable: bool) -> StoreResult<Payload> {
    let body = value
        .body()
        .map_err(|error| StoreError::Schema(format!("has no JSON form: {error}")))?;
    let payload = Payload::bytes(body.into()).with_tags(value.shown());
    Ok(if repeatable { payload } else { payload.not_repeatable() })
}
