//! Where the console is: the one place that knows its path.
//!
//! All pages, links and redirects are written for `/admin`. In a shop whose front-end has pages of its own there, the
//! console answers under another path: the path of a request is translated on the way in, and the addresses of its
//! answer on the way out.

use std::borrow::Cow;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use lockstep_page::error::PageError;

/// The path that pages are written for.
const HOME: &str = "/admin";

/// The attributes of a page that hold addresses, as templates write them.
const ADDRESSES: [&str; 5] = [" href=\"", " action=\"", " formaction=\"", " src=\"", " data-live=\""];

/// The path of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConsolePath {
    /// `/admin`.
    #[default]
    Admin,
    /// `/console`: what is below `/admin` belongs to a front-end.
    Console,
}

impl ConsolePath {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Admin, Self::Console];

    /// The path, without a slash at its end.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => HOME,
            Self::Console => "/console",
        }
    }

    /// An address of the console, written for `/admin`, under this path; every other address as it is.
    pub(crate) fn of(self, address: &str) -> Cow<'_, str> {
        match address.strip_prefix(HOME) {
            Some(rest) if self != Self::Admin && is_end(rest) => Cow::Owned(format!("{}{rest}", self.as_str())),
            _ => Cow::Borrowed(address),
        }
    }

    /// A page with the addresses of the console under this path.
    pub(crate) fn in_page(self, page: String) -> String {
        if self == Self::Admin {
            return page;
        }
        let mut made = String::with_capacity(page.len() + 1024);
        let mut parts = page.split(HOME);
        let mut before = parts.next().unwrap_or_default();
        made.push_str(before);
        for part in parts {
            // What people have entered holds no quotation mark: pages escape it.
            let is_address = ADDRESSES.iter().any(|name| before.ends_with(name)) && is_end(part);
            made.push_str(if is_address { self.as_str() } else { HOME });
            made.push_str(part);
            before = part;
        }
        made
    }

    /// Lets `router`, whose routes are under this path, get requests as if they were sent below `/admin`.
    pub(crate) fn around(self, router: Router) -> Router {
        match self {
            Self::Admin => router,
            Self::Console => router.layer(middleware::from_fn_with_state(self, inward)),
        }
    }
}

/// Whether an address may go on with `rest` behind the path of the console.
fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['/', '?', '#', '"'])
}

async fn inward(State(path): State<ConsolePath>, mut request: Request, next: Next) -> Response {
    let Some(inner) = inner(path, request.uri()) else {
        return PageError::NotFound.into_response();
    };
    *request.uri_mut() = inner;
    next.run(request).await
}

/// The address below `/admin` that stands for `address`, on the same host.
fn inner(path: ConsolePath, address: &Uri) -> Option<Uri> {
    let rest = address.path_and_query()?.as_str().strip_prefix(path.as_str())?;
    let mut parts = address.clone().into_parts();
    parts.path_and_query = Some(format!("{HOME}{rest}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Translates the addresses of an answer.
pub(crate) async fn outward(State(path): State<ConsolePath>, request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    if path == ConsolePath::Admin {
        return answer;
    }
    let headers = answer.headers_mut();
    let location = headers.get(header::LOCATION).and_then(|address| address.to_str().ok());
    if let Some(moved) = location.and_then(|address| HeaderValue::try_from(path.of(address).as_ref()).ok()) {
        headers.insert(header::LOCATION, moved);
    }
    if !is_page(answer.headers()) {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    // Pages are whole when they get here: nothing is read but memory.
    let page = axum::body::to_bytes(body, usize::MAX).await;
    let Some(page) = page.ok().and_then(|page| String::from_utf8(page.into()).ok()) else {
        return PageError::Internal.into_response();
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(path.in_page(page)))
}

fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_console_move() {
        let moved = ConsolePath::Console;
        for (address, under) in [
            ("/admin", "/console"),
            ("/admin/orders?page=2", "/console/orders?page=2"),
            ("/admin?done=x", "/console?done=x"),
            ("/administrators", "/administrators"),
            ("/login?next=%2Fadmin", "/login?next=%2Fadmin"),
            ("/", "/"),
        ] {
            assert_eq!(moved.of(address), under);
            assert_eq!(ConsolePath::Admin.of(address), address);
        }
    }

    #[test]
    fn a_request_keeps_its_host_and_query() {
        let inner = |address: &str| inner(ConsolePath::Console, &address.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(inner("/console/orders?page=2").as_deref(), Some("/admin/orders?page=2"));
        assert_eq!(
            inner("https://shop.example/console?lang=de").as_deref(),
            Some("https://shop.example/admin?lang=de")
        );
        assert_eq!(inner("/admin/orders"), None);
    }

    #[test]
    fn texts_stay_as_they_are_in_a_page() {
        let page = "<a href=\"/admin\">/admin/orders</a><form action=\"/admin/x\"><input value=\"/admin/y\">\
                    <p>href=&#34;/admin</p><a href=\"/administration\"></a><a href=\"/api/admin/games\"></a><img src=\"/admin/assets/a\">\
                    <main data-live=\"/admin/live/today\">";
        let moved = "<a href=\"/console\">/admin/orders</a><form action=\"/console/x\"><input value=\"/admin/y\">\
                    <p>href=&#34;/admin</p><a href=\"/administration\"></a><a href=\"/api/admin/games\"></a><img src=\"/console/assets/a\">\
                    <main data-live=\"/console/live/today\">";
        assert_eq!(ConsolePath::Console.in_page(page.to_owned()), moved);
        assert_eq!(ConsolePath::Admin.in_page(page.to_owned()), page);
    }
}
