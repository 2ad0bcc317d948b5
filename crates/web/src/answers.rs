//! The API's cached answers, for pages. Pages and API share the key and the body, whichever fills it first.

use std::sync::Arc;

use futures::future::BoxFuture;
use lockstep_cache::{Cache, Entry, Payload, ReadError};
use lockstep_domain::CacheKey;
use lockstep_domain::cache_key::game_tag;
use lockstep_domain::catalogue::{Answer, Game};
use lockstep_store::{Result as StoreResult, StoreError, Tx};
use serde::Serialize;

/// Reads the answer under `key`, in the form that the API returns.
pub(crate) async fn read<T: Serialize + Send + 'static>(
    cache: &Cache,
    key: CacheKey,
    load: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, StoreResult<T>> + Send + 'static,
) -> Result<Arc<Entry>, ReadError> {
    cache
        .read(key, |store| async move {
            let found = store.read(load).await?;
            let payload = payload(&found.value)?;
            Ok(found.map(|_| payload))
        })
        .await
}

/// Reads one game. The entry says when there is none.
pub(crate) async fn one(
    cache: &Cache,
    key: CacheKey,
    load: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, StoreResult<Option<Game>>> + Send + 'static,
) -> Result<Arc<Entry>, ReadError> {
    cache
        .read(key, |store| async move {
            let found = store.read(load).await?;
            let payload = match &found.value {
                // Found by its id, its slug, or a former slug.
                Some(game) => payload(game)?.with_tags(vec![game_tag(game.id)]),
                None => Payload::missing(),
            };
            Ok(found.map(|_| payload))
        })
        .await
}

fn payload(data: &impl Serialize) -> StoreResult<Payload> {
    Payload::json(&Answer::new(data)).map_err(|error| StoreError::Schema(format!("has no JSON form: {error}")))
}
