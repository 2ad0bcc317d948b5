//! How an account becomes an admin (an owner) at the command line, and that the last one stays.

use lockstep_domain::account::Role;
use lockstep_domain::ids::UserId;
use lockstep_domain::secret::Secret;
use lockstep_domain::staff::StaffRole;
use serde_json::json;

use super::passwords::set_password;
use super::registration::{NewAccount, insert};
use super::totp::drop_strangers_totp;
use super::{AccountError, staff};
use crate::audit::{self, By};
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
/// The audit log records it, with the `machine` where the operator ran the command.
///
/// # Errors
/// [`AccountError::Store`].
pub async fn create_admin(store: &Store, new: &NewAccount, machine: &str) -> Result<AdminMade, AccountError> {
    let (new, by) = (new.clone(), By::Operator(machine.to_owned()));
    store
        .tx("accounts.create_admin", move |tx| {
            let (new, by) = (new.clone(), by.clone());
            Box::pin(async move {
                let known = sqlx::query!(
                    r#"-- store.accounts.create_admin.look
                    select id, email_verified, role::text as "role!", staff_role from users where email = $1 and deleted_at is null for no key update"#,
                    new.email.as_str()
                )
                .fetch_optional(tx.conn())
                .await?;
                let Some(known) = known else {
                    insert(tx, &new, Role::Admin, true).await?;
                    let details = json!({ "from": null, "to": StaffRole::Owner.name() });
                    audit::record(tx, &by, "user.role", ("user", new.id.0), details).await?;
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
                let before = if known.role == Role::Admin.name() {
                    StaffRole::Owner
                } else {
                    known.staff_role.map_or(StaffRole::None, StaffRole::Named)
                };
                let details = json!({
                    "from": before.name(), "to": StaffRole::Owner.name(), "passwordReplaced": !known.email_verified,
                });
                audit::record(tx, &by, "user.role", ("user", id.0), details).await?;
                Ok(if known.email_verified {
                    AdminMade::Promoted
                } else {
                    AdminMade::Reclaimed
                })
            })
        })
        .await
}

/// Gives the account of somebody who signs in with a link that the operator's program printed at `machine` the password
/// that they chose; their sessions end. Recorded in the audit log.
///
/// # Errors
/// [`AccountError::NotFound`], [`AccountError::Store`].
pub async fn enter_by_link(
    store: &Store,
    id: UserId,
    password_hash: &Secret,
    machine: &str,
) -> Result<(), AccountError> {
    let (by, hash) = (By::Operator(machine.to_owned()), password_hash.clone());
    store
        .tx("accounts.enter_by_link", move |tx| {
            let (by, hash) = (by.clone(), hash.clone());
            Box::pin(async move {
                set_password(tx, id, &hash, None).await?;
                Ok(audit::record(tx, &by, "user.link", ("user", id.0), json!({})).await?)
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
