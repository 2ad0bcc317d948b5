//! Failures as people see them: one envelope, a stable code, and words that neither leak nor guess.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::OriginalUri;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use lockstep_cache::ReadError;
use lockstep_store::StoreError;
use serde::Serialize;

/// Why a request was not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ApiError {
    /// A parameter cannot be used as it is.
    #[error("Invalid {parameter}: {why}")]
    Invalid {
        /// Its name, as the caller wrote it.
        parameter: Cow<'static, str>,
        /// What it would have to be.
        why: Cow<'static, str>,
    },
    /// There is no such thing.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// There is no such address.
    #[error("Route not found: {0}")]
    NoRoute(String),
    /// The address exists, but not for this method.
    #[error("{0} is not allowed here")]
    WrongMethod(Method),
    /// The request is larger than anything we read.
    #[error("The request body is larger than {} bytes", crate::edge::MAX_BODY)]
    TooLarge,
    /// A browser asks on behalf of a page that may not read our answers.
    #[error("This origin is not allowed")]
    OriginRefused,
    /// A webhook that its sender did not sign, or not so.
    #[error("Invalid signature")]
    BadSignature,
    /// Nothing can be read at the moment.
    #[error("The store is not available at the moment, please try again")]
    Unavailable,
    /// Too many requests at once.
    #[error("The store is too busy at the moment, please try again")]
    Busy,
    /// It took too long.
    #[error("The answer took too long, please try again")]
    TimedOut,
    /// A bug. What it was stands in the log, under the request id.
    #[error("Internal Server Error")]
    Bug(#[source] Option<Arc<StoreError>>),
}

impl ApiError {
    pub(crate) fn invalid(parameter: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid {
            parameter: parameter.into(),
            why: why.into(),
        }
    }

    const fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid_parameter"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::NoRoute(_) => (StatusCode::NOT_FOUND, "route_not_found"),
            Self::WrongMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            Self::OriginRefused => (StatusCode::FORBIDDEN, "origin_not_allowed"),
            Self::BadSignature => (StatusCode::UNAUTHORIZED, "invalid_signature"),
            Self::Unavailable | Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "try_again"),
            Self::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
            Self::Bug(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        }
    }

    /// The answer, with the id under which the log knows the request.
    pub(crate) fn render(&self, request_id: Option<&str>) -> Response {
        let (status, code) = self.status_and_code();
        let envelope = Envelope {
            success: false,
            error: Body {
                message: self.to_string(),
                code,
                request_id,
            },
        };
        let mut response = (status, Json(envelope)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(self, Self::Unavailable | Self::Busy) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    success: bool,
    error: Body<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    message: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable,
            error => Self::Bug(Some(Arc::new(error))),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable => Self::Unavailable,
            ReadError::Load(source) => Self::Bug(Some(source)),
        }
    }
}

/// The edge knows the request id and renders the answer; the error travels there beside it.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status_and_code().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Answers addresses under `/api` that do not exist.
pub(crate) async fn no_route(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::NoRoute(uri.path().chars().take(200).collect())
}

/// Answers methods that an address does not have.
pub(crate) async fn wrong_method(method: Method) -> ApiError {
    ApiError::WrongMethod(method)
}
