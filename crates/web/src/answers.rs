//! The API's cached answers, for pages: the same key stands for the same body, whoever fills it first.

use std::sync::Arc;

use futures::future::BoxFuture;
use lockstep_cache::{Cache, Entry, Payload, ReadError};
use lockstep_domain::CacheKey;
use lockstep_domain::cache_key::game_tag;
use lockstep_domain::catalogue::{Answer, Game};
use lockstep_store::{Result as StoreResult, StoreError, Tx};
use serde::Serialize;

/// The answer under `key`, as the API gives it.
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

/// One game, or that there is none.
pub(crate) async fn one(
    cache: &Cache,
    key: CacheKey,
    load: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, StoreResult<Option<Game>>> + Send + 'static,
) -> Result<Arc<Entry>, ReadError> {
    cache
        .read(key, |store| async move {
            let found = store.read(load).await?;
            let payload = match &found.value {
                // Found by its id, its address, or one that it had before.
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
