//! Who is on the staff, and with which permissions. Read from the database for every request of staff, so that a change
//! counts with the next one in every process.

use lockstep_domain::Money;
use lockstep_domain::account::Role;
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::staff::{Permission, Permissions, Refused, StaffRole, may_change, may_give};
use serde_json::json;
use uuid::Uuid;

use super::AccountError;
use crate::audit::{self, By};
use crate::row::{money_of, role_of};
use crate::{Result, Store, Tx, acting};

/// An account's role and what it permits.
struct Standing {
    role: StaffRole,
    permissions: Permissions,
    is_verified: bool,
}

/// One row of [`standing`] and [`permissions`].
struct Row {
    role: String,
    staff_role: Option<String>,
    permissions: Vec<String>,
    email_verified: bool,
}

impl Row {
    fn standing(self) -> Result<Standing> {
        if role_of(&self.role)? == Role::Admin {
            return Ok(Standing {
                role: StaffRole::Owner,
                permissions: Permissions::all(),
                is_verified: self.email_verified,
            });
        }
        Ok(Standing {
            role: self.staff_role.map_or(StaffRole::None, StaffRole::Named),
            permissions: known(&self.permissions),
            is_verified: self.email_verified,
        })
    }
}

/// The permissions with these names. One that only a newer version knows permits nothing here.
pub(crate) fn known(names: &[String]) -> Permissions {
    names.iter().filter_map(|name| Permission::from_name(name)).collect()
}

/// Reads an account that was not deleted.
macro_rules! row_of {
    ($id:expr) => {
        sqlx::query_as!(
            Row,
            r#"-- store.accounts.staff.standing
            select u.role::text as "role!", u.staff_role, u.email_verified,
                   array(select p.permission from staff_role_permissions p where p.role = u.staff_role) as "permissions!"
              from users u where u.id = $1 and u.deleted_at is null"#,
            $id.0
        )
    };
}

async fn standing(tx: &mut Tx, id: UserId) -> Result<Option<Standing>> {
    let row = row_of!(id).fetch_optional(tx.conn()).await?;
    row.map(Row::standing).transpose()
}

/// The current permissions of an account; none if it is not staff, or does not exist.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn permissions(store: &Store, id: UserId) -> Result<Permissions> {
    let row = row_of!(id).fetch_optional(store.alone()).await?;
    Ok(row
        .map(Row::standing)
        .transpose()?
        .map(|standing| standing.permissions)
        .unwrap_or_default())
}

/// Whether `id` may still act in this session, which may also be an API token, and has `permission`.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn goes_on(store: &Store, id: UserId, session: SessionId, permission: Permission) -> Result<bool> {
    let goes_on = sqlx::query_scalar!(
        r#"-- store.accounts.staff.goes_on
        select exists (select from user_sessions where id = $1 and user_id = $2 and expires_at > now())
               or exists (select from api_tokens where id = $1 and user_id = $2 and expires_at > now()) as "goes_on!""#,
        session.0,
        id.0
    )
    .fetch_one(store.alone())
    .await?;
    Ok(goes_on && permissions(store, id).await?.contains(permission))
}

/// Whether the password was given in this session within the last five minutes (step-up): at the log-in, or to
/// [`confirm`].
///
/// # Errors
/// [`crate::StoreError`].
pub async fn is_confirmed(store: &Store, session: SessionId) -> Result<bool> {
    let is_confirmed = sqlx::query_scalar!(
        r#"-- store.accounts.staff.is_confirmed
        select greatest(created_at, confirmed_at) > now() - interval '5 minutes' as "is_confirmed!"
          from user_sessions where id = $1"#,
        session.0
    )
    .fetch_optional(store.alone())
    .await?;
    Ok(is_confirmed.unwrap_or_default())
}

/// Records that the password was given in this session. Returns whether the session still exists.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn confirm(store: &Store, session: SessionId) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.accounts.staff.confirm\nupdate user_sessions set confirmed_at = now() where id = $1",
        session.0
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// What a member of staff may refund within a day without giving the password again, EUR, and what they have refunded
/// within the last one; `None` for no limit. Their row is locked, so that refunds at once are added up.
pub(crate) async fn refund_limit(tx: &mut Tx, staff: UserId) -> Result<Option<(Money, Money)>> {
    let limit = sqlx::query_scalar!(
        "-- store.accounts.staff.refund_limit
        select r.refund_limit from users u join staff_roles r on r.name = u.staff_role where u.id = $1 for no key update of u",
        staff.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(limit) = limit.flatten() else {
        return Ok(None);
    };
    let refunded = sqlx::query_scalar!(
        r#"-- store.accounts.staff.refunded
        select coalesce(sum((details ->> 'amount')::numeric), 0) as "sum!" from audit_log
         where admin_id = $1 and action in ('order.refund', 'payment.card_refund') and at > now() - interval '1 day'"#,
        staff.0
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Some((money_of(limit)?, money_of(refunded)?)))
}

/// Checks that who has the permissions `given` and the limit `limit` may refund no more without their password than the
/// member of staff `by`. Without the permission to refund, the limit says nothing.
///
/// # Errors
/// [`Refused::GivesMore`] as [`AccountError::Refused`].
pub(crate) async fn limit_within(
    tx: &mut Tx,
    by: UserId,
    given: &Permissions,
    limit: Option<Money>,
) -> Result<(), AccountError> {
    let own = sqlx::query_scalar!(
        "-- store.accounts.staff.own_limit
        select r.refund_limit from users u join staff_roles r on r.name = u.staff_role where u.id = $1",
        by.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let own = own.flatten().map(money_of).transpose()?;
    let is_within = own.is_none_or(|own| limit.is_some_and(|limit| limit <= own));
    if is_within || !given.contains(Permission::OrdersRefund) {
        Ok(())
    } else {
        Err(AccountError::Refused(Refused::GivesMore))
    }
}

/// Whether an account with this address is on the staff.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn is_on_staff(store: &Store, email: &str) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"-- store.accounts.staff.is_on_staff
        select exists (select from users where email = $1 and deleted_at is null
                          and (role = 'ADMIN' or staff_role is not null)) as "is_there!""#,
        email
    )
    .fetch_one(store.alone())
    .await?)
}

/// Checks that `by` may use `permission` on `whom`: nobody changes somebody with more. The operator may always.
///
/// # Errors
/// [`AccountError::Refused`]; [`AccountError::NotFound`] if there is no such account.
pub(crate) async fn allow(tx: &mut Tx, by: &By, permission: Permission, whom: UserId) -> Result<(), AccountError> {
    let theirs = standing(tx, whom).await?.ok_or(AccountError::NotFound)?;
    let By::Staff(staff) = by else { return Ok(()) };
    Ok(may_change(
        &of_staff(tx, *staff).await?,
        permission,
        &theirs.permissions,
    )?)
}

/// Checks that `whom` has no permission that the member of staff `by` lacks. Somebody who does not exist has none.
///
/// # Errors
/// [`Refused::HasMore`] as [`AccountError::Refused`].
pub(crate) async fn not_above(tx: &mut Tx, by: UserId, whom: UserId) -> Result<(), AccountError> {
    let theirs = of_staff(tx, whom).await?;
    if theirs.is_empty() || of_staff(tx, by).await?.cover(&theirs) {
        Ok(())
    } else {
        Err(AccountError::Refused(Refused::HasMore))
    }
}

/// Changes the role of an account, effective from its next request. The audit log records it. Returns the role before.
///
/// # Errors
/// [`AccountError::Refused`]; [`AccountError::LastAdmin`]; [`AccountError::NotVerified`]; [`AccountError::UnknownRole`];
/// [`AccountError::NotFound`].
pub async fn change_role(store: &Store, by: &By, whom: UserId, role: &StaffRole) -> Result<StaffRole, AccountError> {
    let (by, role) = (by.clone(), role.clone());
    store
        .tx("staff.change_role", move |tx| {
            let (by, role) = (by.clone(), role.clone());
            Box::pin(async move { change_role_in(tx, &by, whom, &role).await })
        })
        .await
}

/// As [`change_role`], for the account with this address, by the operator at `machine`.
///
/// # Errors
/// Those of [`change_role`].
pub async fn assign_role(
    store: &Store,
    email: &str,
    role: &StaffRole,
    machine: &str,
) -> Result<StaffRole, AccountError> {
    let (email, role, by) = (email.to_owned(), role.clone(), By::Operator(machine.to_owned()));
    store
        .tx("staff.assign_role", move |tx| {
            let (email, role, by) = (email.clone(), role.clone(), by.clone());
            Box::pin(async move {
                let id = sqlx::query_scalar!(
                    "-- store.accounts.staff.assign_role.look
                    select id from users where email = $1 and deleted_at is null",
                    email
                )
                .fetch_optional(tx.conn())
                .await?;
                change_role_in(tx, &by, UserId(id.ok_or(AccountError::NotFound)?), &role).await
            })
        })
        .await
}

/// As [`change_role`], in a transaction that has not locked the account yet.
pub(crate) async fn change_role_in(
    tx: &mut Tx,
    by: &By,
    whom: UserId,
    role: &StaffRole,
) -> Result<StaffRole, AccountError> {
    // All changes of roles come one after the other, so that what is read below is not changed by another one.
    let owners = lock_owners(tx).await?;
    let before = standing(tx, whom).await?.ok_or(AccountError::NotFound)?;
    let (given, limit) = powers_of(tx, role).await?;
    if let By::Staff(staff) = by {
        may_give(&of_staff(tx, *staff).await?, &before.permissions, &given)?;
        if before.role != *role {
            limit_within(tx, *staff, &given, limit).await?;
        }
    }
    if before.role == *role {
        return Ok(before.role);
    }
    if *role != StaffRole::Owner && owners == [whom.0] {
        return Err(AccountError::LastAdmin);
    }
    if *role != StaffRole::None && !before.is_verified {
        return Err(AccountError::NotVerified);
    }
    let (coarse, named) = match role {
        StaffRole::None => (Role::User, None),
        StaffRole::Owner => (Role::Admin, None),
        StaffRole::Named(name) => (Role::User, Some(name.as_str())),
    };
    let done = sqlx::query!(
        "-- store.accounts.staff.change_role
        update users set role = $2::text::role, staff_role = $3 where id = $1 and deleted_at is null",
        whom.0,
        coarse.name(),
        named
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Err(AccountError::NotFound);
    }
    if *role == StaffRole::None {
        // A later role does not bring them back.
        sqlx::query!(
            "-- store.accounts.staff.change_role.tokens\ndelete from api_tokens where user_id = $1",
            whom.0
        )
        .execute(tx.conn())
        .await?;
    }
    let details = json!({ "from": before.role.name(), "to": role.name() });
    audit::record(tx, by, "user.role", ("user", whom.0), details).await?;
    Ok(before.role)
}

/// Locks all owners and returns them, so that two cannot be demoted at the same moment.
pub(crate) async fn lock_owners(tx: &mut Tx) -> Result<Vec<Uuid>> {
    // A statement of its own: the next one sees the owners as the transaction before left them.
    sqlx::query!(
        "-- store.accounts.staff.lock_roles\nselect pg_advisory_xact_lock(hashtextextended('lockstep owners', 0))"
    )
    .execute(tx.conn())
    .await?;
    Ok(sqlx::query_scalar!(
        "-- store.accounts.staff.lock_owners
        select id from users where role = 'ADMIN' order by id for no key update"
    )
    .fetch_all(tx.conn())
    .await?)
}

/// The permissions of a member of staff, for a decision in this transaction; none if the account has been deleted
/// meanwhile. Who acts with an API token has no more than the token.
pub(crate) async fn of_staff(tx: &mut Tx, staff: UserId) -> Result<Permissions> {
    let theirs = standing(tx, staff)
        .await?
        .map(|standing| standing.permissions)
        .unwrap_or_default();
    Ok(match acting::token() {
        Some(token) if token.user == staff => theirs.shared_with(&token.permissions),
        _ => theirs,
    })
}

/// What a role permits, and what its members may refund within a day without their password, EUR.
async fn powers_of(tx: &mut Tx, role: &StaffRole) -> Result<(Permissions, Option<Money>), AccountError> {
    let name = match role {
        StaffRole::None => return Ok((Permissions::default(), None)),
        StaffRole::Owner => return Ok((Permissions::all(), None)),
        StaffRole::Named(name) => name,
    };
    let row = sqlx::query!(
        r#"-- store.accounts.staff.role
        select array(select p.permission from staff_role_permissions p where p.role = r.name) as "permissions!",
               r.refund_limit
          from staff_roles r where r.name = $1"#,
        name
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(AccountError::UnknownRole)?;
    Ok((known(&row.permissions), row.refund_limit.map(money_of).transpose()?))
}

/// The names of all roles but that of an owner.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn roles(store: &Store) -> Result<Vec<String>> {
    Ok(
        sqlx::query_scalar!("-- store.accounts.staff.roles\nselect name from staff_roles order by name")
            .fetch_all(store.alone())
            .await?,
    )
}

impl From<Refused> for AccountError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}
