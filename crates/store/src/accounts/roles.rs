//! Roles. There is always an admin: the last one can be neither demoted nor deleted.

use lockstep_domain::account::Role;
use lockstep_domain::ids::UserId;

use super::passwords::set_password;
use super::registration::{NewAccount, insert};
use super::totp::drop_strangers_totp;
use super::{AccountError, one};
use crate::{Result, Store, Tx};

/// How an account became an admin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminMade {
    /// A new account.
    Created,
    /// An existing account, which keeps its password.
    Promoted,
    /// An existing account with an unverified address, which may be anyone's: it has the new password, and its sessions
    /// have ended.
    Reclaimed,
}

/// Makes an admin: a new account with a verified address, or an existing one promoted. For the operator, who vouches
/// for the address.
///
/// # Errors
/// [`AccountError::Store`].
pub async fn create_admin(store: &Store, new: &NewAccount) -> Result<AdminMade, AccountError> {
    let new = new.clone();
    store
        .tx("accounts.create_admin", move |tx| {
            let new = new.clone();
            Box::pin(async move {
                let known = sqlx::query!(
                    "-- store.accounts.create_admin.look
                    select id, email_verified from users where email = $1 and deleted_at is null for no key update",
                    new.email.as_str()
                )
                .fetch_optional(tx.conn())
                .await?;
                let Some(known) = known else {
                    insert(tx, &new, Role::Admin, true).await?;
                    return Ok(AdminMade::Created);
                };
                let id = UserId(known.id);
                if !known.email_verified {
                    set_password(tx, id, &new.password_hash, None).await?;
                    drop_strangers_totp(tx, id).await?;
                }
                sqlx::query!(
                    "-- store.accounts.create_admin.promote
                    update users set role = 'ADMIN', email_verified = true where id = $1",
                    id.0
                )
                .execute(tx.conn())
                .await?;
                Ok(if known.email_verified {
                    AdminMade::Promoted
                } else {
                    AdminMade::Reclaimed
                })
            })
        })
        .await
}

/// Changes a user's role, effective from their next request.
///
/// # Errors
/// [`AccountError::LastAdmin`], [`AccountError::NotFound`].
pub async fn change_role(store: &Store, id: UserId, role: Role) -> Result<(), AccountError> {
    store
        .tx("accounts.change_role", move |tx| {
            Box::pin(async move {
                if role != Role::Admin {
                    not_the_last_admin(tx, id).await?;
                }
                let done = sqlx::query!(
                    "-- store.accounts.change_role
                    update users set role = $2::text::role where id = $1 and deleted_at is null",
                    id.0,
                    role.name()
                )
                .execute(tx.conn())
                .await?;
                one(&done, AccountError::NotFound)
            })
        })
        .await
}

/// Locks all admins, so that two cannot be demoted at the same moment.
pub(super) async fn not_the_last_admin(tx: &mut Tx, id: UserId) -> Result<(), AccountError> {
    let admins = sqlx::query_scalar!(
        "-- store.accounts.not_the_last_admin
        select id from users where role = 'ADMIN' order by id for no key update"
    )
    .fetch_all(tx.conn())
    .await?;
    if admins == [id.0] {
        Err(AccountError::LastAdmin)
    } else {
        Ok(())
    }
}
