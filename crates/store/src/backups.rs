//! When the database was last saved: by `lockstep backup`, or by PostgreSQL's own archiving and replication.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::audit::{self, By};
use crate::{Result, Store};

/// What entries about backups are about: they have no row of their own.
const SUBJECT: (&str, Uuid) = ("backup", Uuid::max());

/// How the database was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// `lockstep backup` ended.
    Command(DateTime<Utc>),
    /// A segment of the write-ahead log was archived.
    Archive(DateTime<Utc>),
    /// A standby follows.
    Standby,
}

/// Records in the audit log that the operator at `machine` made a backup.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn note(store: &Store, machine: &str) -> Result<()> {
    let by = By::Operator(machine.to_owned());
    store
        .tx("backups.note", move |tx| {
            let by = by.clone();
            Box::pin(async move { audit::record(tx, &by, "backup.create", SUBJECT, json!({})).await })
        })
        .await
}

/// The newest sign that the database is saved elsewhere; `None` if there is none.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn last(store: &Store) -> Result<Option<Saved>> {
    let row = sqlx::query!(
        r#"-- store.backups.last
        select (select max(at) from audit_log where subject_id = $1 and action = 'backup.create') as command,
               (select last_archived_time from pg_stat_archiver) as archive,
               exists (select from pg_stat_replication where state = 'streaming') as "has_standby!""#,
        SUBJECT.1
    )
    .fetch_one(store.alone())
    .await?;
    Ok(match (row.has_standby, row.archive, row.command) {
        (true, ..) => Some(Saved::Standby),
        (_, Some(archive), Some(command)) if command > archive => Some(Saved::Command(command)),
        (_, Some(archive), _) => Some(Saved::Archive(archive)),
        (_, None, command) => command.map(Saved::Command),
    })
}
