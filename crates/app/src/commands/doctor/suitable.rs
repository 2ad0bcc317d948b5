//! Whether the database is of a kind that can hold a shop.

use lockstep_store::{Store, Verdict};

use super::Finding;

/// Returns a finding for each objection. Other checks report a database that is unavailable.
pub(super) async fn look(store: &Store) -> Vec<Finding> {
    let found = store.unsuitable().await.unwrap_or_default();
    let findings = found.into_iter().map(|one| match one.verdict {
        Verdict::Limited => Finding::note("database", one.what, one.cure),
        Verdict::Refused | Verdict::RefusedWhenNew => Finding::wrong("database", one.what, one.cure),
    });
    findings.collect()
}
