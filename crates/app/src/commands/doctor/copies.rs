//! Whether cached copies can be served.

use lockstep_store::Store;

use super::{Finding, NO_ANSWER};

pub(super) async fn look(store: &Store) -> Finding {
    match store.has_foreign_ids().await {
        Ok(false) => Finding::well("copies", "the invalidation log is this server's own"),
        Ok(true) => Finding::wrong(
            "copies",
            "the invalidation log holds transaction ids of another server, which came with a restored backup: no copy \
             is served, every answer is read from the database",
            "a running store discards them within seconds; without one, `lockstep migrate` does",
        ),
        Err(error) => Finding::wrong("copies", error.to_string(), NO_ANSWER),
    }
}
