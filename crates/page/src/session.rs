//! The session of a reader: reads the cookies, sets new ones, and refreshes an expired access token.
//!
//! Pages with data of the reader are behind the layer [`arrive`]. It reads the access token from its cookie; only here
//! is an expired one replaced by means of the refresh token. Scripts cannot read either cookie, and other sites cannot
//! make a browser send them with a form (`SameSite`, and the CSRF check around all pages). The guest's cookie is that
//! of the API, so both show the same cart.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::Method;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use lockstep_auth::{AuthError, ClientInfo, cookies, guest_token};
use lockstep_domain::account::TokenPair;
use lockstep_domain::secret::Secret;
pub use lockstep_request::may_impersonate;
use lockstep_shop::{RequestContext, Shop, ShopError};

use crate::error::PageError;
use crate::visit::{Preferences, cookie};

/// What the session layer needs of the state of a router.
pub trait Site: Send + Sync + 'static {
    /// The shop's use cases.
    fn shop(&self) -> &Shop;
    /// Whether cookies are for HTTPS only.
    fn production(&self) -> bool;
    /// Number of trusted proxies in front of the server.
    fn trusted_proxies(&self) -> usize;
}

/// A cookie that only the pages use. In production its name begins with `__Host-`: browsers accept such a cookie only
/// from this host over HTTPS, so a subdomain cannot replace it.
#[derive(Clone, Copy)]
struct OwnCookie {
    plain: &'static str,
    host_only: &'static str,
}

impl OwnCookie {
    const fn name(self, production: bool) -> &'static str {
        if production { self.host_only } else { self.plain }
    }
}

/// Holds the access token of a signed-in user.
const ACCESS: OwnCookie = OwnCookie {
    plain: "access",
    host_only: "__Host-access",
};
/// Holds the refresh token.
const REFRESH: OwnCookie = OwnCookie {
    plain: "refresh",
    host_only: "__Host-refresh",
};

/// Holds the token of staff who act as a customer, beside their own.
const IMPERSONATION: OwnCookie = OwnCookie {
    plain: "impersonation",
    host_only: "__Host-impersonation",
};

/// In the extensions of a request that staff make as a customer: the token of that session.
#[derive(Debug, Clone)]
pub struct ActsAsCustomer(pub Secret);

/// The token of staff who act as a customer, as the browser sends it.
pub fn impersonation(headers: &HeaderMap, production: bool) -> Option<&str> {
    cookie(headers, IMPERSONATION.name(production)).filter(|token| !token.is_empty())
}

/// The cookie with the token of staff who act as a customer for so many seconds.
pub fn set_impersonation(token: &Secret, seconds: u32, production: bool) -> HeaderValue {
    cookies::set(IMPERSONATION.name(production), token.expose(), seconds, production)
}

/// The cookie that ends acting as a customer.
pub fn no_impersonation(production: bool) -> HeaderValue {
    cookies::clear(IMPERSONATION.name(production), production)
}

/// Lifetime of a refresh token in seconds.
const SIGNED_IN_SECONDS: u32 = 30 * 86_400;

/// The reader of a page: a signed-in user, a guest, or an anonymous visitor.
#[derive(Debug, Clone)]
pub struct PageUser {
    /// The principal and their data.
    pub context: RequestContext,
    /// Client address and user agent.
    pub device: ClientInfo,
}

/// The layer around pages with data of the reader.
pub async fn arrive<S: Site>(State(site): State<Arc<S>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let (reader, set) = match open(&*site, &parts).await {
        Ok(opened) => opened,
        Err(error) => return PageError::from(error).into_response(),
    };
    parts.extensions.insert(reader);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    for (name, cookie) in set {
        // A cookie that the page set itself takes precedence.
        let decided = response
            .headers()
            .get_all(header::SET_COOKIE)
            .iter()
            .any(|cookie| cookie.as_bytes().starts_with(format!("{name}=").as_bytes()));
        if !decided {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

type Cookies = Vec<(&'static str, HeaderValue)>;

async fn open<S: Site>(site: &S, parts: &Parts) -> Result<(PageUser, Cookies), ShopError> {
    let (headers, shop, production) = (&parts.headers, site.shop(), site.production());
    if let Some(ActsAsCustomer(token)) = parts.extensions.get() {
        // Their own session, and what they do as a guest, stay out of it.
        let context = shop.arrive(Some(token.expose()), None).await?;
        context.signed_in()?;
        let device = lockstep_request::client_info(parts, site.trusted_proxies(), None);
        return Ok((PageUser { context, device }, Vec::new()));
    }
    let guest = cookies::guest(headers);
    let mut set = Vec::new();
    let access = cookie(headers, ACCESS.name(production));
    let mut context = shop.arrive(access, guest).await?;
    if context.caller().is_none()
        && let Some(refresh) = cookie(headers, REFRESH.name(production))
    {
        match shop.auth().refresh(refresh).await {
            Ok(tokens) => {
                context = shop.arrive(Some(tokens.token.expose()), guest).await?;
                set = token_cookies(&tokens, production);
            }
            // The session was ended, here or elsewhere.
            Err(AuthError::NotSignedIn) => set = no_token_cookies(production),
            Err(error) => return Err(error.into()),
        }
    }
    let auth = shop.auth();
    context = context.with_newcomer(auth.newcomer(headers));
    // Only for reads: the response to a write sets the guest's session itself.
    if parts.method == Method::GET && context.needs_guest_token() {
        set.push((guest_token::COOKIE, auth.set_guest_token(production)));
    }
    if let Some(renewed) = context.renewed() {
        set.push((cookies::GUEST, cookies::set_guest(renewed, production)));
    }
    let visit = Preferences::of(&parts.uri, headers);
    if visit.language_in_address && context.caller().is_some() {
        context.reads_in(visit.language.speech()).await?;
    }
    let reader = PageUser {
        context,
        device: lockstep_request::client_info(parts, site.trusted_proxies(), Some(visit.language.speech())),
    };
    Ok((reader, set))
}

impl<S: Sync> FromRequestParts<S> for PageUser {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, PageError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!("{} is not behind the session layer", parts.uri.path());
            PageError::Internal
        })
    }
}

/// Adds the cookies of a user who has just signed in.
pub fn signed_in(mut response: Response, tokens: &TokenPair, production: bool) -> Response {
    for (_, cookie) in token_cookies(tokens, production) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Deletes the cookies of the session.
pub fn signed_out(mut response: Response, production: bool) -> Response {
    for (_, cookie) in no_token_cookies(production) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
        .headers_mut()
        .append(header::SET_COOKIE, cookies::clear(cookies::GUEST, production));
    response
}

fn token_cookies(tokens: &TokenPair, production: bool) -> Cookies {
    let cookie = |own: OwnCookie, token: &str| {
        let name = own.name(production);
        (name, cookies::set(name, token, SIGNED_IN_SECONDS, production))
    };
    vec![
        cookie(ACCESS, tokens.token.expose()),
        cookie(REFRESH, tokens.refresh_token.expose()),
    ]
}

fn no_token_cookies(production: bool) -> Cookies {
    [ACCESS, REFRESH]
        .map(|own| own.name(production))
        .map(|name| (name, cookies::clear(name, production)))
        .into()
}
