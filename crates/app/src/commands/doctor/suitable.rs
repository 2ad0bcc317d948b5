//! Whether the database is of a kind that can hold a shop.

use lockstep_domain::language::Sentence;
use lockstep_store::{Store, Verdict};

use super::Finding;

/// Returns a finding for each objection. Other checks report a database that is unavailable.
pub(super) async fn look(store: &Store) -> Vec<Finding> {
    // They name what was found in PostgreSQL.
    let said = |text: String| Sentence::verbatim(text);
    let found = store.unsuitable().await.unwrap_or_default();
    let findings = found.into_iter().map(|one| match one.verdict {
        Verdict::Limited => Finding::note("database", said(one.what), said(one.cure)),
        Verdict::Refused | Verdict::RefusedWhenNew => Finding::wrong("database", said(one.what), said(one.cure)),
    });
    findings.collect()
}
