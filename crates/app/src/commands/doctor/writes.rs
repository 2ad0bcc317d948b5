//! Whether the database accepts writes: no read reveals that it is read-only or that its disk is full.

use std::time::Duration;

use lockstep_domain::language::Sentence;

use crate::commands::doctor::Finding;
use crate::database::Database;
use crate::words::say;

/// Timeout of writing one row.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn look(database: &Database) -> Finding {
    let why = match tokio::time::timeout(PATIENCE, database.store.ping()).await {
        Ok(Ok(())) => return Finding::well("writes", "doctor.writes.taken"),
        Ok(Err(error)) => Sentence::verbatim(format!("{:#}", anyhow::Error::from(error))),
        Err(_) => say!("doctor.writes.late", PATIENCE.as_secs()),
    };
    let remedy = "doctor.writes.do";
    Finding::wrong("writes", why, remedy)
}
