//! Staff who act as a customer: beginning, recording and ending it. What such a session may not do, the schema refuses
//! (`0413_impersonations_only_look.sql`).

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::staff::Permission;
use serde_json::json;
use uuid::Uuid;

use crate::accounts::{AccountError, staff};
use crate::audit::{self, By};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Subject, Tx};

/// An impersonation to begin.
#[derive(Debug, Clone)]
pub struct NewImpersonation {
    /// The id of its session.
    pub session: SessionId,
    /// Who acts.
    pub staff: UserId,
    /// In which session of their own.
    pub staff_session: SessionId,
    /// As whom.
    pub user: UserId,
    /// Why; 1 to 500 characters.
    pub reason: String,
    /// How long it may last, at most half an hour.
    pub lifetime: Duration,
}

/// An impersonation that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The customer's address.
    pub email: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Why nobody acts as a customer.
#[derive(Debug, thiserror::Error)]
pub enum ImpersonationError {
    /// The permission is missing, or there is no such account.
    #[error(transparent)]
    Account(AccountError),
    /// The account belongs to staff, as whom nobody acts.
    #[error("This account belongs to a member of staff. Nobody acts as staff.")]
    OnStaff,
    /// The session of the member of staff has ended.
    #[error("Your session has ended. Log in again.")]
    SignedOut,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(ImpersonationError);

impl From<AccountError> for ImpersonationError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => Self::Store(error),
            error => Self::Account(error),
        }
    }
}

/// Begins an impersonation, and ends the one before in the same session of staff. The audit log records it.
///
/// # Errors
/// [`ImpersonationError`]; then nothing changes.
pub async fn begin(store: &Store, new: &NewImpersonation) -> Result<Begun, ImpersonationError> {
    let new = new.clone();
    let subjects = [Subject::Shopper(new.staff_session.0)];
    let begun = store
        .tx_about("impersonations.begin", &subjects, move |tx| {
            let new = new.clone();
            Box::pin(async move { begin_in(tx, &new).await })
        })
        .await;
    match begun {
        // Themselves are staff, too.
        Err(ImpersonationError::Store(error))
            if matches!(
                error.constraint(),
                Some("impersonations_never_of_staff" | "impersonations_of_somebody_else")
            ) =>
        {
            Err(ImpersonationError::OnStaff)
        }
        begun => begun,
    }
}

async fn begin_in(tx: &mut Tx, new: &NewImpersonation) -> Result<Begun, ImpersonationError> {
    // One customer at a time: whoever begins twice at once waits here.
    let ends_at = sqlx::query_scalar!(
        r#"-- store.impersonations.begin.lock
        select least(expires_at, created_at + interval '7 days', last_used_at + interval '12 hours',
                     now() + make_interval(secs => $3::bigint)) as "ends_at!"
          from user_sessions
         where id = $1 and user_id = $2 and staff_session_id is null and expires_at > now() for no key update"#,
        new.staff_session.0,
        new.staff.0,
        i64::try_from(new.lifetime.as_secs()).unwrap_or(i64::MAX)
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(ImpersonationError::SignedOut)?;
    staff::allow(tx, &By::Staff(new.staff), Permission::UsersImpersonate, new.user).await?;
    sqlx::query!(
        "-- store.impersonations.begin.one_at_a_time
        delete from user_sessions where staff_session_id = $1",
        new.staff_session.0
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.impersonations.begin
        insert into impersonations (id, staff_id, user_id, reason, expires_at) values ($1, $2, $3, $4, $5)",
        new.session.0,
        new.staff.0,
        new.user.0,
        new.reason,
        ends_at
    )
    .execute(tx.conn())
    .await?;
    let email = sqlx::query_scalar!(
        r#"-- store.impersonations.begin.session
        with begun as (
            insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ($1, $2, $3, $4, $5)
            returning user_id)
        select u.email as "email!" from users u join begun on begun.user_id = u.id"#,
        new.session.0,
        new.user.0,
        ends_at,
        // Nobody gets this refresh token.
        Uuid::new_v4(),
        new.staff_session.0
    )
    .fetch_one(tx.conn())
    .await?;
    let details = json!({ "reason": new.reason, "until": ends_at.to_rfc3339(), "impersonation": new.session });
    audit::record(
        tx,
        &By::Staff(new.staff),
        "user.impersonation",
        ("user", new.user.0),
        details,
    )
    .await?;
    Ok(Begun {
        email,
        expires_at: ends_at,
    })
}

/// A request of somebody who acts as a customer.
#[derive(Debug, Clone, Copy)]
pub struct Deed<'d> {
    /// The method.
    pub method: &'d str,
    /// The path, without a query.
    pub path: &'d str,
    /// It asks for what such a session may not do.
    pub is_refused: bool,
}

/// Methods that are recorded by name.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Maximum length of a recorded path, in characters.
const MAX_PATH: usize = 300;

/// Records a request before it is answered. False if the impersonation has ended, or has made all its requests.
///
/// # Errors
/// [`StoreError`].
pub async fn record(store: &Store, session: SessionId, deed: Deed<'_>) -> Result<bool> {
    let method = METHODS
        .into_iter()
        .find(|known| *known == deed.method)
        .unwrap_or("OTHER");
    let path = deed.path.chars().filter(|c| !c.is_control() && !matches!(c, '?' | '#'));
    let path: String = path.take(MAX_PATH).collect();
    let done = sqlx::query!(
        "-- store.impersonations.record
        with counted as (
            update impersonations i set requests = i.requests + 1 from user_sessions s
             where i.id = $1 and s.id = i.id and s.expires_at > now() and i.ended_at is null and i.requests < 2000
            returning i.id, i.requests)
        insert into impersonation_requests (impersonation_id, number, method, path, refused)
        select id, requests, $2, $3, $4 from counted",
        session.0,
        method,
        if path.is_empty() { "/" } else { &path },
        deed.is_refused
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends an impersonation; succeeds if it has already ended. The database records the end.
///
/// # Errors
/// [`StoreError`].
pub async fn end(store: &Store, session: SessionId) -> Result<()> {
    sqlx::query!(
        "-- store.impersonations.end
        delete from user_sessions where id = $1 and staff_session_id is not null",
        session.0
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// A recorded request of somebody who acted as a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// When it came.
    pub at: DateTime<Utc>,
    /// Address of who made it.
    pub staff: String,
    /// Its method.
    pub method: String,
    /// Its path, without a query.
    pub path: String,
    /// It was refused.
    pub is_refused: bool,
}

/// The newest `most` requests of those who acted as `user`.
///
/// # Errors
/// [`StoreError`].
pub async fn requests(store: &Store, user: UserId, most: u32) -> Result<Vec<RecordedRequest>> {
    Ok(sqlx::query_as!(
        RecordedRequest,
        r#"-- store.impersonations.requests
        select r.at, s.email as staff, r.method, r.path, r.refused as is_refused
          from impersonations i join impersonation_requests r on r.impersonation_id = i.id join users s on s.id = i.staff_id
         where i.user_id = $1 order by i.began_at desc, r.number desc limit $2"#,
        user.0,
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?)
}
