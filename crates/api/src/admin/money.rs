//! `/api/admin…` endpoints that move users' money: adjustments, refunds and cancellations, each recorded with the
//! administrator who made it.

use axum::extract::{Path, State};
use http::StatusCode;
use lockstep_domain::Money;
use lockstep_domain::account::FieldError;
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::{OrderId, UserId};
use lockstep_domain::staff::Permission;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use super::RequireStaff;
use super::routes::{StaffRoute, at};
use crate::Api;
use crate::answer::{self, Answered, MessageWith};
use crate::body::{Body, request_body, uuid_in};
use crate::visit::Key;

/// Maximum length of a reason, in characters.
const MAX_REASON: usize = 500;

#[derive(OpenApi)]
#[openapi(
    tags((name = "admin", description = "Back office; for staff with the permission that each route needs")),
    paths(adjust, refund, cancel)
)]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/users/{id}/balance").put(Permission::BalanceAdjust, adjust),
        at("/api/admin/payments/transactions/{id}/refund").post(Permission::OrdersRefund, refund),
        at("/api/admin/orders/{id}/cancel").post(Permission::OrdersWrite, cancel),
    ]
}

request_body! {
    /// An adjustment of a balance.
    struct Adjustment {
        /// Amount in EUR, at most two decimals; negative to debit.
        #[schema(value_type = f64)]
        amount: Money = "amount",
        /// Reason for the adjustment.
        #[schema(min_length = 1, max_length = 500)]
        reason: String = "reason",
    }
}

/// The adjusted balance.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AdjustedView {
    user_id: Uuid,
    previous_balance: Money,
    new_balance: Money,
    amount: Money,
    reason: String,
}

request_body! {
    /// A refund to make.
    struct RefundWanted {
        /// Amount in EUR, at most two decimals; by default the full refundable amount.
        #[schema(value_type = Option<f64>)]
        amount: Option<Money> = "amount",
        /// Reason for the refund.
        reason: Option<String> = "reason",
    }
}

/// A completed refund.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RefundView {
    refund_id: Uuid,
    status: &'static str,
    amount: Money,
    currency: &'static str,
    message: &'static str,
}

/// Adjusts the balance of a user.
///
/// A credit is recorded as a top-up and a debit as a purchase without items; both are marked as adjustments and carry
/// the reason.
#[utoipa::path(put, path = "/api/admin/users/{id}/balance", tag = "admin", operation_id = "adjustBalance", security(("bearer" = [])), request_body = Adjustment, params(
    ("id" = Uuid, Path, description = "ID of the user"),
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "A repeated key with the same body is the same adjustment")), responses(
    (status = 200, body = Answer<AdjustedView>), (status = 400, description = "Missing amount or reason, or the debit exceeds the balance"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such user"),
    (status = 409, description = "The key was used with another body")))]
pub(crate) async fn adjust(
    State(api): Api,
    Path(id): Path<String>,
    RequireStaff { admin, .. }: RequireStaff,
    Key(key): Key,
    body: Body,
) -> Answered {
    let user = UserId(uuid_in("id", &id)?);
    let (Adjustment { amount, reason }, form) = body.read();
    let reason = form.finish(checked_reason(reason.trim()))?;
    let adjusted = api
        .shop
        .adjust_balance(&admin, user, amount, reason, key.as_ref())
        .await?;
    let view = AdjustedView {
        user_id: user.0,
        previous_balance: adjusted.previous,
        new_balance: adjusted.balance,
        amount,
        reason: reason.to_owned(),
    };
    answer::data(StatusCode::OK, &view)
}

/// Refunds delivered units of an order to the balance of its owner.
///
/// Units that are not delivered yet are cancelled instead, see `/api/admin/orders/{id}/cancel`.
#[utoipa::path(post, path = "/api/admin/payments/transactions/{id}/refund", tag = "admin", operation_id = "refundTransaction", security(("bearer" = [])), request_body = RefundWanted,
    params(("id" = Uuid, Path, description = "ID of the purchase transaction"),
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "For a day, a repeated key with the same body is the same refund")), responses(
    (status = 200, body = Answer<RefundView>), (status = 400, description = "Not refundable, already refunded, or more than the refundable amount"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such transaction"),
    (status = 409, description = "The key was used with another body")))]
pub(crate) async fn refund(
    State(api): Api,
    Path(id): Path<String>,
    RequireStaff { admin, .. }: RequireStaff,
    Key(key): Key,
    body: Body,
) -> Answered {
    let purchase = uuid_in("id", &id)?;
    let (RefundWanted { amount, reason }, form) = body.read();
    let reason = form.finish(optional_reason(reason.as_deref()))?;
    let confirmed = api.shop.auth().is_confirmed(&admin).await?;
    let refunded = api
        .shop
        .refund(&admin, confirmed, purchase, amount, reason, key.as_ref())
        .await?;
    let view = RefundView {
        refund_id: refunded.transaction,
        status: "COMPLETED",
        amount: refunded.amount,
        currency: "EUR",
        message: "Refunded to the balance",
    };
    answer::data(StatusCode::OK, &view)
}

request_body! {
    /// A cancellation of an order.
    struct Cancellation {
        /// Reason, shown to the owner of the order.
        reason: Option<String> = "reason",
    }
}

/// Result of a cancellation.
#[derive(Serialize, ToSchema)]
struct CancelledView {
    /// Amount refunded to the balance at once, in EUR.
    refunded: Money,
    /// Number of units that are kept: already delivered, or being purchased right now.
    kept: u32,
}

/// Cancels an order.
///
/// Units that are not yet paid for at the supplier are refunded at once to the balance of the owner.
#[utoipa::path(post, path = "/api/admin/orders/{id}/cancel", tag = "admin", operation_id = "cancelOrder", security(("bearer" = [])), request_body = Cancellation,
    params(("id" = Uuid, Path, description = "ID of the order"),
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "For a day, a repeated key with the same body returns the same response")), responses(
    (status = 200, body = MessageWith<CancelledView>), (status = 400, description = "Already cancelled, or delivered"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such order"),
    (status = 409, description = "The key was used with another body")))]
pub(crate) async fn cancel(
    State(api): Api,
    Path(id): Path<String>,
    RequireStaff { admin, .. }: RequireStaff,
    Key(key): Key,
    body: Body,
) -> Answered {
    let order = OrderId(uuid_in("id", &id)?);
    let (Cancellation { reason }, form) = body.read();
    let reason = form.finish(optional_reason(reason.as_deref()))?;
    let cancelled = api.shop.cancel_order(&admin, order, reason, key.as_ref()).await?;
    let message = match cancelled.kept {
        0 => "The order is cancelled and refunded",
        _ => "The units that were not bought yet are cancelled and refunded. The others will be delivered.",
    };
    answer::message_with(
        message,
        CancelledView {
            refunded: cancelled.refunded,
            kept: cancelled.kept,
        },
    )
}

pub(super) fn optional_reason(reason: Option<&str>) -> Result<Option<&str>, Vec<FieldError>> {
    let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
    reason.map(checked_reason).transpose()
}

pub(super) fn checked_reason(reason: &str) -> Result<&str, Vec<FieldError>> {
    let fault = |code, msg| {
        Err(vec![FieldError {
            path: "reason",
            code,
            msg,
        }])
    };
    if reason.is_empty() {
        fault("required", "This field is required")
    } else if reason.chars().count() > MAX_REASON || reason.contains('\0') {
        fault("too_long", "This field must have at most 500 characters")
    } else {
        Ok(reason)
    }
}
