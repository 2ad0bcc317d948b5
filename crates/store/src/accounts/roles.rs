//! How an account becomes an admin (an owner) at the command line, and that the last one stays.

use lockstep_domain::account::Role;
use lockstep_domain::ids::UserId;

use super::passwords::set_password;
use super::registration::{NewAccount, insert};
use super::totp::drop_strangers_totp;
use super::{AccountError, staff};
use crate::{Store, Tx};

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
                    update users set role = 'ADMIN', staff_role = null, email_verified = true where id = $1",
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

/// Fails if `id` is the last admin; otherwise all admins are locked, so that two cannot go at the same moment.
pub(super) async fn not_the_last_admin(tx: &mut Tx, id: UserId) -> Result<(), AccountError> {
    if staff::lock_owners(tx).await? == [id.0] {
        Err(AccountError::LastAdmin)
    } else {
        Ok(())
    }
}
