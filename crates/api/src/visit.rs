//! Who a request comes from: the token, the guest's cookie, and the device.
//!
//! The cookie is the contract's (`sessionId`); what it says is believed only after the database was asked whether there
//! is such a guest. An address in `X-Forwarded-For` is believed as far as proxies of our own have written it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use lockstep_auth::{Admin, AuthError, Caller, Device};
use lockstep_shop::{Arrival, Idempotency};
use uuid::Uuid;

use crate::body::uuid;
use crate::error::ApiError;
use crate::{ApiState, Settings};

/// Carries a guest's session.
const COOKIE: &str = "sessionId";
/// As long as a guest lives after the last use.
const COOKIE_SECONDS: u32 = 86_400;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

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
            cookie: cookie(&parts.headers),
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
        let cookie = cookie(&parts.headers);
        Ok(Self {
            arrival: api.shop.arrive(bearer(&parts.headers), cookie).await?,
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

/// The first `sessionId` that can be one.
fn cookie(headers: &HeaderMap) -> Option<Uuid> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .find_map(|(_, value)| uuid(value))
}

fn device(parts: &Parts, settings: &Settings) -> Device {
    let peer = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(peer)| peer.ip());
    let user_agent = parts
        .headers
        .get(header::USER_AGENT)
        .map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    Device::new(
        address(&parts.headers, settings.trusted_proxies).or(peer),
        user_agent.as_deref(),
    )
}

/// What the outermost of `proxies` proxies says who asked it. Further to the left stands what the caller wrote.
fn address(headers: &HeaderMap, proxies: usize) -> Option<IpAddr> {
    let entries: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .flat_map(|header| header.to_str().unwrap_or_default().split(','))
        .map(str::trim)
        .collect();
    let entry = entries.get(entries.len().checked_sub(proxies)?)?;
    entry
        .parse()
        .ok()
        .or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// The cookie that makes a browser the guest `session`.
pub(crate) fn guest_cookie(session: Uuid, settings: &Settings) -> HeaderValue {
    set_cookie(&session.to_string(), COOKIE_SECONDS, settings)
}

/// The cookie that makes a browser forget it.
pub(crate) fn no_cookie(settings: &Settings) -> HeaderValue {
    set_cookie("", 0, settings)
}

fn set_cookie(value: &str, seconds: u32, settings: &Settings) -> HeaderValue {
    let secure = if settings.production { "; Secure" } else { "" };
    // Letters, digits and signs of ours only.
    HeaderValue::try_from(format!(
        "{COOKIE}={value}; HttpOnly; SameSite=Lax; Path=/; Max-Age={seconds}{secure}"
    ))
    .unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0192f0c1-0000-4000-8000-000000000001";

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn a_cookie_is_a_session_only_if_it_can_be_one() {
        for (text, found) in [
            (format!("sessionId={ID}"), true),
            (format!("a=b; sessionId={ID}; c=d"), true),
            (format!("sessionId=; sessionId={ID}"), true),
            (format!("sessionid={ID}"), false),
            (format!("xsessionId={ID}"), false),
            (format!("sessionId={}", ID.replace('-', "")), false),
            ("sessionId=' or 1=1".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(cookie(&headers(&[(header::COOKIE, &text)])).is_some(), found, "{text}");
        }
    }

    #[test]
    fn only_what_our_own_proxies_wrote_is_an_address() {
        let address = |proxies, list: &[&str]| {
            let pairs: Vec<_> = list.iter().map(|value| (FORWARDED_FOR, *value)).collect();
            address(&headers(&pairs), proxies).map(|address| address.to_string())
        };
        let some = |text: &str| Some(text.to_owned());
        // Whatever a caller writes, without a proxy it counts for nothing.
        assert_eq!(address(0, &["1.1.1.1, 2.2.2.2"]), None);
        assert_eq!(address(1, &["6.6.6.6, 2.2.2.2"]), some("2.2.2.2"));
        assert_eq!(address(2, &["6.6.6.6, 2.2.2.2, 3.3.3.3"]), some("2.2.2.2"));
        assert_eq!(address(2, &["6.6.6.6", "2.2.2.2,3.3.3.3"]), some("2.2.2.2"));
        assert_eq!(address(1, &["[2001:db8::1]:443"]), some("2001:db8::1"));
        assert_eq!(address(1, &["2001:db8::1"]), some("2001:db8::1"));
        assert_eq!(address(1, &["1.2.3.4:55"]), some("1.2.3.4"));
        assert_eq!(address(1, &["unknown"]), None);
        assert_eq!(address(3, &["1.1.1.1"]), None);
    }

    #[test]
    fn the_cookie_is_the_contracts() {
        let id: Uuid = ID.parse().unwrap();
        let development = Settings::default();
        let production = Settings {
            production: true,
            ..Settings::default()
        };
        assert_eq!(
            guest_cookie(id, &development),
            format!("sessionId={ID}; HttpOnly; SameSite=Lax; Path=/; Max-Age=86400")
        );
        assert_eq!(
            guest_cookie(id, &production),
            format!("sessionId={ID}; HttpOnly; SameSite=Lax; Path=/; Max-Age=86400; Secure")
        );
        assert_eq!(
            no_cookie(&development),
            "sessionId=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0"
        );
    }

    #[test]
    fn a_token_comes_with_its_scheme_whatever_the_case() {
        for (text, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(bearer(&headers(&[(header::AUTHORIZATION, text)])), token, "{text}");
        }
    }
}
