//! The audit log: what staff and the operator did, written in the transaction of the change.
//!
//! An entry names people and things by id only, so that a deleted account leaves nothing behind; the exception is a reason
//! that staff typed. Entries form a chain: [`chain`] checks it.

pub mod chain;

use lockstep_domain::ids::UserId;
use serde_json::Value;
use uuid::Uuid;

use crate::{Result, Tx, acting};

/// One audited action of an admin.
#[derive(Debug)]
pub(crate) struct AuditEntry {
    /// Who did it.
    pub(crate) admin: UserId,
    /// The action (`balance.adjust`, `order.refund`).
    pub(crate) action: &'static str,
    /// Kind and id of its target.
    pub(crate) subject: (&'static str, Uuid),
    /// Its parameters, without secrets.
    pub(crate) details: Value,
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A member of staff.
    Staff(UserId),
    /// The operator, at the command line of this machine.
    Operator(String),
}

/// Writes an audit record in the name of `by`. `details` is an object.
pub(crate) async fn record(
    tx: &mut Tx,
    by: &By,
    action: &'static str,
    subject: (&'static str, Uuid),
    mut details: Value,
) -> Result<()> {
    match by {
        By::Staff(admin) => {
            let deed = AuditEntry {
                admin: *admin,
                action,
                subject,
                details,
            };
            write(tx, &deed).await
        }
        By::Operator(machine) => {
            details["machine"] = Value::from(machine.as_str());
            write_operators(tx, action, subject, &details).await
        }
    }
}

/// Writes an audit record; with the API token with which the request was made, if there is one.
pub(crate) async fn write(tx: &mut Tx, deed: &AuditEntry) -> Result<()> {
    let mut details = deed.details.clone();
    if let Some(token) = acting::token() {
        details["apiToken"] = Value::from(token.id.to_string());
    }
    sqlx::query!(
        "-- store.audit.write
        insert into audit_log (id, admin_id, action, subject_kind, subject_id, details) values ($1, $2, $3, $4, $5, $6)",
        Uuid::now_v7(),
        deed.admin.0,
        deed.action,
        deed.subject.0,
        deed.subject.1,
        details
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes an audit record of an operator's command.
pub(crate) async fn write_operators(
    tx: &mut Tx,
    action: &'static str,
    subject: (&'static str, Uuid),
    details: &Value,
) -> Result<()> {
    sqlx::query!(
        "-- store.audit.write_operators
        insert into audit_log (id, action, subject_kind, subject_id, details) values ($1, $2, $3, $4, $5)",
        Uuid::now_v7(),
        action,
        subject.0,
        subject.1,
        details
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
