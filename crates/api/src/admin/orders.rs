//! Changes of orders by staff. The purchase decides an order's status, so a form can only cancel.

use axum::extract::Path;
use chrono::{DateTime, Utc};
use http::StatusCode;
use lockstep_admin::{OrderChange, OrderChangeError};
use lockstep_domain::account::FieldError;
use lockstep_domain::catalogue::{Answer, iso_millis};
use lockstep_domain::ids::OrderId;
use lockstep_domain::order::OrderStatus;
use lockstep_domain::purchase::PaymentStatus;
use lockstep_domain::staff::Permission;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use super::routes::{StaffRoute, at};
use super::{RequireStaff, sales};
use crate::answer::{self, Answered};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;

#[derive(OpenApi)]
#[openapi(paths(change, change_status))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/orders/{id}")
            .get(Permission::OrdersRead, sales::order)
            .put(Permission::OrdersWrite, change),
        at("/api/admin/orders/{id}/status").put(Permission::OrdersWrite, change_status),
    ]
}

request_body! {
    /// What a form says about an order; what is left out stays.
    struct OrderForm {
        /// The status. Only `CANCELLED` changes anything.
        #[schema(value_type = Option<OrderStatus>)]
        status: Option<String> = "status",
        /// The status of its payment, which does not change here.
        #[schema(value_type = Option<PaymentStatus>)]
        payment_status: Option<String> = "paymentStatus",
        /// How it was paid, which does not change.
        payment_method: Option<String> = "paymentMethod",
        /// Its promo code, which does not change.
        promo_code: Option<String> = "promoCode",
    }
}

request_body! {
    /// A status of an order.
    struct NewStatus {
        /// The status. Only `CANCELLED` changes anything.
        #[schema(value_type = OrderStatus)]
        status: String = "status",
    }
}

/// An order after a change.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChangedOrder {
    /// ID of the order.
    id: Uuid,
    /// Its status.
    status: OrderStatus,
    /// The status of its payment.
    payment_status: Option<PaymentStatus>,
    /// How it was paid.
    payment_method: Option<String>,
    /// Time of its last change.
    #[serde(with = "iso_millis")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: DateTime<Utc>,
}

/// Changes the status of an order, as far as it is true afterwards.
///
/// `CANCELLED` cancels an order of which no unit is delivered or being paid for, and refunds it; every other status
/// follows from the purchase. A form that says something else is refused with the reason (409 `order_status_not_true`),
/// and nothing is changed.
#[utoipa::path(put, path = "/api/admin/orders/{id}", tag = "admin", operation_id = "changeOrder", security(("bearer" = [])), request_body = OrderForm,
    params(("id" = Uuid, Path, description = "ID of the order")),
    responses((status = 200, description = "The order", body = Answer<ChangedOrder>),
    (status = 400, description = "Invalid field, or no order goes from its status to this one"),
    (status = 403, description = "Not signed in as staff with the permission orders.write"),
    (status = 404, description = "There is no such order"), (status = 409, description = "It would not be true")))]
pub(crate) async fn change(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (asked, form) = body.read::<OrderForm>();
    let status = asked
        .status
        .as_deref()
        .filter(|status| !status.is_empty())
        .map(order_status)
        .transpose();
    let payment = asked
        .payment_status
        .as_deref()
        .filter(|status| !status.is_empty())
        .map(payment_status)
        .transpose();
    let checked = match (status, payment) {
        (Ok(status), Ok(payment_status)) => Ok(OrderChange {
            status,
            payment_status,
            payment_method: asked.payment_method,
            promo_code: asked.promo_code,
        }),
        (status, payment) => Err(status.err().into_iter().chain(payment.err()).flatten().collect()),
    };
    make(&id, &staff, &form.finish(checked)?).await
}

/// Changes the status of an order, like `PUT /api/admin/orders/{id}`.
#[utoipa::path(put, path = "/api/admin/orders/{id}/status", tag = "admin", operation_id = "changeOrderStatus", security(("bearer" = [])), request_body = NewStatus,
    params(("id" = Uuid, Path, description = "ID of the order")),
    responses((status = 200, description = "The order", body = Answer<ChangedOrder>),
    (status = 400, description = "Invalid field, or no order goes from its status to this one"),
    (status = 403, description = "Not signed in as staff with the permission orders.write"),
    (status = 404, description = "There is no such order"), (status = 409, description = "It would not be true")))]
pub(crate) async fn change_status(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (asked, form) = body.read::<NewStatus>();
    let status = form.finish(order_status(&asked.status))?;
    let change = OrderChange {
        status: Some(status),
        ..OrderChange::default()
    };
    make(&id, &staff, &change).await
}

async fn make(id: &str, staff: &RequireStaff, change: &OrderChange) -> Answered {
    let id = OrderId(uuid_in("id", id)?);
    let changed = staff.office.change_order(&staff.admin, id, change).await?;
    let view = ChangedOrder {
        id: changed.id,
        status: changed.status,
        payment_status: changed.payment_status,
        payment_method: changed.payment_method,
        updated_at: changed.updated_at,
    };
    answer::data(StatusCode::OK, &view)
}

fn unknown(path: &'static str) -> Vec<FieldError> {
    vec![FieldError {
        path,
        code: "unknown_status",
        msg: "This field must be PENDING, PROCESSING, COMPLETED, FAILED or CANCELLED",
    }]
}

fn order_status(name: &str) -> Result<OrderStatus, Vec<FieldError>> {
    let known = OrderStatus::ALL.into_iter().find(|status| status.as_str() == name);
    known.ok_or_else(|| unknown("status"))
}

fn payment_status(name: &str) -> Result<PaymentStatus, Vec<FieldError>> {
    let known = PaymentStatus::ALL.into_iter().find(|status| status.as_str() == name);
    known.ok_or_else(|| unknown("paymentStatus"))
}

impl From<OrderChangeError> for ApiError {
    fn from(error: OrderChangeError) -> Self {
        match error {
            OrderChangeError::Store(error) => error.into(),
            OrderChangeError::NotFound => Self::NotFound("Order"),
            OrderChangeError::Transition { .. } => Self::refused(StatusCode::BAD_REQUEST, "status_transition", &error),
            OrderChangeError::NotAllowed(_) => Self::refused(StatusCode::FORBIDDEN, "has_more_permissions", &error),
            OrderChangeError::NotTrue(_) => Self::refused(StatusCode::CONFLICT, "order_status_not_true", &error),
        }
    }
}
