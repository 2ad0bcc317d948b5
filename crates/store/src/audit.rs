//! The audit log: what admins did to other people's money and orders, written in the transaction that does it.

use lockstep_domain::ids::UserId;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Result, Tx};

/// Something an admin did.
#[derive(Debug)]
pub(crate) struct Deed {
    /// Who.
    pub(crate) admin: UserId,
    /// What (`balance.adjust`, `order.refund`).
    pub(crate) action: &'static str,
    /// To what: its kind and id.
    pub(crate) subject: (&'static str, Uuid),
    /// With which values; no secrets.
    pub(crate) details: serde_json::Value,
}

/// Puts a deed on record.
pub(crate) async fn write(tx: &mut Tx, deed: &Deed) -> Result<()> {
    sqlx::query(
        "-- store.audit.write
        insert into audit_log (id, admin_id, action, subject_kind, subject_id, details) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(Uuid::now_v7())
    .bind(deed.admin.0)
    .bind(deed.action)
    .bind(deed.subject.0)
    .bind(deed.subject.1)
    .bind(Json(&deed.details))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Puts on record what the operator did at the command line.
pub(crate) async fn write_operators(
    tx: &mut Tx,
    action: &'static str,
    subject: (&'static str, Uuid),
    details: &serde_json::Value,
) -> Result<()> {
    sqlx::query(
        "-- store.audit.write_operators
        insert into audit_log (id, action, subject_kind, subject_id, details) values ($1, $2, $3, $4, $5)",
    )
    .bind(Uuid::now_v7())
    .bind(action)
    .bind(subject.0)
    .bind(subject.1)
    .bind(Json(details))
    .execute(tx.conn())
    .await?;
    Ok(())
}
