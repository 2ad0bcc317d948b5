//! Responses for a single client: caches must not store them.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};
use lockstep_domain::catalogue::Answer;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;

/// The result of a handler with such a response.
pub(crate) type Answered = Result<Response, ApiError>;

/// A successful response without data.
#[derive(Serialize, ToSchema)]
pub(crate) struct Message {
    /// Always `true`.
    success: bool,
    /// What was done, for display.
    message: &'static str,
}

/// A successful response with a message and data.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageWith<T> {
    /// Always `true`.
    success: bool,
    /// What was done, for display.
    message: &'static str,
    /// Result of the operation.
    data: T,
}

/// A PDF document.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it only describes the body")]
pub(crate) struct PdfFile(Vec<u8>);

/// Builds a response from serialised JSON.
pub(crate) fn body(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = streamed(Body::from(body.into()));
    *response.status_mut() = status;
    response
}

/// Builds a 200 response whose JSON body is streamed.
pub(crate) fn streamed(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.reserve(16);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn json(status: StatusCode, value: &impl Serialize) -> Answered {
    // Our own plain structs always serialise to JSON.
    let bytes = serde_json::to_vec(value).map_err(|_| ApiError::Bug(None))?;
    Ok(body(status, bytes))
}

/// Builds a successful response with data.
pub(crate) fn data(status: StatusCode, data: &impl Serialize) -> Answered {
    json(status, &Answer::new(data))
}

/// Builds a successful response with a message.
pub(crate) fn message(status: StatusCode, message: &'static str) -> Answered {
    json(status, &Message { success: true, message })
}

/// Builds a successful response with a message and data.
pub(crate) fn message_with(message: &'static str, data: impl Serialize) -> Answered {
    json(
        StatusCode::OK,
        &MessageWith {
            success: true,
            message,
            data,
        },
    )
}

/// Adds a cookie to the response, if there is one to set.
pub(crate) fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
