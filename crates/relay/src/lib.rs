//! Drops changed keys from Redis.

use lockstep_cache::Cache;
use lockstep_store::Store;
use tokio_util::sync::CancellationToken;

/// Runs until `stop` is cancelled.
pub async fn run(_store: Store, _cache: Cache, stop: CancellationToken) {
    stop.cancelled().await;
}
