//! Whether the database is reached through a pooler that shares sessions.

use lockstep_domain::language::Sentence;
use lockstep_store::Store;
use lockstep_store::pooler::Path;

use super::Finding;
use crate::database::SHARED_SESSIONS;

/// Returns a finding if the connection is unsuitable. Other checks report a database that is unavailable.
pub(super) async fn look(store: &Store) -> Option<Finding> {
    let remedy = "doctor.pooler.do";
    match store.path().await {
        Ok(Path::SharedSessions) => Some(Finding::wrong("database", Sentence::verbatim(SHARED_SESSIONS), remedy)),
        Err(error @ lockstep_store::StoreError::Refused(_)) => {
            Some(Finding::wrong("database", Sentence::verbatim(error), remedy))
        }
        Ok(Path::OwnSessions) | Err(_) => None,
    }
}
