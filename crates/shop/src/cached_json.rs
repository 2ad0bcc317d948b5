//! An answer with a user's own data: the JSON body as it is cached, and its value.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use lockstep_cache::{Cached, ReadError};
use lockstep_domain::cached::CachedValue;

use crate::ShopError;

/// An answer that is served as bytes, or read as a `T`.
#[derive(Clone)]
pub struct CachedJson<T> {
    body: Bytes,
    says: PhantomData<fn() -> T>,
}

impl<T: CachedValue> CachedJson<T> {
    const fn new(body: Bytes) -> Self {
        Self {
            body,
            says: PhantomData,
        }
    }

    /// The cached answer, or `none` if the cache has none.
    pub(crate) fn or(cached: Option<&Cached<T>>, none: &T) -> Result<Self, ShopError> {
        match cached {
            Some(cached) => Ok(Self::new(cached.body().clone())),
            None => Self::of(none),
        }
    }

    pub(crate) fn of(value: &T) -> Result<Self, ShopError> {
        Ok(Self::new(value.body().map_err(ReadError::from)?.into()))
    }

    /// The whole answer as JSON, `{"success": true, "data": …}`.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The value.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`], a bug.
    pub fn read(&self) -> Result<T, ShopError> {
        Ok(T::parse(&self.body).map_err(ReadError::from)?)
    }
}

impl<T> fmt::Debug for CachedJson<T> {
    // Does not print the body: personal data does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CachedJson({} bytes)", self.body.len())
    }
}
