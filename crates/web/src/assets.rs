//! Files that pages refer to, embedded in the binary: one stylesheet, a few modules, icons.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{self, HeaderMap};
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use lockstep_page::assets::Assets;
pub(crate) use lockstep_page::assets::FOR_EVER;

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

static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets::new("/assets/", FILES));

/// The address of a file in `assets/`. A test finds templates that name a missing file.
pub(crate) fn address(name: &str) -> &'static str {
    ASSETS.address(name)
}

/// `GET /assets/{file}`
pub(crate) async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Result<Response, PageError> {
    ASSETS.serve(&file, &headers)
}
