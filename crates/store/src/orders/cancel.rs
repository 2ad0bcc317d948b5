//! Cancellation of an order by an admin, with an audit record.

use std::sync::Arc;

use lockstep_domain::Money;
use lockstep_domain::ids::{OrderId, UserId};

use crate::accounts::{AccountError, staff};
use crate::audit::{self, AuditEntry};
use crate::fulfilment::{Cancelled, EmailSettings, NotRefundable, cancel_order};
use crate::idempotency::{Call, Idempotency, Known};
use crate::{Store, StoreError, Subject, Tx};

/// Refunds everything of an order that is not paid for at G2A; the rest continues. The audit log records the admin.
/// With `key`, repeated calls get the same answer.
///
/// # Errors
/// [`NotRefundable`]; then nothing has changed.
pub async fn cancel(
    store: &Store,
    admin: UserId,
    order: OrderId,
    reason: Option<&str>,
    key: Option<&Idempotency>,
    emails: &EmailSettings,
) -> Result<Cancelled, NotRefundable> {
    let asked = Arc::new((reason.map(str::to_owned), key.cloned(), emails.clone()));
    store
        .tx_about("orders.cancel", &[Subject::Order(order)], move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (reason, key, emails) = &*asked;
                let Some(key) = key else {
                    return cancel_now(tx, admin, order, reason.as_deref(), emails).await;
                };
                let call = Call {
                    owner: admin.0,
                    route: "orders.cancel",
                    key,
                    // As JSON, in which a reason cannot be confused with an order.
                    asked: serde_json::json!([order, reason]).to_string(),
                };
                match call.look(tx).await? {
                    Known::Done((refunded, kept)) => Ok(Cancelled {
                        refunded,
                        kept,
                        settled: None,
                    }),
                    Known::Other => Err(NotRefundable::KeyReused),
                    Known::Nothing => {
                        let cancelled = cancel_now(tx, admin, order, reason.as_deref(), emails).await?;
                        call.done(tx, &(cancelled.refunded, cancelled.kept)).await?;
                        Ok(cancelled)
                    }
                }
            })
        })
        .await
}

pub(crate) async fn cancel_now(
    tx: &mut Tx,
    admin: UserId,
    order: OrderId,
    reason: Option<&str>,
    emails: &EmailSettings,
) -> Result<Cancelled, NotRefundable> {
    let buyer = sqlx::query_scalar!(
        "-- store.orders.cancel.buyer\nselect user_id from orders where id = $1",
        order.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::from)?
    .ok_or(NotRefundable::Unknown)?;
    staff::not_above(tx, admin, UserId(buyer))
        .await
        .map_err(|error| match error {
            AccountError::Refused(refused) => NotRefundable::NotAllowed(refused),
            AccountError::Store(error) => error.into(),
            _ => NotRefundable::Unknown,
        })?;
    let cancelled = cancel_order(tx, order, reason.unwrap_or("cancelled"), emails).await?;
    if cancelled.refunded == Money::ZERO && cancelled.kept > 0 {
        // Nothing was cancelled, and nobody should be told that something was.
        return Err(NotRefundable::Bought);
    }
    let deed = AuditEntry {
        admin,
        action: "order.cancel",
        subject: ("order", order.0),
        details: serde_json::json!({
            "refunded": cancelled.refunded, "kept": cancelled.kept, "reason": reason,
        }),
    };
    audit::write(tx, &deed).await?;
    Ok(cancelled)
}
