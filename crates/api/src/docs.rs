//! The API's description (OpenAPI), and a page to browse it that needs nothing from elsewhere.

use std::sync::OnceLock;

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::error::ApiError;
use crate::{
    account, admin, admin_money, auth, cart, games, health, money, orders, stock_alerts, test_payment, user, webhook,
    wishlist,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Lockstep",
        description = "Success is `{\"success\": true, \"data\": ...}`; failure is `{\"success\": false, \"error\": {\"message\", \"code\", \"requestId\"}}` with a 4xx or 5xx status. Money is a number in euro, dates are ISO 8601 in UTC.",
        license(name = "MIT OR Apache-2.0")
    ),
    tags((name = "games", description = "The catalogue"), (name = "webhooks", description = "Signed events from outside"), (name = "service", description = "How the service is")),
    paths(
        games::list,
        games::search,
        games::autocomplete,
        games::best_sellers,
        games::new_in_catalog,
        games::preorders,
        games::new,
        games::by_genre,
        games::random,
        games::genres,
        games::platforms,
        games::filter_options,
        games::collections,
        games::by_slug,
        games::by_id,
        games::similar,
        webhook::g2a,
        health::health,
        health::health_at_root,
        health::healthz,
        health::readyz,
        health::metrics,
        document,
    )
)]
struct Description;

/// The API's description, as `/api/openapi.json` serves it.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut description = Description::openapi();
    for more in [
        auth::Description::openapi(),
        cart::Description::openapi(),
        wishlist::Description::openapi(),
        user::Description::openapi(),
        stock_alerts::Description::openapi(),
        account::Description::openapi(),
        orders::Description::openapi(),
        money::Description::openapi(),
        test_payment::Description::openapi(),
        admin::description(),
        admin_money::Description::openapi(),
    ] {
        description.merge(more);
    }
    description
}

/// This description.
#[utoipa::path(get, path = "/api/openapi.json", tag = "service", responses((status = 200, description = "OpenAPI 3.1")))]
pub(crate) async fn document() -> Result<Response, ApiError> {
    static DOCUMENT: OnceLock<Option<Bytes>> = OnceLock::new();
    let document = DOCUMENT
        .get_or_init(|| openapi().to_json().ok().map(Bytes::from))
        .clone()
        .ok_or(ApiError::Bug(None))?;
    let mut response = document.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The page under `/api/docs`, with all its parts in the binary.
pub(crate) fn swagger_ui() -> SwaggerUi {
    SwaggerUi::new("/api/docs").config(Config::from("/api/openapi.json"))
}

/// The page brings its own script and styles, which answers may not do otherwise.
pub(crate) async fn let_the_page_run(mut response: Response) -> Response {
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
        ),
    );
    response
}
