//! `/api/admin/tokens…`: API tokens for programs of staff; and the requests that are made with one.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use lockstep_auth::{ApiTokenError, AuthError, is_api_token, with_token};
use lockstep_domain::admin::{ApiToken, NewApiToken, TokenForm};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Refused;
use utoipa::OpenApi;

use super::RequireStaff;
use super::routes::{AnyStaff, Confirmed, StaffRoute, at};
use crate::answer::{self, Answered, Message};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;
use crate::visit::{ByToken, bearer};
use crate::{Api, ApiState, impersonation};

#[derive(OpenApi)]
#[openapi(paths(tokens, create, delete))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/tokens")
            .get(AnyStaff, tokens)
            .post(Confirmed(AnyStaff), create),
        at("/api/admin/tokens/{id}").delete(AnyStaff, delete),
    ]
}

/// Handles a request with an API token: finds out for whom it acts, for the routes of staff only, and lets everything below
/// know the token. Requests of staff who act as a customer are recorded; all others pass.
pub(crate) async fn recognise(State(api): Api, mut request: Request, next: Next) -> Response {
    let Some(token) = bearer(request.headers()) else {
        return next.run(request).await;
    };
    if !is_api_token(token) {
        let token = token.to_owned();
        return impersonation::pass(&api, token, request, next).await;
    }
    if !is_for_staff(request.uri().path()) {
        return ApiError::from(AuthError::NotSignedIn).into_response();
    }
    match api.shop.auth().bearer_of_api_token(token).await {
        Ok((_, token)) => {
            request.extensions_mut().insert(ByToken);
            with_token(token, next.run(request)).await
        }
        Err(error) => ApiError::from(error).into_response(),
    }
}

/// Whether a path is below `/api/admin`, or `/api/api/admin`.
fn is_for_staff(path: &str) -> bool {
    let path = path.strip_prefix("/api").unwrap_or(path);
    let path = path.strip_prefix("/api").unwrap_or(path);
    path == "/admin" || path.starts_with("/admin/")
}

request_body! {
    /// A token to create.
    struct TokenWanted {
        /// What it is for.
        #[schema(min_length = 1, max_length = 100)]
        name: String = "name",
        /// Names of permissions, such as `orders.read`. The caller must have each of them.
        #[schema(value_type = Vec<String>, min_items = 1, max_items = 100)]
        permissions: Option<Vec<String>> = "permissions",
        /// Its lifetime in days; 90 by default.
        #[schema(value_type = Option<u32>, minimum = 1, maximum = 366)]
        expires_in_days: Option<i64> = "expiresInDays",
    }
}

/// Returns API tokens, newest first.
///
/// These are the caller's own; with the permission staff.write, those of all staff, at most 1,000. No response contains a
/// token itself.
#[utoipa::path(get, path = "/api/admin/tokens", tag = "admin", operation_id = "adminTokens", security(("bearer" = [])),
    responses((status = 200, description = "The tokens", body = Answer<Vec<ApiToken>>),
    (status = 403, description = "Not signed in as staff")))]
pub(crate) async fn tokens(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.tokens(&staff.admin).await?)
}

/// Creates an API token, with which a program acts for the caller in the routes of staff.
///
/// It is sent like an access token, as `Authorization: Bearer lsk_…`. It permits the given permissions as far as the caller
/// has them: one that the caller loses, the token loses with its next request. It is shown in this response only. A token
/// cannot create another one.
#[utoipa::path(post, path = "/api/admin/tokens", tag = "admin", operation_id = "createToken", security(("bearer" = [])), request_body = TokenWanted,
    responses((status = 201, description = "The token", body = Answer<NewApiToken>), (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff, with an API token, or a permission is named that the caller lacks"),
    (status = 409, description = "The caller has 50 tokens")))]
pub(crate) async fn create(State(api): Api, staff: RequireStaff, body: Body) -> Answered {
    let (asked, form) = body.read::<TokenWanted>();
    let permissions = asked.permissions.unwrap_or_default();
    let form = form.finish(TokenForm::new(&asked.name, &permissions, asked.expires_in_days))?;
    let created = api.shop.auth().create_api_token(&staff.admin, form).await?;
    answer::data(StatusCode::CREATED, &created)
}

/// Deletes an API token; it no longer works from its next request on.
///
/// One's own, or with the permission staff.write one of somebody who has no permission that the caller lacks.
#[utoipa::path(delete, path = "/api/admin/tokens/{id}", tag = "admin", operation_id = "deleteToken", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the token")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff, or the owner has more permissions"),
    (status = 404, description = "There is no such token, or it is not the caller's")))]
pub(crate) async fn delete(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    staff.office.delete_token(&staff.admin, uuid_in("id", &id)?).await?;
    answer::message(StatusCode::OK, "The token is deleted")
}

impl From<ApiTokenError> for ApiError {
    fn from(error: ApiTokenError) -> Self {
        match error {
            ApiTokenError::Store(error) => error.into(),
            ApiTokenError::NotFound => Self::NotFound("Token"),
            ApiTokenError::Refused(Refused::HasMore) => {
                Self::refused(StatusCode::FORBIDDEN, "has_more_permissions", &Refused::HasMore)
            }
            ApiTokenError::Refused(refused) => Self::refused(StatusCode::FORBIDDEN, "gives_more_permissions", &refused),
            ApiTokenError::TooMany => Self::refused(StatusCode::CONFLICT, "too_many_tokens", &error),
        }
    }
}

/// The layer of [`recognise`].
pub(crate) fn layer(api: &Arc<ApiState>, router: axum::Router<Arc<ApiState>>) -> axum::Router<Arc<ApiState>> {
    router.layer(axum::middleware::from_fn_with_state(Arc::clone(api), recognise))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_staff_take_a_token() {
        for path in [
            "/api/admin",
            "/api/admin/orders",
            "/api/api/admin/orders",
            "/api/admin/",
        ] {
            assert!(is_for_staff(path), "{path}");
        }
        for path in [
            "/api/orders",
            "/api/administrator",
            "/api/user/admin",
            "/api",
            "/healthz",
        ] {
            assert!(!is_for_staff(path), "{path}");
        }
    }
}
