//! Answers that concern one person: nobody on the way may keep them.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};
use lockstep_domain::catalogue::Answer;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;

/// What every handler of these gives.
pub(crate) type Answered = Result<Response, ApiError>;

/// Success without data.
#[derive(Serialize, ToSchema)]
pub(crate) struct Message {
    /// Always true.
    success: bool,
    /// What was done.
    message: &'static str,
}

/// Success with words and data.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageWith<T> {
    /// Always true.
    success: bool,
    /// What was done.
    message: &'static str,
    /// What came of it.
    data: T,
}

/// A body that is JSON already.
pub(crate) fn body(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = streamed(Body::from(body.into()));
    *response.status_mut() = status;
    response
}

/// Success whose body is JSON that comes bit by bit.
pub(crate) fn streamed(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.reserve(16);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn json(status: StatusCode, value: &impl Serialize) -> Answered {
    // Plain structs of ours always have a JSON form.
    let bytes = serde_json::to_vec(value).map_err(|_| ApiError::Bug(None))?;
    Ok(body(status, bytes))
}

/// Success with data.
pub(crate) fn data(status: StatusCode, data: &impl Serialize) -> Answered {
    json(status, &Answer::new(data))
}

/// Success in words.
pub(crate) fn message(status: StatusCode, message: &'static str) -> Answered {
    json(status, &Message { success: true, message })
}

/// Success in words and data.
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

/// The same answer, setting a cookie if there is one to set.
pub(crate) fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
