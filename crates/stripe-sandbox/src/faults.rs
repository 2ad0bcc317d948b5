//! How answers fail on demand.

use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

/// How the next answers fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Normal answers.
    #[default]
    None,
    /// This status with Stripe's error body; nothing is done.
    Status(u16),
    /// The request is done, and the answer cannot be parsed.
    Garbled,
    /// The request is done, and never answered.
    Silent,
    /// The request is done, and the connection is closed within the answer.
    Broken,
}

/// Stripe's error body.
pub(crate) fn refuse(status: u16, kind: &str, code: Option<&str>, message: &str) -> (u16, Value) {
    (
        status,
        json!({"error": {"type": kind, "code": code, "message": message}}),
    )
}

/// Sends the answer of an earlier request with the same idempotency key.
pub(crate) async fn replay(fault: Fault, answered: (u16, Value)) -> Response {
    let mut response = answer(fault, answered).await;
    let name = axum::http::HeaderName::from_static("idempotent-replayed");
    response
        .headers_mut()
        .insert(name, axum::http::HeaderValue::from_static("true"));
    response
}

/// Sends an answer as the fault has it.
pub(crate) async fn answer(fault: Fault, (status, body): (u16, Value)) -> Response {
    match fault {
        Fault::Garbled => "{\"id\": \"cs_".into_response(),
        Fault::Silent => std::future::pending().await,
        Fault::Broken => {
            let parts = [Ok("{\"id\": "), Err(std::io::Error::other("hung up"))];
            Response::new(Body::from_stream(futures::stream::iter(parts)))
        }
        Fault::None | Fault::Status(_) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, Json(body)).into_response()
        }
    }
}
