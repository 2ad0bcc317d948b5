//! A front-end of the operator's own: a built single-page application, whose files come before the shop's pages.
//!
//! It takes the place of the pages for browsing and buying, and gets every address that the shop does not know. What
//! e-mails and payments lead to stays the shop's: its links work whatever routes the front-end has.

use std::path::Path;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tower_http::services::{ServeDir, ServeFile};

use crate::error::PageError;

/// Pages whose addresses belong to the front-end.
const REPLACED: [&str; 10] = [
    "/",
    "/games",
    "/game/{slug}",
    "/preorders",
    "/help",
    "/cart",
    "/checkout",
    "/wishlist",
    "/login",
    "/register",
];

/// Folders in which build tools put files whose names change with their content.
const HASHED: [&str; 2] = ["/assets/", "/static/"];

/// Scripts, styles and pictures are the front-end's own affair: it may bring a stricter policy in its page.
const POLICY: HeaderValue = HeaderValue::from_static("object-src 'none'; base-uri 'self'; frame-ancestors 'none'");

/// Asked for again each time, and answered with 304 while it is the same: a new build counts at once.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// A folder with a built front-end.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    files: ServeDir,
    index: ServeFile,
}

impl Front {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            files: ServeDir::new(folder).append_index_html_on_directories(false),
            index: ServeFile::new(folder.join("index.html")),
        }
    }

    /// The file at the address of `request`, if there is one.
    async fn file(&self, request: Request<Body>) -> Option<Response> {
        if is_hidden(request.uri().path()) {
            return None;
        }
        let lifetime = lifetime(request.uri());
        let answer = self.files.clone().try_call(request).await;
        // A name that the file system refuses is no file.
        let mut answer = answer.ok()?.map(Body::new);
        if answer.status() == StatusCode::NOT_FOUND || answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            return None;
        }
        answer.headers_mut().insert(header::CACHE_CONTROL, lifetime);
        Some(answer)
    }

    /// The one page of the front-end.
    async fn page(&self, request: Request<Body>) -> Response {
        let answer = self.index.clone().try_call(request).await;
        let Ok(answer) =
            answer.inspect_err(|error| tracing::error!(%error, "the front-end's index.html cannot be read"))
        else {
            return PageError::Internal.into_response();
        };
        let mut answer = answer.map(Body::new);
        answer.headers_mut().insert(header::CACHE_CONTROL, ASK_AGAIN);
        answer
    }
}

/// Serves what belongs to the front-end, if there is one; everything else is the shop's.
pub(crate) async fn serve(State(front): State<Option<Front>>, request: Request, next: Next) -> Response {
    let Some(front) = front.filter(|_| matches!(*request.method(), Method::GET | Method::HEAD)) else {
        return next.run(request).await;
    };
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        return next.run(request).await;
    }
    let (same, again) = (like(&request), like(&request));
    let mut answer = match front.file(same).await {
        Some(file) => file,
        None if is_page_of_front(&request) => front.page(again).await,
        None => return next.run(request).await,
    };
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    answer
}

/// A request for the same address without a body.
fn like(request: &Request) -> Request<Body> {
    let mut alike = Request::new(Body::empty());
    *alike.method_mut() = request.method().clone();
    *alike.uri_mut() = request.uri().clone();
    *alike.headers_mut() = request.headers().clone();
    alike
}

/// Whether the address is one of the front-end's routes.
fn is_page_of_front(request: &Request) -> bool {
    let Some(route) = request.extensions().get::<MatchedPath>() else {
        // A missing script must not be answered with a page.
        let path = request.uri().path();
        return !is_hidden(path) && !last_segment(path).contains('.');
    };
    // The shop's own pages lead to its log-in with the address that comes next.
    let leads_on = request.uri().query().is_some_and(|query| {
        form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "next" || name == "done")
    });
    REPLACED.contains(&route.as_str()) && !(leads_on && matches!(route.as_str(), "/login" | "/register"))
}

/// Whether a part of the path begins with a dot, which files for tools and secrets do. `.well-known` is for everybody.
fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| {
        let part = part.to_ascii_lowercase();
        (part.starts_with('.') || part.starts_with("%2e")) && part != ".well-known"
    })
}

fn lifetime(uri: &Uri) -> HeaderValue {
    let (path, name) = (uri.path(), last_segment(uri.path()));
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let mark = stem.rsplit(['-', '.']).next().unwrap_or_default();
    let is_hashed = mark.len() >= 8
        && mark.len() < stem.len()
        && mark.chars().any(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
    if is_hashed && HASHED.iter().any(|folder| path.starts_with(folder)) {
        FOR_EVER
    } else {
        ASK_AGAIN
    }
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
