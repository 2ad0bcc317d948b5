//! The page of the built-in payment provider, on which a demonstration pays or declines. With any other provider there is
//! no such page.

use std::sync::Arc;

use axum::body::Body as HttpBody;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use http::StatusCode;
use http::header::{self, HeaderValue};
use lockstep_shop::{Decision, TestPage};
use utoipa::{OpenApi, ToSchema};

use crate::answer::Answered;
use crate::body::RawBody;
use crate::error::ApiError;
use crate::{Api, ApiState};

#[derive(OpenApi)]
#[openapi(paths(show, decide))]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![("/api/payment/test/{reference}", get(show).post(decide))]
}

/// What the page's form sends.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `decide` reads")]
struct Decided {
    #[schema(inline)]
    decision: Choice,
}

/// One of its buttons.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what `decide` reads")]
enum Choice {
    Pay,
    Decline,
}

/// The page to pay or decline a top-up of a demonstration.
#[utoipa::path(get, path = "/api/payment/test/{reference}", tag = "money", operation_id = "getTestPayment",
    params(("reference" = String, Path, description = "From `redirectUrl`")),
    responses((status = 200, description = "A page", body = String, content_type = "text/html"), (status = 404, description = "There is none")))]
pub(crate) async fn show(State(api): Api, Path(reference): Path<String>) -> Answered {
    let page = api.shop.payments().test_page(&reference).await?;
    Ok(render(&page.ok_or(ApiError::NotFound("Payment"))?))
}

/// Pays or declines, and goes back to the shop.
#[utoipa::path(post, path = "/api/payment/test/{reference}", tag = "money", operation_id = "decideTestPayment",
    request_body(content = Decided, content_type = "application/x-www-form-urlencoded"),
    params(("reference" = String, Path, description = "From `redirectUrl`")),
    responses((status = 303, description = "Back to the shop"), (status = 400, description = "Neither paid nor declined"),
    (status = 404, description = "There is none")))]
pub(crate) async fn decide(State(api): Api, Path(reference): Path<String>, RawBody(body): RawBody) -> Answered {
    let decision = match &body[..] {
        b"decision=pay" => Decision::Pay,
        b"decision=decline" => Decision::Decline,
        _ => return Err(ApiError::invalid("decision", "must be pay or decline")),
    };
    let page = api.shop.payments().decide(&reference, decision).await?;
    let page = page.ok_or(ApiError::NotFound("Payment"))?;
    let mut response = Response::new(HttpBody::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let address = HeaderValue::try_from(page.return_url).map_err(|_| ApiError::Bug(None))?;
    response.headers_mut().insert(header::LOCATION, address);
    Ok(response)
}

fn render(page: &TestPage) -> Response {
    // An amount consists of digits and a point; the address is the operator's own, and is escaped all the same.
    let back = escape(&page.return_url);
    let body = if page.is_open {
        format!(
            "<p>This is the built-in payment provider for demonstrations. <strong>No money moves.</strong></p>\
             <p class=\"amount\">{} EUR</p>\
             <form method=\"post\"><button name=\"decision\" value=\"pay\" class=\"pay\">Pay</button> \
             <button name=\"decision\" value=\"decline\">Decline</button></form>",
            page.amount
        )
    } else {
        format!(
            "<p>This payment of {} EUR has been decided.</p><p><a href=\"{back}\">Back to the shop</a></p>",
            page.amount
        )
    };
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Test payment</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"robots\" content=\"noindex\">\
         <style>{STYLE}</style></head><body><main><h1>Test payment</h1>{body}</main></body></html>"
    );
    let mut response = Response::new(HttpBody::from(html));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The form's answer leads on to the shop, which may have another origin.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        ),
    );
    response
}

const STYLE: &str = "body{font:1.125rem/1.5 system-ui,sans-serif;margin:0;background:#f4f4f8;color:#1c1c28}\
main{max-width:30rem;margin:10vh auto;padding:2rem;background:#fff;border-radius:.5rem}\
.amount{font-size:2rem;font-weight:700}\
button{font:inherit;padding:.75rem 2rem;border:2px solid #3a3a56;border-radius:.5rem;background:#fff;color:#1c1c28;cursor:pointer}\
.pay{background:#1d6b3a;border-color:#1d6b3a;color:#fff}\
:focus-visible{outline:3px solid #2457d6;outline-offset:2px}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
