//! The audit log: what admins did to users' money and orders, written in the transaction of the change.

use lockstep_domain::ids::UserId;
use uuid::Uuid;

use crate::{Result, Tx};

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
    pub(crate) details: serde_json::Value,
}

/// Writes an audit record.
pub(crate) async fn write(tx: &mut Tx, deed: &AuditEntry) -> Result<()> {
    sqlx::query!(
        "-- store.audit.write
        insert into audit_log (id, admin_id, action, subject_kind, subject_id, details) values ($1, $2, $3, $4, $5, $6)",
        Uuid::now_v7(),
        deed.admin.0,
        deed.action,
        deed.subject.0,
        deed.subject.1,
        &deed.details
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
    details: &serde_json::Value,
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
