//! What staff may say about an order's status: only what is true. The purchase decides the status; staff can cancel.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use lockstep_domain::ids::{OrderId, UserId};
use lockstep_domain::order::OrderStatus;
use lockstep_domain::purchase::PaymentStatus;
use lockstep_domain::staff::Refused;
use uuid::Uuid;

use super::cancel::cancel_now;
use crate::fulfilment::{EmailSettings, NotRefundable};
use crate::row::{order_status_of, payment_status_of};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Subject, Tx};

/// What a form of staff says about an order; `None` where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderChange {
    /// The status.
    pub status: Option<OrderStatus>,
    /// The status of its payment.
    pub payment_status: Option<PaymentStatus>,
    /// How it was paid; an empty text says that it is not known.
    pub payment_method: Option<String>,
    /// Its promo code; an empty text says that it has none.
    pub promo_code: Option<String>,
}

/// An order after the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The order.
    pub id: Uuid,
    /// Its status.
    pub status: OrderStatus,
    /// The status of its payment.
    pub payment_status: Option<PaymentStatus>,
    /// How it was paid.
    pub payment_method: Option<String>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    promo_code: Option<String>,
}

/// Why an order was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// No such order.
    #[error("Order not found")]
    NotFound,
    /// No order goes from this status to that one.
    #[error("An order cannot go from {} to {}", from.as_str(), to.as_str())]
    Transition {
        /// The status of the order.
        from: OrderStatus,
        /// The status asked for.
        to: OrderStatus,
    },
    /// The order would say something that is not true; the reason is for staff.
    #[error("{0}")]
    NotTrue(&'static str),
    /// The buyer has a permission that the caller lacks.
    #[error("{0}")]
    NotAllowed(Refused),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(ChangeError);

/// Makes true what `change` says about an order, on behalf of `staff`, or refuses it. The only change that staff can make
/// is a cancellation of everything, which refunds; it is recorded in the audit log.
///
/// # Errors
/// [`ChangeError`]; then nothing has changed.
pub async fn change(
    store: &Store,
    staff: UserId,
    order: OrderId,
    change: &OrderChange,
    emails: &EmailSettings,
) -> Result<Changed, ChangeError> {
    let asked = Arc::new((change.clone(), emails.clone()));
    store
        .tx_about("orders.change", &[Subject::Order(order)], move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (change, emails) = &*asked;
                let now = look(tx, order).await?;
                contradicts(&now, change)?;
                let Some(status) = change.status.filter(|status| *status != now.status) else {
                    return Ok(now);
                };
                possible(now.status, status)?;
                let cancelled = cancel_now(tx, staff, order, None, emails).await.map_err(refused)?;
                if cancelled.kept > 0 {
                    return Err(ChangeError::NotTrue(
                        "Some units are delivered or being paid for. Cancel the rest with POST /api/admin/orders/{id}/cancel.",
                    ));
                }
                look(tx, order).await
            })
        })
        .await
}

/// Locks and reads an order.
async fn look(tx: &mut Tx, order: OrderId) -> Result<Changed, ChangeError> {
    let row = sqlx::query!(
        r#"-- store.orders.change.look
        select id, status::text as "status!", payment_status::text as payment_status, payment_method, promo_code, updated_at
          from orders where id = $1 for no key update"#,
        order.0
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(ChangeError::NotFound)?;
    Ok(Changed {
        id: row.id,
        status: order_status_of(&row.status)?,
        payment_status: row.payment_status.as_deref().map(payment_status_of).transpose()?,
        payment_method: row.payment_method,
        updated_at: row.updated_at,
        promo_code: row.promo_code,
    })
}

/// Refuses what does not follow from a form: how an order was paid is on record.
fn contradicts(now: &Changed, change: &OrderChange) -> Result<(), ChangeError> {
    let differs = |said: &Option<String>, is: &Option<String>| {
        said.as_deref()
            .is_some_and(|said| !said.eq_ignore_ascii_case(is.as_deref().unwrap_or_default()))
    };
    if change
        .payment_status
        .is_some_and(|said| Some(said) != now.payment_status)
    {
        return Err(ChangeError::NotTrue(
            "The payment status follows from the bookings. Refund or cancel the order instead.",
        ));
    }
    if differs(&change.payment_method, &now.payment_method) {
        return Err(ChangeError::NotTrue(
            "How an order was paid is on record and does not change.",
        ));
    }
    if differs(&change.promo_code, &now.promo_code) {
        return Err(ChangeError::NotTrue(
            "The promo code is part of the price that was paid and does not change.",
        ));
    }
    Ok(())
}

/// Whether staff can bring an order from `from` to `to`. Only a cancellation of an order that goes on is left over.
fn possible(from: OrderStatus, to: OrderStatus) -> Result<(), ChangeError> {
    use OrderStatus::{Cancelled, Completed, Failed, Pending, Processing};
    let why = match (from, to) {
        (Pending | Processing, Cancelled) => return Ok(()),
        (Pending, Processing) => "An order is processed as soon as its first unit is bought, and not before.",
        (Processing, Completed) => "An order is completed when every unit is delivered or refunded, and not before.",
        (Processing, Failed) => "Units are still being bought. Cancel the order: what is not paid for yet is refunded.",
        (Completed, Cancelled) => "The keys were delivered. Refund the order instead.",
        (Failed, Pending | Processing) => "Everything was refunded. The customer has to order again.",
        _ => return Err(ChangeError::Transition { from, to }),
    };
    Err(ChangeError::NotTrue(why))
}

fn refused(error: NotRefundable) -> ChangeError {
    match error {
        NotRefundable::Store(error) => error.into(),
        NotRefundable::Unknown => ChangeError::NotFound,
        NotRefundable::NotAllowed(refused) => ChangeError::NotAllowed(refused),
        // The order is locked and was PENDING or PROCESSING a moment ago.
        _ => ChangeError::NotTrue("The order has been settled meanwhile. Look at it again."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_orders_that_go_on_can_be_cancelled_and_nothing_else_can_be_said() {
        for from in OrderStatus::ALL {
            for to in OrderStatus::ALL.into_iter().filter(|to| *to != from) {
                let result = possible(from, to);
                let is_cancellation = from.may_become(OrderStatus::Cancelled) && to == OrderStatus::Cancelled;
                assert_eq!(result.is_ok(), is_cancellation, "{from:?} {to:?}");
                // The transitions that the HTTP contract permits have a reason; all others have none.
                let contract = matches!(
                    (from.as_str(), to.as_str()),
                    ("PENDING", "PROCESSING" | "CANCELLED")
                        | ("PROCESSING", "COMPLETED" | "FAILED" | "CANCELLED")
                        | ("COMPLETED", "CANCELLED")
                        | ("FAILED", "PENDING" | "PROCESSING")
                );
                let is_transition = matches!(result, Err(ChangeError::Transition { .. }));
                assert_eq!(is_transition, !contract, "{from:?} {to:?}");
            }
        }
    }
}
