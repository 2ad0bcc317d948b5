//! `/api/admin/users/{id}/impersonations`: acting as a customer.

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use lockstep_auth::{AuthError, ImpersonationError};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::UserId;
use lockstep_domain::staff::Permission;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::RequireStaff;
use super::money::checked_reason;
use super::routes::{Confirmed, StaffRoute, at};
use crate::Api;
use crate::answer::{self, Answered};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;

#[derive(OpenApi)]
#[openapi(paths(begin))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![at("/api/admin/users/{id}/impersonations").post(Confirmed(Permission::UsersImpersonate), begin)]
}

request_body! {
    /// Why a member of staff acts as a customer.
    struct NewImpersonation {
        /// 1 to 500 characters; in the audit log.
        #[schema(max_length = 500)]
        reason: String = "reason",
    }
}

/// A session of staff who act as a customer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Impersonation {
    /// The bearer token of its requests.
    token: String,
    /// When it ends: after twenty minutes, or before with the session of the member of staff.
    expires_at: DateTime<Utc>,
}

/// Begins to act as a customer; ends the session before, if there is one.
///
/// Requests with the token see what the customer sees, without keys, and change nothing but cart and wishlist; each is
/// recorded. Needs the password of the last five minutes.
#[utoipa::path(post, path = "/api/admin/users/{id}/impersonations", tag = "admin", operation_id = "actAsUser", security(("bearer" = [])), request_body = NewImpersonation,
    params(("id" = Uuid, Path, description = "ID of the customer")),
    responses((status = 201, description = "The session", body = Answer<Impersonation>), (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission users.impersonate, `confirmation_needed`, or the account is staff's (`on_staff`)"),
    (status = 404, description = "There is no such user")))]
pub(crate) async fn begin(State(api): Api, Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let id = UserId(uuid_in("id", &id)?);
    let (asked, form) = body.read::<NewImpersonation>();
    let reason = form.finish(checked_reason(asked.reason.trim()).map(str::to_owned))?;
    let begun = api.shop.auth().impersonate(&staff.admin, id, &reason).await?;
    let session = Impersonation {
        token: begun.token.expose().to_owned(),
        expires_at: begun.expires_at,
    };
    answer::data(StatusCode::CREATED, &session)
}

impl From<ImpersonationError> for ApiError {
    fn from(error: ImpersonationError) -> Self {
        match error {
            ImpersonationError::Account(error) => AuthError::from(error).into(),
            ImpersonationError::OnStaff => Self::refused(StatusCode::FORBIDDEN, "on_staff", &error),
            ImpersonationError::SignedOut => AuthError::NotSignedIn.into(),
            ImpersonationError::Store(error) => error.into(),
        }
    }
}
