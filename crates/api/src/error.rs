//! Errors of the API: one envelope, a stable code, and a message that reveals no internals.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::OriginalUri;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use lockstep_auth::{AccountError, AuthError};
use lockstep_domain::Money;
use lockstep_domain::account::FieldError;
use lockstep_shop::{ReadError, ShopError, ShopperError, StoreError, shopper_code};
use serde::Serialize;
use utoipa::ToSchema;

/// Maximum size of a request body in bytes.
pub(crate) const MAX_BODY: u64 = 100 * 1024;

/// The reason why a request failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ApiError {
    /// A parameter is invalid.
    #[error("Invalid {parameter}: {why}")]
    Invalid {
        /// Name of the parameter, as in the request.
        parameter: Cow<'static, str>,
        /// The rule that its value violates.
        why: Cow<'static, str>,
    },
    /// Fields of the body are invalid; the message is that of the HTTP contract (`docs/http-api.md`).
    #[error("Validation failed")]
    Fields(Vec<FieldError>),
    /// The body is not a JSON object.
    #[error("The request body must be a JSON object: {0}")]
    NotAnObject(&'static str),
    /// A use case refused the request.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// Stable error code.
        code: &'static str,
        /// Message for people.
        message: Cow<'static, str>,
        /// Wait before a retry makes sense.
        retry_after: Option<Duration>,
    },
    /// The total has risen since the client read it.
    #[error("The price has risen from {expected} to {total} EUR. Check your order and confirm the new price.")]
    PriceRisen {
        /// The total that the client sent.
        expected: Money,
        /// The current total.
        total: Money,
    },
    /// Somebody else changed it since it was shown.
    #[error("{message}")]
    Outdated {
        /// Message for people.
        message: String,
        /// What it is now, as `GET` answers.
        current: Arc<serde_json::Value>,
    },
    /// A browser sends the request for a page of another site.
    #[error("Requests from other sites are not allowed")]
    CrossSite,
    /// The named resource does not exist.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The path has no route.
    #[error("Route not found: {0}")]
    NoRoute(String),
    /// The path exists, but not for this method.
    #[error("{0} is not allowed here")]
    WrongMethod(Method),
    /// The body is larger than [`MAX_BODY`].
    #[error("The request body is larger than {} bytes", MAX_BODY)]
    TooLarge,
    /// A browser asks for a page that may not read responses.
    #[error("This origin is not allowed")]
    OriginRefused,
    /// A webhook has no signature, or a wrong one.
    #[error("Invalid signature")]
    BadSignature,
    /// The data cannot be read at the moment.
    #[error("The shop is not available at the moment. Try again in a few seconds.")]
    Unavailable,
    /// Another transaction holds a lock on the rows to be changed.
    #[error("This is being changed at the moment. Try again in a few seconds.")]
    Locked,
    /// Too many concurrent requests.
    #[error("The shop is too busy at the moment. Try again in a few seconds.")]
    Busy,
    /// The request exceeded its time limit.
    #[error("The request took too long. Try again.")]
    TimedOut,
    /// A bug. The log has its cause under the request ID.
    #[error("Internal Server Error")]
    Bug(#[source] Option<Arc<dyn std::error::Error + Send + Sync>>),
}

impl ApiError {
    pub(crate) fn invalid(parameter: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid {
            parameter: parameter.into(),
            why: why.into(),
        }
    }

    /// Builds a refusal with the use case's own message.
    pub(crate) fn refused(status: StatusCode, code: &'static str, why: &impl std::fmt::Display) -> Self {
        Self::Refused {
            status,
            code,
            message: why.to_string().into(),
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(5)),
        }
    }

    const fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid_parameter"),
            Self::Fields(_) => (StatusCode::BAD_REQUEST, "validation_failed"),
            Self::NotAnObject(_) => (StatusCode::BAD_REQUEST, "invalid_body"),
            Self::Refused { status, code, .. } => (*status, code),
            Self::PriceRisen { .. } => (StatusCode::CONFLICT, "price_risen"),
            Self::Outdated { .. } => (StatusCode::CONFLICT, "outdated"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross_site"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::NoRoute(_) => (StatusCode::NOT_FOUND, "route_not_found"),
            Self::WrongMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            Self::OriginRefused => (StatusCode::FORBIDDEN, "origin_not_allowed"),
            Self::BadSignature => (StatusCode::UNAUTHORIZED, "invalid_signature"),
            Self::Unavailable | Self::Locked | Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "try_again"),
            Self::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
            Self::Bug(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        }
    }

    /// The message for people. Screens of staff show nothing else of an error, so theirs names the first invalid field.
    fn message(&self, is_staffs: bool) -> String {
        match self {
            Self::Fields(faults) if is_staffs => match faults.first() {
                Some(fault) => format!("{self}: {}: {}.", fault.path, fault.msg.trim_end_matches('.')),
                None => self.to_string(),
            },
            _ => self.to_string(),
        }
    }

    /// Builds the error response, of a route of staff's or of shoppers. The log identifies the request by `request_id`.
    pub(crate) fn render(&self, request_id: Option<&str>, is_staffs: bool) -> Response {
        let (status, code) = self.status_and_code();
        let envelope = Envelope {
            success: false,
            error: Body {
                message: self.message(is_staffs),
                code,
                request_id,
                errors: match self {
                    Self::Fields(faults) => faults,
                    _ => &[],
                },
                details: match self {
                    Self::PriceRisen { expected, total } => Some(NewPrice {
                        expected_total: *expected,
                        total: *total,
                    }),
                    _ => None,
                },
                current: match self {
                    Self::Outdated { current, .. } => Some(current),
                    _ => None,
                },
            },
        };
        let mut response = (status, Json(envelope)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Unavailable | Self::Busy => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Locked => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            Self::Refused {
                retry_after: Some(wait),
                ..
            } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
            }
            _ => {}
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// An error response.
#[derive(Serialize, ToSchema)]
#[schema(as = Failure)]
pub(crate) struct Envelope<'a> {
    /// Always `false`.
    success: bool,
    /// The error.
    #[schema(inline)]
    error: Body<'a>,
}

/// The error.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    /// Message for people.
    message: String,
    /// Stable error code, for programs.
    code: &'static str,
    /// ID of the request in the shop's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    /// The invalid fields; present with the code `validation_failed`.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(required = false, value_type = Vec<FieldError>)]
    errors: &'a [FieldError],
    /// The new price; present with the code `price_risen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<NewPrice>,
    /// What it is now; present with the code `outdated` of an e-mail template.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Object)]
    current: Option<&'a serde_json::Value>,
}

/// The price to which the client must agree again.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewPrice {
    expected_total: Money,
    total: Money,
}

impl From<ShopError> for ApiError {
    fn from(error: ShopError) -> Self {
        match error {
            ShopError::Refused(error) => error.into(),
            ShopError::Shopper(error) => error.into(),
            ShopError::Store(error) => error.into(),
            ShopError::Read(error) => error.into(),
            ShopError::NotFound(what) => Self::NotFound(what),
            ShopError::Checkout(fault) => fault.into(),
            ShopError::Place(error) => error.into(),
            ShopError::TopUp(error) => error.into(),
            ShopError::Refund(error) => error.into(),
            ShopError::Cancel(error) => error.into(),
            ShopError::Adjust(error) => error.into(),
            ShopError::ConsentNeeded => Self::refused(StatusCode::CONFLICT, "consent_needed", &error),
            ShopError::Busy => Self::refused(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", &error),
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        let (status, retry_after) = match error {
            AuthError::Invalid(faults) => return Self::Fields(faults),
            AuthError::Store(error) | AuthError::Account(AccountError::Store(error)) => return error.into(),
            AuthError::Internal => return Self::Bug(None),
            AuthError::RateLimited { retry_after } => (StatusCode::TOO_MANY_REQUESTS, Some(retry_after)),
            AuthError::Busy => (StatusCode::SERVICE_UNAVAILABLE, Some(Duration::from_secs(1))),
            AuthError::WrongCredentials
            | AuthError::SecondFactorNeeded
            | AuthError::SecondFactorWrong
            | AuthError::NotSignedIn => (StatusCode::UNAUTHORIZED, None),
            AuthError::Forbidden
            | AuthError::AdminNeedsSecondFactor
            | AuthError::NotConfirmed
            | AuthError::Impersonation
            | AuthError::Account(AccountError::Refused(_)) => (StatusCode::FORBIDDEN, None),
            AuthError::EmailTaken
            | AuthError::Account(
                AccountError::EmailTaken
                | AccountError::Outdated
                | AccountError::AlreadyVerified
                | AccountError::SecondFactorExists
                | AccountError::LastAdmin
                | AccountError::NotVerified
                | AccountError::HasOrders
                | AccountError::OrdersUnderWay
                | AccountError::PaymentUnderWay
                | AccountError::HasBalance,
            ) => (StatusCode::CONFLICT, None),
            AuthError::Account(AccountError::NotFound) => (StatusCode::NOT_FOUND, None),
            AuthError::WrongPassword
            | AuthError::LinkNotValid
            | AuthError::WrongCode { .. }
            | AuthError::CodeNotValid
            | AuthError::Account(AccountError::UnknownRole) => (StatusCode::BAD_REQUEST, None),
        };
        Self::Refused {
            status,
            code,
            message: message.into(),
            retry_after,
        }
    }
}

impl From<ShopperError> for ApiError {
    fn from(error: ShopperError) -> Self {
        let code = shopper_code(&error);
        let status = match error {
            ShopperError::Store(error) => return error.into(),
            // The account was deleted after its token was issued.
            ShopperError::NoSuchShopper => StatusCode::UNAUTHORIZED,
            ShopperError::KeyReused => StatusCode::CONFLICT,
            ShopperError::Refused(_) => StatusCode::FORBIDDEN,
            ShopperError::NoSuchGame => StatusCode::NOT_FOUND,
            ShopperError::OutOfStock
            | ShopperError::InStock
            | ShopperError::NotPositive
            | ShopperError::TooManyCopies { .. }
            | ShopperError::TooManyGames { .. } => StatusCode::BAD_REQUEST,
        };
        Self::refused(status, code, &error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            error if error.is_locked() => Self::Locked,
            StoreError::Unavailable(_) => Self::Unavailable,
            error if error.is_account_deleted() => AuthError::NotSignedIn.into(),
            error => Self::Bug(Some(Arc::new(error))),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable => Self::Unavailable,
            ReadError::Load(source) => Self::Bug(Some(source)),
            ReadError::Unreadable(source) => Self::Bug(Some(source)),
        }
    }
}

/// The edge knows the request ID and renders the response; the error travels there in the response's extensions.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status_and_code().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Answers paths under `/api` that do not exist.
pub(crate) async fn no_route(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::NoRoute(uri.path().chars().take(200).collect())
}

/// Answers methods that a path does not support.
pub(crate) async fn wrong_method(method: Method) -> ApiError {
    ApiError::WrongMethod(method)
}
