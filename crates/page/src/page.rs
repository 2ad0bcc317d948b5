//! Responses of pages: fresh ones, and rendered ones that are cached and served without another rendering.
//!
//! A page without personal data is rendered once and kept with a fingerprint of its inputs: the validators of the
//! cached answers in it, and the variable parts of its layout. It is served while the fingerprint is unchanged, so a
//! cached page is never older than the answers, whose freshness `lockstep_cache` checks on every request.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Arc, OnceLock};

use askama::Template;
use axum::body::Body;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{Html, IntoResponse as _, Response};
use bytes::Bytes;

use crate::assets::compressed;
use crate::error::PageError;
use crate::visit::Preferences;

/// Maximum size of all cached pages in bytes.
const SHELF_BYTES: u64 = 32 * 1024 * 1024;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// Browsers may keep a page but must revalidate it: prices change at any time.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
const VARY: HeaderValue = HeaderValue::from_static("accept-encoding, accept-language, cookie");

/// A page with personal data, or the result of a form: not stored by shared caches.
pub fn fresh(status: StatusCode, html: String) -> Response {
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"))];
    (status, headers, Html(html)).into_response()
}

/// A page of an account, or one with a form for secrets: not stored even by the browser, and not compressed, because
/// its compressed length would reveal part of its contents.
pub fn secret(status: StatusCode, html: String) -> Response {
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, headers, Html(html)).into_response()
}

/// Adds `Referrer-Policy: no-referrer`, because the address contains a token or a code.
pub fn without_referrer(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A page with personal data.
///
/// # Errors
/// [`PageError::Internal`] if the template fails.
pub fn private(template: &impl Template) -> Result<Response, PageError> {
    Ok(fresh(StatusCode::OK, template.render()?))
}

/// A rendered page.
#[derive(Debug)]
pub struct Finished {
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

    /// Builds the response: 304 if the browser has this version, gzip if the browser accepts it.
    pub fn serve(&self, visit: &Preferences) -> Response {
        let mut response = if visit.has(&self.etag) {
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

/// Whether a response may be compressed. A page with a key or a token (`no-store`) may not: it also contains what the
/// reader typed, and its compressed length would reveal how similar the two are (BREACH). An export of the reader's
/// data repeats no input, so it may.
pub fn holds_no_secret(_status: StatusCode, _version: Version, headers: &HeaderMap, _more: &Extensions) -> bool {
    let says = |name, what: &[u8]| {
        let value = headers.get(name);
        value.is_some_and(|value: &HeaderValue| value.as_bytes().starts_with(what))
    };
    !(says(header::CACHE_CONTROL, b"no-store") && says(header::CONTENT_TYPE, b"text/html"))
}

/// The rendered pages in memory.
#[derive(Debug, Clone)]
pub struct PageCache(moka::sync::Cache<String, Arc<Finished>>);

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
    /// Returns the page called `name` if its fingerprint is unchanged; otherwise renders it with `make` and stores it.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get(
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

    /// The page called `name` as it was last rendered, for what is better old than missing.
    pub fn last(&self, name: &str) -> Option<Arc<Finished>> {
        self.0.get(name)
    }
}

/// Combines all inputs of a page into one number.
pub fn fingerprint(parts: &[&dyn Part]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in parts {
        part.add(&mut hasher);
    }
    hasher.finish()
}

/// An input of a page.
pub trait Part {
    /// Adds it to the fingerprint.
    fn add(&self, hasher: &mut DefaultHasher);
}

impl<T: Hash> Part for T {
    fn add(&self, hasher: &mut DefaultHasher) {
        self.hash(hasher);
    }
}
