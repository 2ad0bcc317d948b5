//! Changes of accounts by staff: names, roles, balances, deletion.

use axum::extract::{Path, State};
use http::StatusCode;
use lockstep_admin::{UserChange, UserChangeError};
use lockstep_auth::AuthError;
use lockstep_domain::Money;
use lockstep_domain::account::{FieldError, ProfileChange, Role};
use lockstep_domain::admin::UserDetail;
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::UserId;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::money::optional_reason;
use super::routes::{Confirmed, StaffRoute, at};
use super::{RequireStaff, found, people};
use crate::Api;
use crate::answer::{self, Answered, Message};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;

#[derive(OpenApi)]
#[openapi(paths(change, change_role, delete))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/users/{id}")
            .get(Permission::UsersRead, people::user)
            .put(Permission::UsersWrite, change)
            .delete(Confirmed(Permission::UsersDelete), delete),
        at("/api/admin/users/{id}/role").put(Confirmed(Permission::StaffWrite), change_role),
    ]
}

request_body! {
    /// What to change about a user; what is left out stays.
    struct UserForm {
        /// 2 to 50 characters; an empty text sets the default.
        #[schema(max_length = 50)]
        nickname: Option<String> = "nickname" => changed_text(),
        /// At most 100 characters; an empty text removes it.
        #[schema(max_length = 100)]
        first_name: Option<String> = "firstName" => changed_text(),
        /// At most 100 characters; an empty text removes it.
        #[schema(max_length = 100)]
        last_name: Option<String> = "lastName" => changed_text(),
        /// `USER` or `ADMIN`. A change needs the permission staff.write.
        #[schema(value_type = Option<Role>)]
        role: Option<String> = "role",
        /// The new balance in EUR, at most two decimals. A change needs the permission balance.adjust.
        #[schema(value_type = Option<f64>, minimum = 0)]
        balance: Option<Money> = "balance",
        /// The balance that the form showed. By default the one that this session was shown last by `GET`.
        #[schema(value_type = Option<f64>)]
        expected_balance: Option<Money> = "expectedBalance",
        /// Reason for a new balance, which its owner sees.
        #[schema(max_length = 500)]
        reason: Option<String> = "reason",
    }
}

request_body! {
    /// A role to give.
    struct NewRole {
        /// `USER` or `ADMIN`.
        #[schema(value_type = Role)]
        role: String = "role",
    }
}

/// Changes names, role and balance of a user.
///
/// The balance is absolute. It is compared with the one that the form showed; if that has changed meanwhile, nothing is
/// changed (409 `balance_changed`). The difference is booked as an adjustment.
#[utoipa::path(put, path = "/api/admin/users/{id}", tag = "admin", operation_id = "changeUser", security(("bearer" = [])), request_body = UserForm,
    params(("id" = Uuid, Path, description = "ID of the user")),
    responses((status = 200, description = "The user", body = Answer<UserDetail>), (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission users.write, or the user has more permissions"),
    (status = 404, description = "There is no such user"),
    (status = 409, description = "The balance has changed since it was shown, or was not shown, or this is the last administrator")))]
pub(crate) async fn change(State(api): Api, Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let id = UserId(uuid_in("id", &id)?);
    let (asked, form) = body.read::<UserForm>();
    let checked = (|| {
        let names = ProfileChange::check(
            asked.nickname.as_deref(),
            asked.first_name.as_deref(),
            asked.last_name.as_deref(),
            None,
        )?;
        let role = asked.role.as_deref().map(checked_role).transpose()?;
        let reason = optional_reason(asked.reason.as_deref())?;
        match asked.balance {
            Some(balance) if balance < Money::ZERO => Err(fault("balance", "negative", "A balance is not negative")),
            balance => Ok(UserChange {
                names,
                role,
                confirmed: false,
                balance,
                expected_balance: asked.expected_balance,
                reason: reason.map(str::to_owned),
            }),
        }
    })();
    let mut change = form.finish(checked)?;
    change.confirmed = change.role.is_some() && api.shop.auth().is_confirmed(&staff.admin).await?;
    let user = staff.office.change_user(&staff.admin, id, &change).await?;
    answer::data(StatusCode::OK, &found(user, "User")?)
}

/// Changes the role of a user, effective with their next request.
///
/// `USER` also takes away a role of staff that this API does not show.
#[utoipa::path(put, path = "/api/admin/users/{id}/role", tag = "admin", operation_id = "changeUserRole", security(("bearer" = [])), request_body = NewRole,
    params(("id" = Uuid, Path, description = "ID of the user")),
    responses((status = 200, description = "The user", body = Answer<UserDetail>), (status = 400, description = "There is no such role"),
    (status = 403, description = "Not signed in as staff with the permission staff.write, or a permission is involved that the caller lacks"),
    (status = 404, description = "There is no such user"), (status = 409, description = "This is the last administrator")))]
pub(crate) async fn change_role(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let id = UserId(uuid_in("id", &id)?);
    let (asked, form) = body.read::<NewRole>();
    let role = form.finish(checked_role(&asked.role))?;
    let user = staff.office.change_role(&staff.admin, id, role).await?;
    answer::data(StatusCode::OK, &found(user, "User")?)
}

/// Deletes the account of a user who never ordered.
///
/// Personal data is deleted, and bookings are kept without a name. The user receives an e-mail about it.
#[utoipa::path(delete, path = "/api/admin/users/{id}", tag = "admin", operation_id = "deleteUser", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the user")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission users.delete, or the user has more permissions"),
    (status = 404, description = "There is no such user"),
    (status = 409, description = "The user has orders, a balance or a payment in progress, or is the last administrator")))]
pub(crate) async fn delete(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    staff
        .office
        .delete_user(&staff.admin, UserId(uuid_in("id", &id)?))
        .await?;
    answer::message(StatusCode::OK, "The account is deleted")
}

fn fault(path: &'static str, code: &'static str, msg: &'static str) -> Vec<FieldError> {
    vec![FieldError { path, code, msg }]
}

fn checked_role(name: &str) -> Result<Role, Vec<FieldError>> {
    Role::from_name(name).ok_or_else(|| fault("role", "unknown_role", "This field must be USER or ADMIN"))
}

impl From<UserChangeError> for ApiError {
    fn from(error: UserChangeError) -> Self {
        let code = match &error {
            UserChangeError::BalanceChanged { .. } => "balance_changed",
            UserChangeError::BalanceNotSeen => "balance_not_seen",
            UserChangeError::NotConfirmed => "confirmation_needed",
            UserChangeError::Account(_) | UserChangeError::Adjust(_) | UserChangeError::Store(_) => "",
        };
        match error {
            UserChangeError::Account(error) => AuthError::from(error).into(),
            UserChangeError::Adjust(error) => error.into(),
            UserChangeError::Store(error) => error.into(),
            error @ UserChangeError::NotConfirmed => Self::refused(StatusCode::FORBIDDEN, code, &error),
            error => Self::refused(StatusCode::CONFLICT, code, &error),
        }
    }
}
