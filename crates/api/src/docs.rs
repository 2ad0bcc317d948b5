//! The OpenAPI document of the API, and a page to browse it that loads nothing from other hosts.

mod complete;

use std::sync::OnceLock;

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use lockstep_domain::catalogue::{PricePreset, Sort};
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::error::{ApiError, Envelope as Failure};
use crate::{
    account, admin, auth, cart, content, games, health, money, orders, receipts, stock_alerts, user, webhook, wishlist,
    withdrawals,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Lockstep",
        contact(name = "Shop operator"),
        description = "Successful responses are `{\"success\": true, \"data\": ...}`; failures are `{\"success\": false, \"error\": {\"message\", \"code\", \"requestId\"}}` with a 4xx or 5xx status. Amounts of money are numbers in EUR; times are ISO 8601 in UTC.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers((url = "/", description = "This shop")),
    components(schemas(Failure, Sort, PricePreset)),
    tags((name = "games", description = "The catalogue"), (name = "webhooks", description = "Signed events of external systems"), (name = "service", description = "Health checks, metrics and this document")),
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

/// Returns the OpenAPI document that `/api/openapi.json` serves.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let [first, others @ ..] = parts();
    let whole = others.into_iter().fold(first, utoipa::openapi::OpenApi::merge_from);
    complete::complete(whole)
}

/// The OpenAPI documents of the API's parts, to be merged.
fn parts() -> [utoipa::openapi::OpenApi; 13] {
    [
        Description::openapi(),
        auth::Description::openapi(),
        cart::Description::openapi(),
        wishlist::Description::openapi(),
        user::Description::openapi(),
        stock_alerts::Description::openapi(),
        account::Description::openapi(),
        orders::Description::openapi(),
        receipts::Description::openapi(),
        money::Description::openapi(),
        content::Description::openapi(),
        withdrawals::Description::openapi(),
        admin::description(),
    ]
}

/// Returns this OpenAPI document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "service", operation_id = "getDescription", responses((status = 200, description = "The OpenAPI 3.1 document", body = Object)))]
pub(crate) async fn document() -> Result<Response, ApiError> {
    static DOCUMENT: OnceLock<Option<Bytes>> = OnceLock::new();
    serve(
        DOCUMENT
            .get_or_init(|| openapi().to_json().ok().map(Bytes::from))
            .as_ref(),
    )
}

fn serve(document: Option<&Bytes>) -> Result<Response, ApiError> {
    let mut response = document.cloned().ok_or(ApiError::Bug(None))?.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The Swagger UI under `/api/docs`, with all its assets in the binary.
pub(crate) fn swagger_ui() -> SwaggerUi {
    SwaggerUi::new("/api/docs").config(Config::from("/api/openapi.json"))
}

/// Relaxes the Content-Security-Policy for this page, which ships its own script and styles.
pub(crate) async fn let_the_page_run(mut response: Response) -> Response {
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
        ),
    );
    response
}

#[cfg(test)]
mod tests;
