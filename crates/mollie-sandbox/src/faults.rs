//! How answers fail on demand, and Mollie's form of an error.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// How the next answers fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Normal answers.
    #[default]
    None,
    /// This status with Mollie's error body; nothing is done.
    Status(u16),
    /// The request is done, and the answer cannot be parsed.
    Garbled,
    /// The request is done, and never answered.
    Silent,
    /// The request is done, and the connection is closed within the answer.
    Broken,
}

/// Mollie's error body.
pub(crate) fn refuse(status: u16, detail: &str, field: Option<&str>) -> (u16, Value) {
    let title = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Error");
    let mut body = json!({
        "status": status, "title": title, "detail": detail,
        "_links": {"documentation": {"href": "https://docs.mollie.com/overview/handling-errors", "type": "text/html"}},
    });
    if let Some(field) = field {
        body["field"] = json!(field);
    }
    (status, body)
}
