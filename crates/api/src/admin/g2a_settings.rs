//! Accounts at G2A.

use axum::extract::Path;
use http::StatusCode;
use lockstep_admin::{SupplierAccessError, SupplierAccountError, supplier_api_key};
use lockstep_domain::Secret;
use lockstep_domain::admin::{SupplierAccount, SupplierAccountForm, SupplierApiKey, SupplierToken};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::RequireStaff;
use super::routes::{Confirmed, StaffRoute, at};
use crate::answer::{self, Answered, Message};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;

#[derive(OpenApi)]
#[openapi(paths(active, all, save, change, delete, generate_key, token, token_of))]
pub(super) struct Description;

/// Whoever sets the account decides who is paid for keys, and a token can be used outside the shop: both need the
/// password again.
pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/g2a-settings")
            .get(Permission::SupplierRead, active)
            .post(Confirmed(Permission::SupplierWrite), save),
        at("/api/admin/g2a-settings/all").get(Permission::SupplierRead, all),
        at("/api/admin/g2a-settings/generate-key").post(Permission::SupplierWrite, generate_key),
        at("/api/admin/g2a-settings/token").get(Confirmed(Permission::SystemWrite), token),
        at("/api/admin/g2a-settings/{id}")
            .put(Confirmed(Permission::SupplierWrite), change)
            .delete(Confirmed(Permission::SupplierWrite), delete),
        at("/api/admin/g2a-settings/{id}/token").get(Confirmed(Permission::SystemWrite), token_of),
    ]
}

request_body! {
    /// An account at G2A. A new one needs `clientId`, `email` and `clientSecret`; of a known one, what is not sent stays.
    struct AccountFields {
        /// Client id ("API hash").
        #[schema(min_length = 1, max_length = 200)]
        client_id: Option<String> = "clientId",
        /// E-mail address of the account.
        #[schema(max_length = 254)]
        email: Option<String> = "email",
        /// Client secret; empty or masked, it stays.
        #[schema(max_length = 200)]
        client_secret: Option<String> = "clientSecret",
        /// API key. It follows from the other three and need not be sent; another one is refused.
        #[schema(max_length = 200)]
        api_key: Option<String> = "apiKey",
        /// `sandbox` or `production`; by default what the shop is connected to.
        environment: Option<String> = "environment",
        /// Whether it shall be the active one, which then no other is. G2A is asked first.
        is_active: Option<bool> = "isActive",
        /// The version that the form showed.
        #[schema(minimum = 0)]
        version: Option<i64> = "version",
    }
}

fn form(body: &Body) -> Result<SupplierAccountForm, ApiError> {
    let (fields, form) = body.read::<AccountFields>();
    let entered = SupplierAccountForm {
        client_id: fields.client_id,
        email: fields.email,
        client_secret: fields.client_secret.map(Secret::new),
        api_key: fields.api_key.map(Secret::new),
        environment: fields.environment,
        is_active: fields.is_active,
        version: fields.version,
    };
    form.finish(entered.checked())
}

/// Returns the account that the shop buys with, with masked secrets; null if there is none.
#[utoipa::path(get, path = "/api/admin/g2a-settings", tag = "admin", operation_id = "adminG2aSettings", security(("bearer" = [])),
    responses((status = 200, description = "The account, or null", body = Answer<Option<SupplierAccount>>),
    (status = 403, description = "Not signed in as staff with the permission supplier.read")))]
pub(crate) async fn active(staff: RequireStaff) -> Answered {
    answer::data(
        StatusCode::OK,
        &staff.office.active_supplier_account(&staff.admin).await?,
    )
}

/// Returns the accounts at G2A, with masked secrets.
///
/// That of the environment variables comes first, if they name one: its `source` is `environment`, its `id` all zeros, and
/// the shop buys with it whatever is active. Of the others at most one is active.
#[utoipa::path(get, path = "/api/admin/g2a-settings/all", tag = "admin", operation_id = "adminG2aSettingsAll", security(("bearer" = [])),
    responses((status = 200, description = "At most 51 accounts", body = Answer<Vec<SupplierAccount>>),
    (status = 403, description = "Not signed in as staff with the permission supplier.read")))]
pub(crate) async fn all(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.supplier_accounts(&staff.admin).await?)
}

/// Enters an account at G2A, or changes the one with this client id.
///
/// Unless `isActive` is false it becomes the active one, after G2A has accepted its credentials.
#[utoipa::path(post, path = "/api/admin/g2a-settings", tag = "admin", operation_id = "saveG2aSettings", security(("bearer" = [])), request_body = AccountFields,
    responses((status = 200, description = "The account", body = Answer<SupplierAccount>),
    (status = 400, description = "Invalid fields; `g2a_refuses`: it shall be active and G2A refuses it; `other_environment`: it shall be active and belongs to G2A's other environment"),
    (status = 403, description = "Not signed in as staff with the permission supplier.write, or `confirmation_needed`"),
    (status = 409, description = "`outdated`: changed meanwhile; `in_use`: there are 50; `set_by_environment`: it is that of the environment variables"),
    (status = 503, description = "`g2a_unavailable`: G2A does not answer; `g2a_tests_busy`: too many tests at the same time")))]
pub(crate) async fn save(staff: RequireStaff, body: Body) -> Answered {
    let form = form(&body)?;
    let saved = staff
        .office
        .save_supplier_account(&staff.admin, form, staff.now)
        .await?;
    answer::data(StatusCode::OK, &saved)
}

/// Changes an account at G2A. One that is or shall be active is tested first.
#[utoipa::path(put, path = "/api/admin/g2a-settings/{id}", tag = "admin", operation_id = "changeG2aSettings", security(("bearer" = [])), request_body = AccountFields,
    params(("id" = Uuid, Path, description = "ID of the account")),
    responses((status = 200, description = "The account", body = Answer<SupplierAccount>),
    (status = 400, description = "Invalid fields; `g2a_refuses`: G2A refuses the credentials; `other_environment`: it shall be active and belongs to G2A's other environment"),
    (status = 403, description = "Not signed in as staff with the permission supplier.write, or `confirmation_needed`"),
    (status = 404, description = "There is no such account"),
    (status = 409, description = "`outdated`: changed meanwhile; `in_use`: copies are being bought with the client id that it shall no longer have; `set_by_environment`: it is that of the environment variables"),
    (status = 503, description = "`g2a_unavailable`: G2A does not answer; `g2a_tests_busy`: too many tests at the same time")))]
pub(crate) async fn change(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (id, form) = (uuid_in("id", &id)?, form(&body)?);
    let changed = staff
        .office
        .change_supplier_account(&staff.admin, id, form, staff.now)
        .await?;
    answer::data(StatusCode::OK, &changed)
}

/// Deletes an account at G2A that is not the active one.
#[utoipa::path(delete, path = "/api/admin/g2a-settings/{id}", tag = "admin", operation_id = "deleteG2aSettings", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the account")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission supplier.write, or `confirmation_needed`"),
    (status = 404, description = "There is no such account"),
    (status = 409, description = "`in_use`: it is the active one, or copies are being bought with it; `set_by_environment`: it is that of the environment variables")))]
pub(crate) async fn delete(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let id = uuid_in("id", &id)?;
    staff.office.delete_supplier_account(&staff.admin, id).await?;
    answer::message(StatusCode::OK, "The G2A settings are deleted")
}

/// Computes the API key of three credentials. Stores nothing.
#[utoipa::path(post, path = "/api/admin/g2a-settings/generate-key", tag = "admin", operation_id = "generateG2aKey", security(("bearer" = [])), request_body = AccountFields,
    responses((status = 200, description = "The hexadecimal SHA-256 of client id, e-mail address and client secret, joined", body = Answer<SupplierApiKey>),
    (status = 400, description = "A field is missing, invalid or only its mask"),
    (status = 403, description = "Not signed in as staff with the permission supplier.write")))]
pub(crate) async fn generate_key(_staff: RequireStaff, body: Body) -> Answered {
    answer::data(StatusCode::OK, &supplier_api_key(form(&body)?)?)
}

/// Has G2A issue an access token for the account that the shop buys with. Recorded in the audit log.
#[utoipa::path(get, path = "/api/admin/g2a-settings/token", tag = "admin", operation_id = "g2aToken", security(("bearer" = [])),
    responses((status = 200, description = "The token", body = Answer<SupplierToken>), (status = 400, description = "`g2a_refuses`: G2A refuses the credentials"),
    (status = 403, description = "Not signed in as staff with the permission system.write, or `confirmation_needed`"),
    (status = 404, description = "There is no active account"), (status = 503, description = "`g2a_unavailable`: G2A does not answer; `g2a_tests_busy`: too many at the same time")))]
pub(crate) async fn token(staff: RequireStaff) -> Answered {
    let token = staff.office.supplier_token(&staff.admin, None, staff.now).await?;
    answer::data(StatusCode::OK, &token)
}

/// Has G2A issue an access token for an account. Recorded in the audit log.
#[utoipa::path(get, path = "/api/admin/g2a-settings/{id}/token", tag = "admin", operation_id = "g2aTokenOf", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the account")),
    responses((status = 200, description = "The token", body = Answer<SupplierToken>),
    (status = 400, description = "`g2a_refuses`: G2A refuses the credentials; `other_environment`: the shop is not connected to the account's environment"),
    (status = 403, description = "Not signed in as staff with the permission system.write, or `confirmation_needed`"),
    (status = 404, description = "There is no such account"), (status = 503, description = "`g2a_unavailable`: G2A does not answer; `g2a_tests_busy`: too many at the same time")))]
pub(crate) async fn token_of(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let id = uuid_in("id", &id)?;
    let token = staff.office.supplier_token(&staff.admin, Some(id), staff.now).await?;
    answer::data(StatusCode::OK, &token)
}

impl From<SupplierAccountError> for ApiError {
    fn from(error: SupplierAccountError) -> Self {
        let error = match error {
            SupplierAccountError::Change(error) => return error.into(),
            SupplierAccountError::Fields(faults) => return Self::Fields(faults),
            error => error,
        };
        let (status, code) = match &error {
            SupplierAccountError::Access(SupplierAccessError::Refused(_)) => (StatusCode::BAD_REQUEST, "g2a_refuses"),
            SupplierAccountError::Access(SupplierAccessError::Unavailable(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "g2a_unavailable")
            }
            SupplierAccountError::Access(SupplierAccessError::Busy) => {
                (StatusCode::SERVICE_UNAVAILABLE, "g2a_tests_busy")
            }
            SupplierAccountError::OtherEnvironment(_) => (StatusCode::BAD_REQUEST, "other_environment"),
            _ => (StatusCode::CONFLICT, "set_by_environment"),
        };
        Self::refused(status, code, &error)
    }
}
