//! Registration: a new account is logged in at once and gets a code that verifies its address.

use lockstep_domain::account::{DEFAULT_NICKNAME, Email, Role};
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::UserId;
use lockstep_domain::secret::Secret;

use super::codes::{NewCode, put_code};
use super::logins::note_login;
use super::{AccountError, NOTICE};
use crate::sessions::{self, ClientInfo, NewSession};
use crate::{Result, Store, Tx, mail};

/// An account to create.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its id.
    pub id: UserId,
    /// Normalised address.
    pub email: Email,
    /// The bcrypt hash.
    pub password_hash: Secret,
    /// Display name; `None` for the default.
    pub nickname: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
}

/// Creates an account and its first session, and queues a welcome e-mail with a verification code.
///
/// # Errors
/// [`AccountError::EmailTaken`], [`AccountError::Store`]; then nothing was created.
pub async fn register(
    store: &Store,
    new: &NewAccount,
    session: NewSession,
    device: &ClientInfo,
    code: &NewCode,
) -> Result<(), AccountError> {
    let (new, device, code) = (new.clone(), device.clone(), code.clone());
    store
        .tx("accounts.register", move |tx| {
            let (new, device, code) = (new.clone(), device.clone(), code.clone());
            Box::pin(async move {
                insert(tx, &new, Role::User, false).await?;
                sessions::begin(tx, new.id, &session, &device).await?;
                note_login(tx, Some(new.id), true, &device).await?;
                let template = EmailTemplate::Welcome {
                    nickname: new.nickname.clone().unwrap_or_else(|| DEFAULT_NICKNAME.to_owned()),
                    code: Some(code.text.clone()),
                    minutes: code.minutes(),
                };
                put_code(tx, new.id, new.email.as_str(), "VERIFY_EMAIL", &code).await?;
                // It is sent even after its code has expired: `current_welcome` gives it another.
                mail::enqueue(tx, new.id, new.email.as_str(), &template, NOTICE).await?;
                Ok(())
            })
        })
        .await
}

pub(super) async fn insert(tx: &mut Tx, new: &NewAccount, role: Role, verified: bool) -> Result<(), AccountError> {
    sqlx::query!(
        "-- store.accounts.insert
        insert into users (id, email, password_hash, nickname, first_name, last_name, role, email_verified)
        values ($1, $2, $3, coalesce($4, 'Newbie Guy'), $5, $6, $7::text::role, $8)",
        new.id.0,
        new.email.as_str(),
        new.password_hash.expose(),
        new.nickname.as_deref(),
        new.first_name.as_deref(),
        new.last_name.as_deref(),
        role.name(),
        verified
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
