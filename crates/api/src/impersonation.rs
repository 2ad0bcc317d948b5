//! Requests that staff make as a customer: recorded, and refused where they would do more than look.

use axum::extract::{OriginalUri, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use lockstep_auth::{AuthError, as_customer};
use lockstep_request::may_impersonate;
use lockstep_shop::Deed;

use crate::ApiState;
use crate::error::ApiError;

/// Handles a request with the token `bearer`, which is no API token.
pub(crate) async fn pass(api: &ApiState, bearer: String, request: Request, next: Next) -> Response {
    if api.shop.auth().impersonation_of(&bearer).is_none() {
        return next.run(request).await;
    }
    let original = request.extensions().get::<OriginalUri>();
    let path = original.map_or_else(|| request.uri(), |uri| &uri.0).path().to_owned();
    let method = request.method().clone();
    let is_allowed = may_impersonate(&method, &path);
    let deed = Deed {
        method: method.as_str(),
        path: &path,
        is_refused: !is_allowed,
    };
    match api.shop.impersonation(&bearer, deed).await {
        Ok(Some(_)) if !is_allowed => ApiError::from(AuthError::Impersonation).into_response(),
        Ok(Some(found)) => as_customer(found.session, next.run(request)).await,
        Ok(None) => ApiError::from(AuthError::NotSignedIn).into_response(),
        Err(error) => ApiError::from(error).into_response(),
    }
}
