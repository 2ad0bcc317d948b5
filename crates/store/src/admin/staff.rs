//! Who is on the staff, and their roles: listed, made, changed and deleted by staff.
//!
//! Nobody makes a role with a permission that they lack, and nobody changes a role that has one: its members would gain
//! or lose what the caller may not give or take.

use lockstep_domain::Money;
use lockstep_domain::admin::{RoleDetail, StaffMember};
use lockstep_domain::ids::UserId;
use lockstep_domain::staff::{Permission, Permissions, may_give};
use serde_json::json;
use uuid::Uuid;

use super::changes::ChangeError;
use crate::accounts::AccountError;
use crate::accounts::staff::{known, limit_within, lock_owners, of_staff};
use crate::audit::{self, By};
use crate::row::{how_many_of, money_of};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

/// Members of staff that are listed.
const MOST_MEMBERS: i64 = 1_000;
/// Roles that are listed.
const MOST_ROLES: i64 = 500;

/// Why a role was not made, changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The caller lacks a permission of the role.
    #[error(transparent)]
    Account(AccountError),
    /// There is no such role, there is one with this name, or it was changed meanwhile.
    #[error(transparent)]
    Change(ChangeError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(RoleError);

impl From<AccountError> for RoleError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => Self::Store(error),
            error => Self::Account(error),
        }
    }
}

/// The members of staff, owners first.
///
/// # Errors
/// [`StoreError`].
pub async fn members(tx: &mut Tx) -> Result<Vec<StaffMember>> {
    let rows = sqlx::query!(
        r#"-- store.admin.staff.members
        select u.id, u.email, case when u.role = 'ADMIN' then 'OWNER' else u.staff_role end as "role!",
               exists (select from user_totp t where t.user_id = u.id and t.confirmed_at is not null) as "has_second_factor!",
               (select max(s.created_at) from user_sessions s where s.user_id = u.id) as last_login,
               (select count(*) from api_tokens a where a.user_id = u.id and a.expires_at > now()) as "tokens!"
          from users u where u.deleted_at is null and (u.role = 'ADMIN' or u.staff_role is not null)
         order by (u.role = 'ADMIN') desc, u.staff_role, u.email limit $1"#,
        MOST_MEMBERS
    )
    .fetch_all(tx.conn())
    .await?;
    let members = rows.into_iter().map(|row| StaffMember {
        id: row.id,
        email: row.email,
        role: row.role,
        has_second_factor: row.has_second_factor,
        last_login: row.last_login,
        tokens: how_many_of(row.tokens),
    });
    Ok(members.collect())
}

/// The id of the account with this address, if there is one.
///
/// # Errors
/// [`StoreError`].
pub async fn account(tx: &mut Tx, email: &str) -> Result<Option<UserId>> {
    let id = sqlx::query_scalar!(
        "-- store.admin.staff.account\nselect id from users where email = $1 and deleted_at is null",
        email
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(id.map(UserId))
}

/// Whether an account has an authenticator.
///
/// # Errors
/// [`StoreError`].
pub async fn has_second_factor(store: &Store, user: UserId) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"-- store.admin.staff.has_second_factor
        select exists (select from user_totp where user_id = $1 and confirmed_at is not null) as "is_there!""#,
        user.0
    )
    .fetch_one(store.alone())
    .await?)
}

/// The roles, by name.
///
/// # Errors
/// [`StoreError`].
pub async fn roles(tx: &mut Tx) -> Result<Vec<RoleDetail>> {
    let rows = sqlx::query!(
        r#"-- store.admin.staff.roles
        select r.name, r.refund_limit,
               array(select p.permission from staff_role_permissions p where p.role = r.name order by 1) as "permissions!",
               (select count(*) from users u where u.staff_role = r.name) as "members!"
          from staff_roles r order by r.name limit $1"#,
        MOST_ROLES
    )
    .fetch_all(tx.conn())
    .await?;
    let roles = rows.into_iter().map(|row| {
        Ok(RoleDetail {
            name: row.name,
            permissions: listed(&row.permissions),
            refund_limit: row.refund_limit.map(money_of).transpose()?,
            members: how_many_of(row.members),
        })
    });
    roles.collect()
}

fn listed(names: &[String]) -> Vec<Permission> {
    let mut listed: Vec<Permission> = names.iter().filter_map(|name| Permission::from_name(name)).collect();
    listed.sort_unstable();
    listed
}

/// What a role shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRole {
    /// Its name, in upper case.
    pub name: String,
    /// What it permits.
    pub permissions: Vec<Permission>,
    /// What its members may refund within a day without their password, EUR; `None` for no limit.
    pub refund_limit: Option<Money>,
}

impl NewRole {
    fn told(&self) -> serde_json::Value {
        let permissions: Vec<&str> = self.permissions.iter().map(|permission| permission.name()).collect();
        json!({ "permissions": permissions, "refundLimit": self.refund_limit.map(|limit| limit.decimal().to_string()) })
    }
}

/// Makes a role, on behalf of `admin`. Recorded in the audit log.
///
/// # Errors
/// [`AccountError::Refused`], [`ChangeError::NameTaken`].
pub async fn create_role(store: &Store, admin: UserId, new: &NewRole) -> Result<(), RoleError> {
    let new = new.clone();
    store
        .tx("admin.staff.create_role", move |tx| {
            let new = new.clone();
            Box::pin(async move {
                allow(tx, admin, &Permissions::default(), &new.permissions).await?;
                not_above(tx, admin, &new).await?;
                let made = sqlx::query!(
                    "-- store.admin.staff.create_role
                    insert into staff_roles (name, refund_limit) values ($1, $2) on conflict do nothing",
                    new.name,
                    new.refund_limit.map(Money::decimal)
                )
                .execute(tx.conn())
                .await?;
                if made.rows_affected() == 0 {
                    return Err(RoleError::Change(ChangeError::NameTaken("role")));
                }
                permit(tx, &new).await?;
                record(tx, admin, "role.create", &new.name, json!({ "after": new.told() })).await
            })
        })
        .await
}

/// Makes of the role with the name of `new` what `new` says, effective from its members' next request; `seen` is the role
/// that the form showed. Recorded in the audit log.
///
/// # Errors
/// [`AccountError::Refused`], [`ChangeError::NotFound`], [`ChangeError::Outdated`].
pub async fn change_role(store: &Store, admin: UserId, new: &NewRole, seen: &NewRole) -> Result<(), RoleError> {
    let (new, seen) = (new.clone(), seen.clone());
    store
        .tx("admin.staff.change_role_permissions", move |tx| {
            let (new, seen) = (new.clone(), seen.clone());
            Box::pin(async move {
                let before = locked(tx, admin, &new.name, &new.permissions).await?;
                if before != seen {
                    return Err(RoleError::Change(ChangeError::Outdated("role")));
                }
                not_above(tx, admin, &new).await?;
                if before == new {
                    return Ok(());
                }
                sqlx::query!(
                    "-- store.admin.staff.change_role.limit\nupdate staff_roles set refund_limit = $2 where name = $1",
                    new.name,
                    new.refund_limit.map(Money::decimal)
                )
                .execute(tx.conn())
                .await?;
                sqlx::query!(
                    "-- store.admin.staff.change_role.clear\ndelete from staff_role_permissions where role = $1",
                    new.name
                )
                .execute(tx.conn())
                .await?;
                permit(tx, &new).await?;
                let details = json!({ "before": before.told(), "after": new.told() });
                record(tx, admin, "role.change", &new.name, details).await
            })
        })
        .await
}

/// Deletes a role that nobody has. Recorded in the audit log.
///
/// # Errors
/// [`AccountError::Refused`], [`ChangeError::NotFound`], [`ChangeError::InUse`].
pub async fn delete_role(store: &Store, admin: UserId, name: &str) -> Result<(), RoleError> {
    let name = name.to_owned();
    store
        .tx("admin.staff.delete_role", move |tx| {
            let name = name.clone();
            Box::pin(async move {
                let before = locked(tx, admin, &name, &[]).await?;
                let is_used = sqlx::query_scalar!(
                    r#"-- store.admin.staff.delete_role.look
                    select exists (select from users where staff_role = $1) as "is_used!""#,
                    name
                )
                .fetch_one(tx.conn())
                .await?;
                if is_used {
                    return Err(RoleError::Change(ChangeError::InUse(
                        "Somebody has this role".to_owned(),
                    )));
                }
                sqlx::query!(
                    "-- store.admin.staff.delete_role\ndelete from staff_roles where name = $1",
                    name
                )
                .execute(tx.conn())
                .await?;
                record(tx, admin, "role.delete", &name, json!({ "before": before.told() })).await
            })
        })
        .await
}

/// Checks that `admin` may change a role from `before` to `after`. Changes of roles come one after the other.
async fn allow(tx: &mut Tx, admin: UserId, before: &Permissions, after: &[Permission]) -> Result<(), RoleError> {
    lock_owners(tx).await?;
    let given = after.iter().copied().collect();
    let by = of_staff(tx, admin).await?;
    Ok(may_give(&by, before, &given).map_err(AccountError::from)?)
}

/// Checks that the members of a role may refund no more than `admin` without their password.
async fn not_above(tx: &mut Tx, admin: UserId, new: &NewRole) -> Result<(), RoleError> {
    let given = new.permissions.iter().copied().collect();
    Ok(limit_within(tx, admin, &given, new.refund_limit).await?)
}

/// The role `name`, once `admin` may change it to `after`.
async fn locked(tx: &mut Tx, admin: UserId, name: &str, after: &[Permission]) -> Result<NewRole, RoleError> {
    lock_owners(tx).await?;
    let row = sqlx::query!(
        r#"-- store.admin.staff.locked
        select r.refund_limit,
               array(select p.permission from staff_role_permissions p where p.role = r.name order by 1) as "permissions!"
          from staff_roles r where r.name = $1 for update"#,
        name
    )
    .fetch_optional(tx.conn())
    .await?;
    let row = row.ok_or(RoleError::Change(ChangeError::NotFound("Role")))?;
    allow(tx, admin, &known(&row.permissions), after).await?;
    Ok(NewRole {
        name: name.to_owned(),
        permissions: listed(&row.permissions),
        refund_limit: row.refund_limit.map(money_of).transpose()?,
    })
}

async fn permit(tx: &mut Tx, new: &NewRole) -> Result<(), RoleError> {
    let names: Vec<String> = new
        .permissions
        .iter()
        .map(|permission| permission.name().to_owned())
        .collect();
    sqlx::query!(
        "-- store.admin.staff.permit
        insert into staff_role_permissions (role, permission) select $1, permission from unnest($2::text[]) permission",
        new.name,
        &names
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn record(
    tx: &mut Tx,
    admin: UserId,
    action: &'static str,
    name: &str,
    mut details: serde_json::Value,
) -> Result<(), RoleError> {
    details["role"] = name.into();
    Ok(audit::record(tx, &By::Staff(admin), action, ("role", Uuid::nil()), details).await?)
}
