//! Who reads a page: a signed-in user, or somebody who has to sign in first; and the cookies that pages set.
//!
//! The session itself is [`lockstep_page::session`].

use axum::extract::FromRequestParts;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use lockstep_auth::{ClientInfo, CurrentUser, cookies};
use lockstep_domain::account::TokenPair;
use lockstep_domain::cart::CartOwner;
use lockstep_page::session;
pub(crate) use lockstep_page::session::{PageUser, arrive};
use lockstep_shop::{RequestContext, Shop, Writer};

use crate::error::PageError;
use crate::forms;
use crate::visit::{cookie, text_of};
use crate::{Settings, WebState};

impl session::Site for WebState {
    fn shop(&self) -> &Shop {
        &self.shop
    }

    fn production(&self) -> bool {
        self.settings.production
    }

    fn trusted_proxies(&self) -> usize {
        self.settings.trusted_proxies
    }
}

/// Holds the promo code applied in the checkout while the reader visits the payment page or the cart.
const PROMO: &str = "promo";

/// Lifetime of the promo code cookie in seconds.
const PROMO_SECONDS: u32 = 86_400;
/// A signed-in user. As an extractor, it redirects everyone else to the log-in, which leads back.
#[derive(Debug, Clone)]
pub(crate) struct SignedInUser {
    pub(crate) caller: CurrentUser,
    pub(crate) context: RequestContext,
    pub(crate) device: ClientInfo,
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
pub(crate) fn signed_in(response: Response, tokens: &TokenPair, settings: &Settings) -> Response {
    session::signed_in(response, tokens, settings.production)
}

/// Deletes the cookies of the session.
pub(crate) fn signed_out(response: Response, settings: &Settings) -> Response {
    let mut response = session::signed_out(response, settings.production);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(production: bool) -> Settings {
        Settings {
            production,
            shop_name: "Shop".into(),
            shop_name_is_set: false,
            operator: crate::Operator::default(),
            public_url: String::new(),
            sandbox: false,
            front: None,
            console: "/admin",
            trusted_proxies: 1,
            pictures: crate::PictureSettings {
                folder: std::path::PathBuf::new(),
                most_bytes: 0,
                trusts_private_addresses: false,
            },
            feeds: crate::FeedSettings {
                folder: std::path::PathBuf::new(),
                secret: None,
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
