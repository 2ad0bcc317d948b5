//! The API token with which the current request is made, if it is made with one.
//!
//! It is a value of the task, so that no use case has to pass it on, and none can forget to: the audit log names it with
//! every entry, and a check of what the caller may do never finds more than the token permits.

use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::staff::Permissions;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;

/// An API token in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActingToken {
    /// Its id.
    pub id: Uuid,
    /// For whom it acts.
    pub user: UserId,
    /// What it was given.
    pub permissions: Permissions,
}

tokio::task_local! {
    static TOKEN: ActingToken;
    static CUSTOMER: SessionId;
}

/// Runs `work` as made with `token`. Tasks that it spawns are not.
pub async fn with_token<T>(token: ActingToken, work: impl Future<Output = T>) -> T {
    TOKEN.scope(token, work).await
}

/// The token of this task.
pub(crate) fn token() -> Option<ActingToken> {
    TOKEN.try_with(Clone::clone).ok()
}

/// Runs `work` as made by staff who act as a customer in `session`. Tasks that it spawns are not.
pub async fn as_customer<T>(session: SessionId, work: impl Future<Output = T>) -> T {
    CUSTOMER.scope(session, work).await
}

/// The session in which staff act as a customer in this task.
pub fn customer() -> Option<SessionId> {
    CUSTOMER.try_with(|session| *session).ok()
}

/// Lets the database know that this transaction is made by staff who act as a customer: it refuses what they may not do.
pub(crate) async fn mark(conn: &mut PgConnection, session: SessionId) -> Result<()> {
    sqlx::query_scalar!(
        r#"-- store.acting.mark
        select set_config('lockstep.impersonation', $1, true) as "set!""#,
        session.to_string()
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}
