//! The session of a reader: reads the cookies, sets new ones, and refreshes an expired access token.
//!
//! Pages with data of the reader are behind the layer [`arrive`]. It reads the access token from its cookie; only here
//! is an expired one replaced by means of the refresh token. Scripts cannot read either cookie, and other sites cannot
//! make a browser send them with a form (`SameSite`, and the CSRF check around all pages). The guest's cookie is that
//! of the API, so both show the same cart.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use lockstep_auth::{AuthError, ClientInfo, CurrentUser, cookies, guest_token};
use lockstep_domain::account::TokenPair;
use lockstep_domain::cart::CartOwner;
use lockstep_shop::{RequestContext, ShopError, Writer};

use crate::error::PageError;
use crate::forms;
use crate::visit::{Preferences, cookie, text_of};
use crate::{Settings, WebState};

/// A cookie that only the pages use. In production its name begins with `__Host-`: browsers accept such a cookie only
/// from this host over HTTPS, so a subdomain cannot replace it.
#[derive(Clone, Copy)]
struct OwnCookie {
    plain: &'static str,
    host_only: &'static str,
}

impl OwnCookie {
    fn name(self, settings: &Settings) -> &'static str {
        if settings.production {
            self.host_only
        } else {
            self.plain
        }
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

/// Holds the promo code applied in the checkout while the reader visits the payment page or the cart.
const PROMO: &str = "promo";

/// Lifetime of the promo code cookie in seconds.
const PROMO_SECONDS: u32 = 86_400;
/// Lifetime of a refresh token in seconds.
const SIGNED_IN_SECONDS: u32 = 30 * 86_400;

/// The reader of a page: a signed-in user, a guest, or an anonymous visitor.
#[derive(Debug, Clone)]
pub(crate) struct PageUser {
    /// The principal and their data.
    pub(crate) context: RequestContext,
    /// Client address and user agent.
    pub(crate) device: ClientInfo,
}

/// A signed-in user. As an extractor, it redirects everyone else to the log-in, which leads back.
#[derive(Debug, Clone)]
pub(crate) struct SignedInUser {
    pub(crate) caller: CurrentUser,
    pub(crate) context: RequestContext,
    pub(crate) device: ClientInfo,
}

/// The layer around pages with data of the reader.
pub(crate) async fn arrive(State(state): State<Arc<WebState>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let (reader, set) = match open(&state, &parts).await {
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

async fn open(state: &WebState, parts: &Parts) -> Result<(PageUser, Cookies), ShopError> {
    let headers = &parts.headers;
    let guest = cookies::guest(headers);
    let mut set = Vec::new();
    let access = cookie(headers, ACCESS.name(&state.settings));
    let mut context = state.shop.arrive(access, guest).await?;
    if context.caller().is_none()
        && let Some(refresh) = cookie(headers, REFRESH.name(&state.settings))
    {
        match state.shop.auth().refresh(refresh).await {
            Ok(tokens) => {
                context = state.shop.arrive(Some(tokens.token.expose()), guest).await?;
                set = token_cookies(&tokens, &state.settings);
            }
            // The session was ended, here or elsewhere.
            Err(AuthError::NotSignedIn) => set = no_token_cookies(&state.settings),
            Err(error) => return Err(error.into()),
        }
    }
    let auth = state.shop.auth();
    context = context.with_newcomer(auth.newcomer(headers));
    // Only for reads: the response to a write sets the guest's session itself.
    if parts.method == Method::GET && context.needs_guest_token() {
        set.push((guest_token::COOKIE, auth.set_guest_token(state.settings.production)));
    }
    if let Some(renewed) = context.renewed() {
        set.push((cookies::GUEST, cookies::set_guest(renewed, state.settings.production)));
    }
    let visit = Preferences::of(&parts.uri, headers);
    if visit.language_in_address && context.caller().is_some() {
        context.reads_in(visit.language.speech()).await?;
    }
    let reader = PageUser {
        context,
        device: client_info(parts, &state.settings),
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

impl<S: Sync> FromRequestParts<S> for SignedInUser {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let PageUser { context, device } = PageUser::from_request_parts(parts, state)
            .await
            .map_err(PageError::into_response)?;
        match context.caller().cloned() {
            Some(caller) => Ok(Self {
                caller,
                context,
                device,
            }),
            None => Err(to_log_in(parts)),
        }
    }
}

/// Redirects to the log-in, which leads back to the page; for a form that was sent, to the form's page. The input is
/// not sent again.
fn to_log_in(parts: &Parts) -> Response {
    let page = page_of(parts.uri.path());
    // The query of the form's page may hold what it showed; browsers send it in the referrer, or leave it out.
    let shown = if parts.method == Method::GET {
        Some(parts.uri.clone())
    } else {
        let referer = text_of(&parts.headers, &header::REFERER).parse::<Uri>().ok();
        referer.filter(|uri| page_of(uri.path()) == page)
    };
    let back = match shown.as_ref().and_then(Uri::query) {
        Some(shown) => format!("{page}?{shown}"),
        None => page.to_owned(),
    };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("next", &back)
        .finish();
    forms::done(&format!("/login?{query}"))
}

/// Last path segments of addresses that only accept forms: the form's page is one level up.
const TAKES_FORMS: [&str; 10] = [
    "add",
    "again",
    "confirm",
    "end",
    "end-others",
    "no-picture",
    "picture",
    "remove",
    "set",
    "top-up",
];

/// The address of the page with the form that is sent to `path`.
pub(crate) fn page_of(path: &str) -> &str {
    match path.rsplit_once('/') {
        // Stock alerts are shown on the wishlist.
        Some(("/stock-alerts", "remove")) => "/wishlist",
        Some((page, last)) if TAKES_FORMS.contains(&last) => page,
        _ => path,
    }
}

/// Adds the cookies of a user who has just signed in.
pub(crate) fn signed_in(mut response: Response, tokens: &TokenPair, settings: &Settings) -> Response {
    for (_, cookie) in token_cookies(tokens, settings) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Deletes the cookies of the session.
pub(crate) fn signed_out(mut response: Response, settings: &Settings) -> Response {
    for (_, cookie) in no_token_cookies(settings) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
        .headers_mut()
        .append(header::SET_COOKIE, cookies::clear(cookies::GUEST, settings.production));
    response
        .headers_mut()
        .append(header::SET_COOKIE, promo_cookie("", settings));
    response
}

/// The promo code that this browser has applied and not used yet.
pub(crate) fn promo(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, PROMO).filter(|code| is_promo(code))
}

/// The cookie that stores an applied promo code; an empty or malformed code deletes it.
pub(crate) fn promo_cookie(code: &str, settings: &Settings) -> HeaderValue {
    let (code, seconds) = if is_promo(code) { (code, PROMO_SECONDS) } else { ("", 0) };
    cookies::set_below("/checkout", PROMO, code, seconds, settings.production)
}

/// Whether a text has the form of a promo code; both cases are accepted.
fn is_promo(code: &str) -> bool {
    (2..=40).contains(&code.len())
        && code
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Adds the guest's cookie to the response to a write that created the guest.
pub(crate) fn wrote(mut response: Response, writer: &Writer, settings: &Settings) -> Response {
    if let Writer {
        owner: CartOwner::Guest(guest),
        minted: true,
    } = writer
    {
        response
            .headers_mut()
            .append(header::SET_COOKIE, cookies::set_guest(guest.0, settings.production));
    }
    response
}

fn token_cookies(tokens: &TokenPair, settings: &Settings) -> Cookies {
    let cookie = |own: OwnCookie, token: &str| {
        let name = own.name(settings);
        (name, cookies::set(name, token, SIGNED_IN_SECONDS, settings.production))
    };
    vec![
        cookie(ACCESS, tokens.token.expose()),
        cookie(REFRESH, tokens.refresh_token.expose()),
    ]
}

fn no_token_cookies(settings: &Settings) -> Cookies {
    [ACCESS, REFRESH]
        .map(|own| own.name(settings))
        .map(|name| (name, cookies::clear(name, settings.production)))
        .into()
}

fn client_info(parts: &Parts, settings: &Settings) -> ClientInfo {
    let language = Preferences::of(&parts.uri, &parts.headers).language.speech();
    lockstep_request::client_info(parts, settings.trusted_proxies, Some(language))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(production: bool) -> Settings {
        Settings {
            production,
            shop_name: "Shop".into(),
            operator: crate::Operator::default(),
            public_url: String::new(),
            sandbox: false,
            trusted_proxies: 1,
            pictures: crate::PictureSettings {
                folder: std::path::PathBuf::new(),
                most_bytes: 0,
                trusts_private_addresses: false,
            },
        }
    }

    #[test]
    fn promo_cookies_hold_only_valid_codes_for_the_checkout() {
        assert_eq!(
            promo_cookie("GKEYS10", &settings(true)),
            "promo=GKEYS10; HttpOnly; SameSite=Lax; Path=/checkout; Max-Age=86400; Secure"
        );
        for wrong in [
            "",
            "X",
            "a; Domain=evil.example",
            "a\r\nset-cookie: x=y",
            "ß10",
            &"A".repeat(41),
        ] {
            assert_eq!(
                promo_cookie(wrong, &settings(false)),
                "promo=; HttpOnly; SameSite=Lax; Path=/checkout; Max-Age=0",
                "{wrong:?}"
            );
        }
        let sent = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static("a=b; promo=gkeys10"))]);
        assert_eq!(promo(&sent), Some("gkeys10"));
    }
}
