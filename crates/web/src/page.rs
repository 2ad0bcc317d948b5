//! Pages on their way out: fresh ones, and finished ones that are kept on a shelf and served as they are.
//!
//! A page that shows nothing personal is made once and kept with a fingerprint of everything it was made from: the
//! validators of the cached answers in it and what stands in its layout. It is served while the fingerprint is the same,
//! so a shelved page is never older than the answers, whose truth `lockstep_cache` proves on every request.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Arc, OnceLock};

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use bytes::Bytes;

use crate::assets::compressed;
use crate::error::PageError;
use crate::visit::Preferences;

/// How much memory finished pages may take.
const SHELF_BYTES: u64 = 32 * 1024 * 1024;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// Browsers may keep a page, but ask whether it is still true: prices change at any time.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
const VARY: HeaderValue = HeaderValue::from_static("accept-encoding, accept-language, cookie");

/// A page that shows something personal or came of a form: never kept by anybody in between.
pub(crate) fn fresh(status: StatusCode, html: String) -> Response {
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"))];
    (status, headers, Html(html)).into_response()
}

/// A page of an account, or with a form for secrets: not even the browser keeps it, and it is not compressed (its length
/// would tell something of what it holds).
pub(crate) fn secret(status: StatusCode, html: String) -> Response {
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, headers, Html(html)).into_response()
}

/// The same answer, telling nobody where a reader comes from: its address holds a token or a code.
pub(crate) fn without_referrer(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A page that shows something personal.
pub(crate) fn private(template: &impl Template) -> Result<Response, PageError> {
    Ok(fresh(StatusCode::OK, template.render()?))
}

/// A finished page.
#[derive(Debug)]
pub(crate) struct Finished {
    made_of: u64,
    body: Bytes,
    gzip: OnceLock<Option<Bytes>>,
    etag: HeaderValue,
}

impl Finished {
    fn new(made_of: u64, html: String) -> Self {
        let mut hasher = DefaultHasher::new();
        html.hash(&mut hasher);
        let etag = format!("W/\"{:016x}{:08x}\"", hasher.finish(), html.len());
        Self {
            made_of,
            body: html.into(),
            gzip: OnceLock::new(),
            etag: HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("W/\"\"")),
        }
    }

    fn weight(&self) -> u32 {
        u32::try_from(self.body.len() + self.body.len() / 4 + 256).unwrap_or(u32::MAX)
    }

    /// The page as an answer: nothing but a header if the browser has it, compressed if the browser takes that.
    pub(crate) fn serve(&self, visit: &Preferences) -> Response {
        let unchanged = visit.if_none_match.as_ref().is_some_and(|held| {
            held.to_str()
                .is_ok_and(|held| held.split(',').any(|one| one.trim() == self.etag || one.trim() == "*"))
        });
        let mut response = if unchanged {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let packed = if visit.gzip {
                self.gzip.get_or_init(|| compressed(&self.body)).clone()
            } else {
                None
            };
            let is_packed = packed.is_some();
            let mut response = Response::new(Body::from(packed.unwrap_or_else(|| self.body.clone())));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HTML);
            if is_packed {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::CACHE_CONTROL, ASK_AGAIN);
        headers.insert(header::VARY, VARY);
        response
    }
}

/// Finished pages.
#[derive(Debug, Clone)]
pub(crate) struct PageCache(moka::sync::Cache<String, Arc<Finished>>);

impl Default for PageCache {
    fn default() -> Self {
        Self(
            moka::sync::Cache::builder()
                .max_capacity(SHELF_BYTES)
                .weigher(|_, page: &Arc<Finished>| page.weight())
                .build(),
        )
    }
}

impl PageCache {
    /// The page called `name` if it was made of the same as now, else what `make` makes.
    pub(crate) fn get(
        &self,
        name: String,
        made_of: u64,
        make: impl FnOnce() -> Result<String, PageError>,
    ) -> Result<Arc<Finished>, PageError> {
        if let Some(page) = self.0.get(&name)
            && page.made_of == made_of
        {
            return Ok(page);
        }
        let page = Arc::new(Finished::new(made_of, make()?));
        self.0.insert(name, Arc::clone(&page));
        Ok(page)
    }
}

/// One number for everything that a page is made of.
pub(crate) fn fingerprint(parts: &[&dyn Part]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in parts {
        part.add(&mut hasher);
    }
    hasher.finish()
}

/// Something that a page is made of.
pub(crate) trait Part {
    fn add(&self, hasher: &mut DefaultHasher);
}

impl<T: Hash> Part for T {
    fn add(&self, hasher: &mut DefaultHasher) {
        self.hash(hasher);
    }
}
