//! Whether the audit log is as it was written.

use lockstep_store::Store;
use lockstep_store::audit::chain;

use super::{Finding, NO_ANSWER};

/// Faults that are named; `lockstep audit verify` names more.
const NAMED: usize = 3;

pub(super) async fn look(store: &Store) -> Finding {
    match chain::verify(store, None).await {
        Ok(checked) if checked.faults.is_empty() => {
            Finding::well("audit log", format!("{} entries, unchanged", checked.head.position))
        }
        Ok(checked) => {
            let named: Vec<String> = checked.faults.iter().take(NAMED).map(ToString::to_string).collect();
            let more = checked.faults.len().saturating_sub(NAMED);
            let more = if more > 0 {
                format!("; and {more} more")
            } else {
                String::new()
            };
            Finding::wrong(
                "audit log",
                format!("{}{more}", named.join("; ")),
                "it was changed in the database itself: compare a backup, and see who may log in as the owner of its tables",
            )
        }
        Err(error) => Finding::wrong("audit log", error.to_string(), NO_ANSWER),
    }
}
