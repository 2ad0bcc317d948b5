//! Whether the audit log is as it was written.

use lockstep_domain::language::Sentence;
use lockstep_store::Store;
use lockstep_store::audit::chain;

use super::{Finding, listed};
use crate::words::say;

/// Faults that are named; `lockstep audit verify` names more.
const NAMED: usize = 3;

pub(super) async fn look(store: &Store) -> Finding {
    match chain::verify(store, None).await {
        Ok(checked) if checked.faults.is_empty() => {
            Finding::well("audit log", say!("doctor.audit.unchanged", checked.head.position))
        }
        Ok(checked) => {
            let faults: Vec<Sentence> = checked.faults.iter().map(Sentence::verbatim).collect();
            Finding::wrong("audit log", listed(&faults, NAMED), "doctor.audit.changed.do")
        }
        Err(error) => Finding::failed("audit log", error),
    }
}
