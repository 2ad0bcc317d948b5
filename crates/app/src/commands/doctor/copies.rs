//! Whether cached copies can be served.

use lockstep_store::Store;

use super::Finding;

pub(super) async fn look(store: &Store) -> Finding {
    match store.has_foreign_ids().await {
        Ok(false) => Finding::well("copies", "doctor.copies.own"),
        Ok(true) => Finding::wrong("copies", "doctor.copies.foreign", "doctor.copies.foreign.do"),
        Err(error) => Finding::failed("copies", error),
    }
}
