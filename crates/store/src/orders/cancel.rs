//! An order taken back by an admin, on record.

use lockstep_domain::ids::{OrderId, UserId};

use crate::audit::{self, Deed};
use crate::fulfilment::{Cancelled, Letters, NotRefundable, cancel_order};
use crate::{Result, Store};

/// Gives back all of an order that is not paid for at G2A; what is goes its way. The deed is on record under the admin's
/// name.
///
/// # Errors
/// [`NotRefundable`]; nothing has changed then.
pub async fn cancel(
    store: &Store,
    admin: UserId,
    order: OrderId,
    reason: Option<&str>,
    letters: &Letters,
) -> Result<Cancelled, NotRefundable> {
    let asked = (reason.map(str::to_owned), letters.clone());
    store
        .tx("orders.cancel", move |tx| {
            let (reason, letters) = asked.clone();
            Box::pin(async move {
                let why = reason.as_deref().unwrap_or("cancelled");
                let cancelled = cancel_order(tx, order, why, &letters).await?;
                let deed = Deed {
                    admin,
                    action: "order.cancel",
                    subject: ("order", order.0),
                    details: serde_json::json!({
                        "refunded": cancelled.refunded, "kept": cancelled.kept, "reason": reason,
                    }),
                };
                audit::write(tx, &deed).await?;
                Ok(cancelled)
            })
        })
        .await
}
