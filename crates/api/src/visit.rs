//! Who a request comes from: the token, the guest's cookie, and the device.
//!
//! The cookie is the contract's (`sessionId`); what it says is believed only after the database was asked whether there
//! is such a guest. An address in `X-Forwarded-For` is believed as far as proxies of our own have written it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use http::HeaderMap;
use http::header::{self, HeaderName};
use http::request::Parts;
use lockstep_auth::{Admin, AuthError, Caller, Device, cookies};
use lockstep_domain::language::Language;
use lockstep_shop::{Arrival, Idempotency};
use uuid::Uuid;

use crate::error::ApiError;
use crate::{ApiState, Settings};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// From where a request comes, before anybody has asked who it is.
pub(crate) struct From {
    /// Address and program.
    pub(crate) device: Device,
    /// What the guest's cookie says, if it can be a session at all.
    pub(crate) cookie: Option<Uuid>,
}

impl FromRequestParts<Arc<ApiState>> for From {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, ApiError> {
        Ok(Self {
            device: device(parts, &api.settings),
            cookie: cookies::guest(&parts.headers),
        })
    }
}

/// Anybody: somebody with a good token, a guest, or nobody in particular. A token that is not good counts for nothing.
pub(crate) struct Visit {
    /// Who it is.
    pub(crate) arrival: Arrival,
    /// Address and program.
    pub(crate) device: Device,
}

impl FromRequestParts<Arc<ApiState>> for Visit {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, ApiError> {
        let cookie = cookies::guest(&parts.headers);
        let newcomer = api.shop.auth().newcomer(&parts.headers);
        let arrival = api.shop.arrive(bearer(&parts.headers), cookie).await?;
        Ok(Self {
            arrival: arrival.with_newcomer(newcomer),
            device: device(parts, &api.settings),
        })
    }
}

/// Somebody who is signed in; everybody else is told to sign in (401).
pub(crate) struct Member {
    /// Who.
    pub(crate) caller: Caller,
    /// With what is theirs.
    pub(crate) arrival: Arrival,
    /// Address and program.
    pub(crate) device: Device,
}

impl FromRequestParts<Arc<ApiState>> for Member {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, ApiError> {
        let Visit { arrival, device } = Visit::from_request_parts(parts, api).await?;
        Ok(Self {
            caller: arrival.signed_in()?.clone(),
            arrival,
            device,
        })
    }
}

/// Somebody who may run the shop; everybody else is refused with 403, also without a good token (the contract's guard).
pub(crate) struct Administrator(pub(crate) Admin);

impl FromRequestParts<Arc<ApiState>> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, ApiError> {
        let Visit { arrival, .. } = Visit::from_request_parts(parts, api).await?;
        let caller = arrival.caller().ok_or(AuthError::Forbidden)?.clone();
        Ok(Self(api.shop.auth().admin(caller)?))
    }
}

/// The `Idempotency-Key` of a call that changes something, if it has one.
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

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn device(parts: &Parts, settings: &Settings) -> Device {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    lockstep_auth::device(
        &parts.headers,
        peer.map(|ConnectInfo(peer)| peer.ip()),
        settings.trusted_proxies,
    )
    .reading(
        parts
            .headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|accepted| accepted.to_str().ok())
            .and_then(Language::accepted),
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_comes_with_its_scheme_whatever_the_case() {
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
