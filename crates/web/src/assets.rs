//! Files that pages refer to, from the binary.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

const STYLESHEET: &str = include_str!("../assets/site.css");
const ICON: &str = include_str!("../assets/icon.svg");

/// Address of the stylesheet; it changes with its contents, so it may be kept for ever.
pub(crate) static STYLESHEET_ADDRESS: LazyLock<String> =
    LazyLock::new(|| format!("/assets/site.{:016x}.css", digest(STYLESHEET)));

/// `GET /assets/{file}`
pub(crate) async fn asset(Path(file): Path<String>) -> Response {
    let (body, kind, keep) = match file.as_str() {
        "icon.svg" => (ICON, "image/svg+xml", "public, max-age=86400"),
        _ if STYLESHEET_ADDRESS.ends_with(&format!("/{file}")) => (
            STYLESHEET,
            "text/css; charset=utf-8",
            "public, max-age=31536000, immutable",
        ),
        _ => return (StatusCode::NOT_FOUND, "no such file").into_response(),
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)], body).into_response()
}

/// FNV-1a: tells versions of a file apart, nothing more.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
