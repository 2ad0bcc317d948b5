//! Log-ins and their history, which the owner can read and which distinguishes known networks from new ones.

use chrono::{DateTime, Utc};
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::UserId;
use lockstep_domain::secret::Secret;
use uuid::Uuid;

use super::totp::{Proof, use_proof};
use super::{AccountError, NOTICE};
use crate::row::nickname_of;
use crate::sessions::{self, ClientInfo, NewSession};
use crate::{Result, Store, Tx, mail};

/// How long a network counts as known after a log-in from there, in days.
pub(super) const KNOWN_FOR_DAYS: i32 = 90;

/// A successful log-in: holds what was verified, so that nothing can have changed in between.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user.
    pub user: UserId,
    /// The hash that the password matched.
    pub password_hash: Secret,
    /// The second factor, if one was required.
    pub proof: Option<Proof>,
    /// The new session.
    pub session: NewSession,
    /// Where the request comes from.
    pub device: ClientInfo,
}

/// Starts the session of a log-in and records it. If there were earlier log-ins, but none from this network, the owner
/// gets an e-mail about it.
///
/// # Errors
/// [`AccountError::Outdated`] when the password was changed while it was checked, or the code was used meanwhile.
pub async fn log_in(store: &Store, login: &Login) -> Result<(), AccountError> {
    let login = login.clone();
    store
        .tx_about("accounts.log_in", &[login.user.into()], move |tx| {
            let login = login.clone();
            Box::pin(async move {
                let row = sqlx::query!(
                    "-- store.accounts.log_in.check
                    select email, nickname from users
                     where id = $1 and password_hash = $2 and deleted_at is null for share",
                    login.user.0,
                    login.password_hash.expose()
                )
                .fetch_optional(tx.conn())
                .await?
                .ok_or(AccountError::Outdated)?;
                use_proof(tx, login.user, login.proof).await?;
                let place = sqlx::query_scalar!(
                    "-- store.accounts.log_in.place
                    select bool_or(address << $2::text::cidr) from login_history
                     where user_id = $1 and succeeded and address is not null
                       and created_at > now() - make_interval(days => $3)",
                    login.user.0,
                    login.device.network(),
                    KNOWN_FOR_DAYS
                )
                .fetch_one(tx.conn())
                .await?;
                if place == Some(false) {
                    let letter = EmailTemplate::NewDevice {
                        nickname: nickname_of(row.nickname),
                        address: login.device.address_text(),
                        user_agent: login.device.user_agent().map(str::to_owned),
                    };
                    mail::enqueue(tx, login.user, &row.email, &letter, NOTICE).await?;
                }
                note_login(tx, Some(login.user), true, &login.device).await?;
                sessions::begin(tx, login.user, &login.session, &login.device).await?;
                Ok(())
            })
        })
        .await
}

pub(super) async fn note_login(tx: &mut Tx, user: Option<UserId>, succeeded: bool, device: &ClientInfo) -> Result<()> {
    sqlx::query!(
        "-- store.accounts.note_login
        insert into login_history (id, user_id, succeeded, address, user_agent) values ($1, $2, $3, $4::text::inet, $5)",
        Uuid::now_v7(),
        user.map(|user| user.0),
        succeeded,
        device.address_text(),
        device.user_agent()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Records a failed log-in. One for an address without an account is also recorded, without a user: both cases do the
/// same work, so response times do not distinguish them.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn note_failure(store: &Store, user: Option<UserId>, device: &ClientInfo) -> Result<()> {
    let device = device.clone();
    store
        .tx("accounts.note_failure", move |tx| {
            let device = device.clone();
            Box::pin(async move { note_login(tx, user, false, &device).await })
        })
        .await
}

/// One log-in or attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRecord {
    /// Time of the attempt.
    pub at: DateTime<Utc>,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// The client's address.
    pub address: Option<String>,
    /// The client's user agent.
    pub user_agent: Option<String>,
}

/// A user's latest log-ins and failed attempts, newest first, at most `most`.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn login_history(store: &Store, user: UserId, most: u32) -> Result<Vec<LoginRecord>> {
    let rows = sqlx::query_as!(
        LoginRecord,
        "-- store.accounts.login_history
        select created_at as at, succeeded, host(address) as address, user_agent from login_history
         where user_id = $1 order by created_at desc, id desc limit $2",
        user.0,
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows)
}
