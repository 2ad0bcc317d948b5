//! Files that pages refer to, embedded in the binary.
//!
//! Each file name contains a digest of the contents, so browsers cache it without expiry; its gzip form is made once.

use std::io::Write as _;

use axum::http::header::{self, HeaderMap};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::error::PageError;

/// Cached without expiry, because the file name changes with the contents.
pub const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// An embedded file.
#[derive(Debug)]
struct Asset {
    name: &'static str,
    /// `/assets/site.0123456789abcdef.css`
    address: String,
    kind: HeaderValue,
    body: Bytes,
    gzip: Option<Bytes>,
}

/// The embedded files of a crate of pages.
#[derive(Debug)]
pub struct Assets {
    folder: &'static str,
    files: Vec<Asset>,
}

impl Assets {
    /// `files` are name, type and contents of each; they are served below `folder`, which ends with a slash.
    pub fn new(folder: &'static str, files: &[(&'static str, &'static str, &'static [u8])]) -> Self {
        let files = files
            .iter()
            .map(|&(name, kind, body)| {
                let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
                Asset {
                    name,
                    address: format!("{folder}{stem}.{:016x}.{extension}", digest(body)),
                    kind: HeaderValue::from_static(kind),
                    body: Bytes::from_static(body),
                    gzip: compressed(body),
                }
            })
            .collect();
        Self { folder, files }
    }

    /// The address of a file. A test finds templates that name a missing one.
    pub fn address(&self, name: &str) -> &str {
        self.files
            .iter()
            .find(|asset| asset.name == name)
            .map_or("/assets/none", |asset| asset.address.as_str())
    }

    /// The file with this name, digest included.
    ///
    /// # Errors
    /// [`PageError::NotFound`].
    pub fn serve(&self, file: &str, headers: &HeaderMap) -> Result<Response, PageError> {
        let asset = self
            .files
            .iter()
            .find(|asset| asset.address.strip_prefix(self.folder) == Some(file))
            .ok_or(PageError::NotFound)?;
        let packed = if lockstep_request::takes_gzip(headers) {
            asset.gzip.clone()
        } else {
            None
        };
        let mut response = (StatusCode::OK, packed.clone().unwrap_or_else(|| asset.body.clone())).into_response();
        let answered = response.headers_mut();
        answered.insert(header::CONTENT_TYPE, asset.kind.clone());
        answered.insert(header::CACHE_CONTROL, FOR_EVER);
        answered.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if packed.is_some() {
            answered.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(response)
    }
}

/// Compresses `body` with gzip; `None` if that is not smaller.
pub fn compressed(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 3), Compression::new(6));
    encoder.write_all(body).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < body.len()).then(|| packed.into())
}

/// FNV-1a: distinguishes versions of a file; not cryptographic.
fn digest(body: &[u8]) -> u64 {
    body.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
