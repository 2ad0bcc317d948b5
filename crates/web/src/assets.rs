//! Files that pages refer to, embedded in the binary: one stylesheet, a few modules, icons.
//!
//! Each file name contains a digest of the contents, so browsers cache it without expiry; its gzip form is made once.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{self, HeaderMap};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::error::PageError;

/// Name, type and contents of every file.
macro_rules! files {
    ($($name:literal: $kind:literal),+ $(,)?) => {
        &[$(($name, $kind, include_bytes!(concat!("../assets/", $name)).as_slice())),+]
    };
}

const FILES: &[(&str, &str, &[u8])] = files! {
    "site.css": "text/css; charset=utf-8",
    "site.js": "text/javascript; charset=utf-8",
    "catalogue.js": "text/javascript; charset=utf-8",
    "game.js": "text/javascript; charset=utf-8",
    "recent.js": "text/javascript; charset=utf-8",
    "cart.js": "text/javascript; charset=utf-8",
    "order.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
};

/// Icons that browsers request at fixed addresses, whether or not a page names them.
const ICONS: [(&str, &str, &[u8]); 2] = [
    ("/favicon.ico", "image/x-icon", include_bytes!("../assets/favicon.ico")),
    (
        "/apple-touch-icon.png",
        "image/png",
        include_bytes!("../assets/apple-touch-icon.png"),
    ),
];

/// `GET /favicon.ico`, `GET /apple-touch-icon.png`
pub(crate) async fn icon(address: Uri) -> Result<Response, PageError> {
    let known = ICONS.iter().find(|(known, _, _)| *known == address.path());
    let &(_, kind, body) = known.ok_or(PageError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400")),
    ];
    Ok((headers, body).into_response())
}

/// Cached without expiry, because the file name changes with the contents.
pub(crate) const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

struct Asset {
    name: &'static str,
    /// `/assets/site.0123456789abcdef.css`
    address: String,
    kind: HeaderValue,
    body: Bytes,
    gzip: Option<Bytes>,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    FILES
        .iter()
        .map(|&(name, kind, body)| {
            let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
            Asset {
                name,
                address: format!("/assets/{stem}.{:016x}.{extension}", digest(body)),
                kind: HeaderValue::from_static(kind),
                body: Bytes::from_static(body),
                gzip: compressed(body),
            }
        })
        .collect()
});

/// The address of a file in `assets/`. A test finds templates that name a missing file.
pub(crate) fn address(name: &str) -> &'static str {
    ASSETS
        .iter()
        .find(|asset| asset.name == name)
        .map_or("/assets/none", |asset| asset.address.as_str())
}

/// `GET /assets/{file}`
pub(crate) async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Result<Response, PageError> {
    let asset = ASSETS
        .iter()
        .find(|asset| asset.address.strip_prefix("/assets/") == Some(file.as_str()))
        .ok_or(PageError::NotFound)?;
    let packed = if lockstep_request::takes_gzip(&headers) {
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

/// Compresses `body` with gzip; `None` if that is not smaller.
pub(crate) fn compressed(body: &[u8]) -> Option<Bytes> {
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
