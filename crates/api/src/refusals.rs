//! The HTTP status and stable code of each refusal of an order or a payment. The messages are those of the use cases;
//! the existing front-end matches some of them (`docs/http-api.md`).

use http::StatusCode;
use lockstep_domain::checkout::CheckoutFault;
use lockstep_shop::{
    AdjustError, BeginError, GoodwillError, NotRefundable, OutsideError, PlaceError, TopUpError, WebhookError,
};

use crate::error::ApiError;

impl From<CheckoutFault> for ApiError {
    fn from(fault: CheckoutFault) -> Self {
        let code = match fault {
            CheckoutFault::Empty => "empty_order",
            CheckoutFault::NotPositive => "quantity_not_positive",
            CheckoutFault::TooManyCopies { .. } => "too_many_copies",
            CheckoutFault::TooManyGames { .. } => "too_many_games",
            CheckoutFault::TooMany { .. } => "order_too_large",
        };
        Self::refused(StatusCode::BAD_REQUEST, code, &fault)
    }
}

impl From<PlaceError> for ApiError {
    fn from(error: PlaceError) -> Self {
        let (status, code) = match error {
            PlaceError::Store(error) => return error.into(),
            PlaceError::PriceRisen { expected, total } => return Self::PriceRisen { expected, total },
            PlaceError::NoSuchGame(_) => (StatusCode::NOT_FOUND, "game_not_found"),
            PlaceError::OutOfStock { .. } => (StatusCode::BAD_REQUEST, "out_of_stock"),
            PlaceError::PromoCode(_) => (StatusCode::BAD_REQUEST, "invalid_promo_code"),
            PlaceError::PromoBelowCost { .. } | PlaceError::PromoNotHere => {
                (StatusCode::BAD_REQUEST, "promo_code_not_available")
            }
            PlaceError::PromoMinimum { .. } => (StatusCode::BAD_REQUEST, "promo_code_minimum"),
            PlaceError::PromoFirstOrder => (StatusCode::BAD_REQUEST, "promo_code_first_order"),
            PlaceError::InsufficientBalance { .. } => (StatusCode::BAD_REQUEST, "insufficient_balance"),
            PlaceError::TooMuch => (StatusCode::BAD_REQUEST, "order_too_large"),
            PlaceError::KeyReused => (StatusCode::CONFLICT, "idempotency_key_reused"),
            PlaceError::NoSuchUser => (StatusCode::UNAUTHORIZED, "not_signed_in"),
        };
        Self::refused(status, code, &error)
    }
}

impl From<TopUpError> for ApiError {
    fn from(error: TopUpError) -> Self {
        let (status, code) = match error {
            TopUpError::Begin(BeginError::Store(error)) => return error.into(),
            TopUpError::UnderWay => (StatusCode::SERVICE_UNAVAILABLE, "payment_under_way"),
            TopUpError::NoProvider => (StatusCode::SERVICE_UNAVAILABLE, "no_payment_provider"),
            TopUpError::Amount { .. } => (StatusCode::BAD_REQUEST, "amount_out_of_range"),
            TopUpError::Method => (StatusCode::BAD_REQUEST, "unknown_payment_method"),
            TopUpError::Begin(BeginError::TooManyOpen) => (StatusCode::CONFLICT, "too_many_open_payments"),
            TopUpError::Begin(BeginError::Limited { .. }) => (StatusCode::CONFLICT, "top_up_limited"),
            TopUpError::Begin(BeginError::KeyReused) => (StatusCode::CONFLICT, "idempotency_key_reused"),
            TopUpError::Begin(BeginError::NoSuchUser) => (StatusCode::UNAUTHORIZED, "not_signed_in"),
            TopUpError::Provider(_) => {
                // The provider's own message is in the log; it may reveal details of the shop's account there.
                return Self::refused(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "payment_provider_unavailable",
                    &"Payments are not available at the moment. Try again in a few minutes.",
                );
            }
        };
        Self::refused(status, code, &error)
    }
}

impl From<WebhookError> for ApiError {
    fn from(error: WebhookError) -> Self {
        let (status, code) = match error {
            WebhookError::Store(error) | WebhookError::Outside(OutsideError::Store(error)) => return error.into(),
            WebhookError::NotSigned => (StatusCode::UNAUTHORIZED, "not_signed"),
            WebhookError::NotUsed => (StatusCode::NOT_FOUND, "payment_provider_not_used"),
            WebhookError::Unanswered => (StatusCode::SERVICE_UNAVAILABLE, "payment_provider_unavailable"),
            WebhookError::Unreadable | WebhookError::Relay(_) => (StatusCode::BAD_REQUEST, "invalid_body"),
            WebhookError::Outside(OutsideError::NoSuchUser) => (StatusCode::NOT_FOUND, "account_not_found"),
            WebhookError::Outside(OutsideError::NameReused) => (StatusCode::CONFLICT, "transaction_id_reused"),
        };
        Self::refused(status, code, &error)
    }
}

impl From<GoodwillError> for ApiError {
    fn from(error: GoodwillError) -> Self {
        let (status, code) = match error {
            GoodwillError::Store(error) => return error.into(),
            GoodwillError::NotFound => (StatusCode::NOT_FOUND, "transaction_not_found"),
            GoodwillError::NotAPurchase | GoodwillError::NothingDelivered => {
                (StatusCode::BAD_REQUEST, "not_refundable")
            }
            GoodwillError::Own => (StatusCode::FORBIDDEN, "own_purchase"),
            GoodwillError::Refused(_) => (StatusCode::FORBIDDEN, "has_more_permissions"),
            GoodwillError::AccountDeleted => (StatusCode::CONFLICT, "account_deleted"),
            GoodwillError::NotConfirmed { .. } => (StatusCode::FORBIDDEN, "confirmation_needed"),
            GoodwillError::BeingReplaced => (StatusCode::CONFLICT, "key_being_replaced"),
            GoodwillError::AlreadyRefunded => (StatusCode::BAD_REQUEST, "already_refunded"),
            GoodwillError::TooMuch { .. } => (StatusCode::BAD_REQUEST, "refund_exceeds_payment"),
            GoodwillError::NotPositive => (StatusCode::BAD_REQUEST, "amount_not_positive"),
            GoodwillError::KeyReused => (StatusCode::CONFLICT, "idempotency_key_reused"),
        };
        Self::refused(status, code, &error)
    }
}

impl From<NotRefundable> for ApiError {
    fn from(error: NotRefundable) -> Self {
        match error {
            NotRefundable::Store(error) => error.into(),
            NotRefundable::Unknown => Self::NotFound("Order"),
            NotRefundable::Bought => Self::refused(
                StatusCode::BAD_REQUEST,
                "not_cancellable",
                &"All of this order is delivered or being paid for at the supplier. Refund it once it is delivered.",
            ),
            NotRefundable::Refunded => Self::refused(
                StatusCode::BAD_REQUEST,
                "already_cancelled",
                &"This order has already been cancelled",
            ),
            NotRefundable::NotAllowed(_) => Self::refused(StatusCode::FORBIDDEN, "has_more_permissions", &error),
            NotRefundable::KeyReused => Self::refused(StatusCode::CONFLICT, "idempotency_key_reused", &error),
        }
    }
}

impl From<AdjustError> for ApiError {
    fn from(error: AdjustError) -> Self {
        let (status, code) = match error {
            AdjustError::Store(error) => return error.into(),
            AdjustError::Refused(_) => (StatusCode::FORBIDDEN, "has_more_permissions"),
            AdjustError::NotFound => (StatusCode::NOT_FOUND, "account_not_found"),
            AdjustError::Zero => (StatusCode::BAD_REQUEST, "amount_zero"),
            AdjustError::Insufficient { .. } => (StatusCode::BAD_REQUEST, "insufficient_balance"),
            AdjustError::TooMuch => (StatusCode::BAD_REQUEST, "amount_out_of_range"),
            AdjustError::KeyReused => (StatusCode::CONFLICT, "idempotency_key_reused"),
        };
        Self::refused(status, code, &error)
    }
}
