//! The console's stylesheet, and its script.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;
use lockstep_page::assets::Assets;
use lockstep_page::error::PageError;

static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let style = include_bytes!("../assets/console.css").as_slice();
    let script = include_bytes!("../assets/console.js").as_slice();
    Assets::new(
        "/admin/assets/",
        &[
            ("console.css", "text/css; charset=utf-8", style),
            ("console.js", "text/javascript; charset=utf-8", script),
        ],
    )
});

/// The address of the stylesheet.
pub(crate) fn style() -> &'static str {
    ASSETS.address("console.css")
}

/// The address of the script.
pub(crate) fn script() -> &'static str {
    ASSETS.address("console.js")
}

/// `GET /admin/assets/{file}`
pub(crate) async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Result<Response, PageError> {
    ASSETS.serve(&file, &headers)
}
