//! Who sends a request: the token, the guest cookie, and the client's address and user agent.
//!
//! The cookie is `sessionId` of the HTTP contract (`docs/http-api.md`); it counts only if the database has such a
//! guest. `X-Forwarded-For` is trusted only as far as our own proxies wrote it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::{self, HeaderName};
use http::request::Parts;
use lockstep_auth::{Admin, AuthError, ClientInfo, CurrentUser, cookies};
use lockstep_domain::language::Language;
use lockstep_shop::{Idempotency, RequestContext};
use uuid::Uuid;

use crate::error::ApiError;
use crate::{ApiState, Settings};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Where a request comes from, before its sender is identified.
pub(crate) struct From {
    /// Client address and user agent.
    pub(crate) device: ClientInfo,
    /// Guest session of the cookie, if it has the form of one.
    pub(crate) cookie: Option<Uuid>,
}

impl FromRequestParts<Arc<ApiState>> for From {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, ApiError> {
        Ok(Self {
            device: client_info(parts, &api.settings),
            cookie: cookies::guest(&parts.headers),
        })
    }
}

/// Any client: a signed-in user, a guest or an anonymous principal. An invalid token is ignored.
pub(crate) struct ClientPrincipal {
    /// Who it is.
    pub(crate) context: RequestContext,
    /// Client address and user agent.
    pub(crate) device: ClientInfo,
}

impl FromRequestParts<Arc<ApiState>> for ClientPrincipal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, ApiError> {
        let cookie = cookies::guest(&parts.headers);
        let newcomer = api.shop.auth().newcomer(&parts.headers);
        let context = api.shop.arrive(bearer(&parts.headers), cookie).await?;
        Ok(Self {
            context: context.with_newcomer(newcomer),
            device: client_info(parts, &api.settings),
        })
    }
}

/// A signed-in user; other clients are refused with 401.
pub(crate) struct SignedInUser {
    /// The user.
    pub(crate) caller: CurrentUser,
    /// The user's data.
    pub(crate) context: RequestContext,
    /// Client address and user agent.
    pub(crate) device: ClientInfo,
}

impl FromRequestParts<Arc<ApiState>> for SignedInUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, ApiError> {
        let ClientPrincipal { context, device } = ClientPrincipal::from_request_parts(parts, api).await?;
        Ok(Self {
            caller: context.signed_in()?.clone(),
            context,
            device,
        })
    }
}

/// In the extensions of a request with a valid API token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByToken;

/// A member of staff, whatever their permissions; other clients are refused with 403, even without a valid token
/// (`docs/http-api.md`).
pub(crate) struct RequireAdmin(pub(crate) Admin);

impl FromRequestParts<Arc<ApiState>> for RequireAdmin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, ApiError> {
        if let (Some(ByToken), Some(token)) = (parts.extensions.get(), bearer(&parts.headers)) {
            // Asked for here, after the body has come, as for everybody.
            return Ok(Self(api.shop.auth().bearer_of_api_token(token).await?.0));
        }
        let ClientPrincipal { context, .. } = ClientPrincipal::from_request_parts(parts, api).await?;
        let caller = context.caller().ok_or(AuthError::Forbidden)?.clone();
        Ok(Self(api.shop.auth().admin(caller).await?))
    }
}

/// The optional `Idempotency-Key` of a request.
pub(crate) struct Key(pub(crate) Option<Idempotency>);

impl<S: Sync> FromRequestParts<S> for Key {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else {
            return Ok(Self(None));
        };
        let key = value.to_str().ok().and_then(Idempotency::new);
        key.map(|key| Self(Some(key)))
            .ok_or_else(|| ApiError::invalid("Idempotency-Key", "must be 1 to 200 printable ASCII characters"))
    }
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn client_info(parts: &Parts, settings: &Settings) -> ClientInfo {
    let accepted = parts.headers.get(header::ACCEPT_LANGUAGE);
    let language = accepted.and_then(|accepted| Language::accepted(accepted.to_str().ok()?));
    lockstep_request::client_info(parts, settings.trusted_proxies, language)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn bearer_scheme_is_case_insensitive() {
        for (text, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("abc", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(text))]);
            assert_eq!(bearer(&headers), token, "{text}");
        }
    }
}
