//! Password changes, with the old password or by a reset link: sessions of the old password end, and the owner gets an
//! e-mail.

use lockstep_domain::account::Email;
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::secret::Secret;

use super::codes::{NewCode, put_code};
use super::logins::note_login;
use super::totp::drop_strangers_totp;
use super::{AccountError, NOTICE};
use crate::row::nickname_of;
use crate::sessions::{self, ClientInfo};
use crate::{Result, Store, Tx, mail};

/// Replaces the verified password by a new one, ends all sessions except `keep`, invalidates reset links and queues an
/// e-mail to the owner.
///
/// # Errors
/// [`AccountError::Outdated`] when the password was changed in between.
pub async fn change_password(
    store: &Store,
    id: UserId,
    checked: &Secret,
    new: &Secret,
    keep: Option<SessionId>,
) -> Result<(), AccountError> {
    let (checked, new) = (checked.clone(), new.clone());
    store
        .tx_about("accounts.change_password", &[id.into()], move |tx| {
            let (checked, new) = (checked.clone(), new.clone());
            Box::pin(async move {
                let row = sqlx::query_scalar!(
                    "-- store.accounts.change_password.check
                    select 1 from users where id = $1 and password_hash = $2 and deleted_at is null for no key update",
                    id.0,
                    checked.expose()
                )
                .fetch_optional(tx.conn())
                .await?;
                if row.is_none() {
                    return Err(AccountError::Outdated);
                }
                set_password(tx, id, &new, keep).await
            })
        })
        .await
}

/// Replaces the hash of a password that was just verified by another hash of the same password. Nothing else changes.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn renew_hash(store: &Store, id: UserId, checked: &Secret, new: &Secret) -> Result<()> {
    sqlx::query!(
        "-- store.accounts.renew_hash
        update users set password_hash = $3 where id = $1 and password_hash = $2 and deleted_at is null",
        id.0,
        checked.expose(),
        new.expose()
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

pub(super) async fn set_password(
    tx: &mut Tx,
    id: UserId,
    new: &Secret,
    keep: Option<SessionId>,
) -> Result<(), AccountError> {
    let row = sqlx::query!(
        "-- store.accounts.set_password
        update users set password_hash = $2 where id = $1 and deleted_at is null returning email, nickname",
        id.0,
        new.expose()
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(AccountError::NotFound)?;
    sessions::end_all_but(tx, id, keep).await?;
    // Whoever knew the old password may have made them.
    sqlx::query!(
        "-- store.accounts.set_password.tokens\ndelete from api_tokens where user_id = $1",
        id.0
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.accounts.set_password.links
        delete from one_time_codes where user_id = $1 and purpose = 'RESET_PASSWORD'",
        id.0
    )
    .execute(tx.conn())
    .await?;
    let template = EmailTemplate::PasswordChanged {
        nickname: nickname_of(row.nickname),
    };
    mail::enqueue(tx, id, &row.email, &template, NOTICE).await?;
    Ok(())
}

/// Queues an e-mail with a password reset link to the account with this address, whichever way its accents are typed;
/// does nothing if there is none. Earlier
/// links stay valid. The result does not show whether the account exists.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn send_reset(store: &Store, email: &Email, code: &NewCode) -> Result<()> {
    let (email, code) = (email.clone(), code.clone());
    store
        .tx("accounts.send_reset", move |tx| {
            let (email, code) = (email.clone(), code.clone());
            Box::pin(async move {
                let row = sqlx::query!(
                    "-- store.accounts.send_reset.look
                    select id, email, nickname from users where email = any ($1) and deleted_at is null
                     order by array_position($1::text[], email) limit 1 for key share",
                    &email.spellings()[..]
                )
                .fetch_optional(tx.conn())
                .await?;
                let Some(row) = row else { return Ok(()) };
                let user = UserId(row.id);
                put_code(tx, user, &row.email, "RESET_PASSWORD", &code).await?;
                let template = EmailTemplate::Reset {
                    nickname: nickname_of(row.nickname),
                    token: code.text.clone(),
                    minutes: code.minutes(),
                };
                mail::enqueue(tx, user, &row.email, &template, code.lifetime).await
            })
        })
        .await
}

/// The owner of a valid reset link.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn reset_owner(store: &Store, hash: &[u8; 32]) -> Result<Option<(UserId, String)>> {
    let row = sqlx::query!(
        "-- store.accounts.reset_owner
        select c.user_id, u.email from one_time_codes c join users u on u.id = c.user_id
         where c.purpose = 'RESET_PASSWORD' and c.hash = $1 and c.expires_at > now() and u.deleted_at is null",
        hash.as_slice()
    )
    .fetch_optional(store.alone())
    .await?;
    Ok(row.map(|row| (UserId(row.user_id), row.email)))
}

/// Uses a reset link: sets the password, ends every session, verifies the address, and marks the network as known, so
/// that the owner can log in from there even while an attacker is guessing. A second factor stays, unless it was set up
/// before the address was verified. A link works once.
///
/// # Errors
/// [`AccountError::NotFound`] when the link is not valid or no longer valid.
pub async fn reset_password(
    store: &Store,
    hash: &[u8; 32],
    new: &Secret,
    device: &ClientInfo,
) -> Result<UserId, AccountError> {
    let (hash, new, device) = (*hash, new.clone(), device.clone());
    store
        .tx("accounts.reset_password", move |tx| {
            let (new, device) = (new.clone(), device.clone());
            Box::pin(async move {
                let row = sqlx::query!(
                    "-- store.accounts.reset_password.use
                    delete from one_time_codes
                     where purpose = 'RESET_PASSWORD' and hash = $1 and expires_at > now() returning user_id, email",
                    hash.as_slice()
                )
                .fetch_optional(tx.conn())
                .await?
                .ok_or(AccountError::NotFound)?;
                let user = UserId(row.user_id);
                set_password(tx, user, &new, None).await?;
                let proved = sqlx::query!(
                    "-- store.accounts.reset_password.verified
                    update users set email_verified = true where id = $1 and email = $2 and not email_verified",
                    user.0,
                    row.email
                )
                .execute(tx.conn())
                .await?;
                if proved.rows_affected() == 1 {
                    // Anyone can register another person's address; their authenticator must not lock the owner out.
                    drop_strangers_totp(tx, user).await?;
                }
                note_login(tx, Some(user), true, &device).await?;
                Ok(user)
            })
        })
        .await
}
