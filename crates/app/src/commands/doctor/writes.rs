//! Whether the database accepts writes: no read reveals that it is read-only or that its disk is full.

use std::time::Duration;

use crate::commands::doctor::Finding;
use crate::database::Database;

/// Timeout of writing one row.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn look(database: &Database) -> Finding {
    let why = match tokio::time::timeout(PATIENCE, database.store.ping()).await {
        Ok(Ok(())) => return Finding::well("writes", "the database accepts them, and has space on its disk"),
        Ok(Err(error)) => format!("{:#}", anyhow::Error::from(error)),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    let remedy = "free space on PostgreSQL's disk, or end its read-only state; the store continues by itself";
    Finding::wrong("writes", why, remedy)
}
