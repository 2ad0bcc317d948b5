//! Accounts: each function performs one operation on an account, in one transaction with everything that belongs to it:
//! the session, the log-in history, the e-mail.
//!
//! Passwords and codes arrive here hashed; this module compares none of them.
//!
//! `registration` creates accounts, `deletion` deletes them, `erasure` forgets a person by their address, and `export` reads
//! all data of an account; `lookup` and `logins` serve log-ins, `codes`, `passwords` and `totp` store credentials, `profile`,
//! `avatars`, `roles` and `staff` store properties of accounts.

mod avatars;
mod codes;
mod deletion;
mod erasure;
pub mod export;
mod logins;
mod lookup;
mod passwords;
mod profile;
mod registration;
mod roles;
pub mod staff;
pub mod totp;

use std::time::Duration;

use sqlx::postgres::PgQueryResult;

use crate::{AsStoreError, Result, Store, StoreError};

pub use avatars::{avatar, remove_avatar, set_avatar};
pub use codes::{Attempt, MOST_ATTEMPTS, NewCode, current_welcome, send_verification, spend_attempt, verify_email};
pub use deletion::{Deleted, delete, delete_by_staff};
pub use erasure::{Erased, Held, erase, held};
pub use logins::{Login, LoginRecord, log_in, login_history, note_failure};
pub use lookup::{Account, Totp, by_email, by_id};
pub use passwords::{change_password, renew_hash, reset_owner, reset_password, send_reset};
pub(crate) use profile::change_profile_in;
pub use profile::{change_profile, profile};
pub use registration::{NewAccount, register};
pub use roles::{AdminMade, create_admin, enter_by_link};
pub use totp::{confirm_totp, offer_totp, remove_totp, replace_recovery_codes, reset_totp};

/// How long a notice (no code in it) is worth sending.
const NOTICE: Duration = Duration::from_hours(72);

/// Why an operation on an account failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// An account with this address exists.
    #[error("An account with this e-mail address already exists")]
    EmailTaken,
    /// The account does not exist or was deleted.
    #[error("Account not found")]
    NotFound,
    /// The password or the second factor changed since the account was read: read it again.
    #[error("The account was changed in the meantime. Start again.")]
    Outdated,
    /// The address is already verified.
    #[error("This e-mail address is already verified")]
    AlreadyVerified,
    /// A second factor is already set up.
    #[error("Two-factor authentication is already on")]
    SecondFactorExists,
    /// The last admin can be neither deleted nor demoted.
    #[error("This is the last administrator. Make another one first.")]
    LastAdmin,
    /// The caller may not do this to this account.
    #[error(transparent)]
    Refused(lockstep_domain::staff::Refused),
    /// A role of staff needs an account whose address is verified: any other may be a stranger's.
    #[error("The address of this account is not verified. Its owner has to verify it first.")]
    NotVerified,
    /// The role to give does not exist.
    #[error("There is no such role")]
    UnknownRole,
    /// The account has orders, so staff cannot delete it.
    #[error("This account has orders. Only its owner can delete it.")]
    HasOrders,
    /// Orders are still being delivered or refunded.
    #[error("Orders of this account are still being delivered. Try again when they are complete.")]
    OrdersUnderWay,
    /// A payment was made and is not confirmed yet.
    #[error("A payment is still being processed. Try again when it is complete.")]
    PaymentUnderWay,
    /// The account has a balance.
    #[error("There is still money on the balance. Spend it, or confirm that you give it up.")]
    HasBalance,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AsStoreError for AccountError {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<sqlx::Error> for AccountError {
    fn from(error: sqlx::Error) -> Self {
        let error = StoreError::from(error);
        if error.constraint() == Some("users_email_key") {
            Self::EmailTaken
        } else {
            Self::Store(error)
        }
    }
}

/// Succeeds if the statement changed one row, and fails with `otherwise` if it changed none.
fn one(done: &PgQueryResult, otherwise: AccountError) -> Result<(), AccountError> {
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(otherwise)
    }
}

/// Deletes expired codes and links; returns how many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sweep_codes(store: &Store) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.accounts.sweep.codes
        delete from one_time_codes where id in (
            select id from one_time_codes where expires_at <= now() order by expires_at limit $1 for update skip locked)",
        i64::from(crate::SWEEP)
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}

/// Deletes log-ins and attempts older than half a year; returns how many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sweep_logins(store: &Store) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.accounts.sweep.logins
        delete from login_history where id in (
            select id from login_history where created_at < now() - interval '180 days'
             order by created_at limit $1 for update skip locked)",
        i64::from(crate::SWEEP)
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}

/// Deletes attempts on accounts that do not exist after a week; returns how many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sweep_attempts(store: &Store) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.accounts.sweep.attempts
        delete from login_history where id in (
            select id from login_history where user_id is null and created_at < now() - interval '7 days'
             order by created_at limit $1 for update skip locked)",
        i64::from(crate::SWEEP)
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}
