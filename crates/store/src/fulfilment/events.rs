//! Signed events from outside: accepted once, kept until their order is known, and never decisive by themselves.
//!
//! An event only makes units query G2A at once and records its content on the purchase. Its effect is therefore
//! independent of the number and order of deliveries.
//!
//! The database finds the order of an event, and marks a kept event as due in the transaction that creates its order
//! (migration 0110), so the cost of finding events to apply does not depend on the number of kept events or of orders.

use lockstep_domain::ids::OrderId;
use lockstep_failpoint::failpoint;
use uuid::Uuid;

use crate::{Result, Store, Tx};

/// An event with a verified signature.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The sender's id of it.
    pub event_id: String,
    /// The order: the shop's id, or G2A's.
    pub order_ref: String,
    /// Its type, for example `order.completed`.
    pub kind: String,
    /// Its content.
    pub payload: serde_json::Value,
    /// The request's body as received.
    pub body: Vec<u8>,
}

/// The result of accepting an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was accepted, and its order queries G2A again.
    Applied(OrderId),
    /// It was accepted earlier; nothing was done.
    Repeated,
    /// Its order is unknown; it is applied when the order appears.
    Kept,
}

/// Accepts an event: the record of it and its effect are one transaction.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable): then nothing was done.
pub async fn take(tx: &mut Tx, event: &Event) -> Result<Taken> {
    let id = Uuid::now_v7();
    let due: Option<bool> = sqlx::query_scalar!(
        "-- store.fulfilment.handle_webhook
        insert into webhook_events (id, source, event_id, order_ref, kind, payload, body) values ($1, 'g2a', $2, $3, $4, $5, $6)
        on conflict do nothing returning due",
        id,
        event.event_id,
        event.order_ref,
        event.kind,
        event.payload,
        event.body
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(due) = due else {
        return Ok(Taken::Repeated);
    };
    failpoint!("webhook.taken");
    let order = if due { apply(tx, id).await? } else { None };
    failpoint!("webhook.commit.before");
    Ok(order.map_or(Taken::Kept, Taken::Applied))
}

/// Whether a kept event is waiting whose order has appeared.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn has_due(store: &Store) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"-- store.fulfilment.has_due_events
        select exists (select from webhook_events where due and applied_at is null) as "has_due!""#
    )
    .fetch_one(store.alone())
    .await?)
}

/// Applies stored events whose order exists by now, at most fifty; returns how many.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn apply_due(store: &Store) -> Result<u32> {
    store
        .tx("fulfilment.apply_due", |tx| {
            Box::pin(async move {
                let ids: Vec<Uuid> = sqlx::query_scalar!(
                    "-- store.fulfilment.due_events
                    select id from webhook_events where due and applied_at is null
                     order by received_at limit 50 for update skip locked"
                )
                .fetch_all(tx.conn())
                .await?;
                let mut applied = 0;
                for id in ids {
                    applied += u32::from(apply(tx, id).await?.is_some());
                }
                Ok(applied)
            })
        })
        .await
}

/// The effect: the order's waiting units become due now, and its purchase records the event. `None` if the order does
/// not exist.
async fn apply(tx: &mut Tx, event: Uuid) -> Result<Option<OrderId>> {
    let order = sqlx::query_scalar!(
        "-- store.fulfilment.apply_event.order
        select coalesce(
            (select u.order_id from g2a_orders g join order_units u on u.id = g.order_unit_id where g.g2a_order_id = e.order_ref),
            (select o.id from orders o where o.id = e.order_uuid)) as order_id
          from webhook_events e where e.id = $1",
        event
    )
    .fetch_one(tx.conn())
    .await?;
    let Some(order) = order else {
        sqlx::query!(
            "-- store.fulfilment.apply_event.gone\nupdate webhook_events set due = false where id = $1",
            event
        )
        .execute(tx.conn())
        .await?;
        return Ok(None);
    };
    sqlx::query_scalar!(
        "-- store.fulfilment.apply_event.lock\nselect 1 as one from orders where id = $1 for no key update",
        order
    )
    .fetch_optional(tx.conn())
    .await?;
    // Claimed units are skipped: their worker is already in contact with G2A. So are lost keys: G2A has no news about
    // them, and their wait leaves time for the spool of a worker that is down.
    sqlx::query!(
        "-- store.fulfilment.apply_event.wake
        update order_units set not_before = now()
         where order_id = $1 and state not in ('DONE', 'REFUNDED', 'LOST') and worker is null and not_before > now()
           and not_before < now() + interval '1 year'",
        order
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.fulfilment.apply_event.heard
        update transactions t
           set gateway_response = coalesce(t.gateway_response, '{}'::jsonb)
               || jsonb_build_object('g2a', jsonb_build_object('event', e.event_id, 'type', e.kind, 'payload', e.payload,
                                                               'receivedAt', e.received_at))
          from webhook_events e where e.id = $1 and t.order_id = $2 and t.type = 'PURCHASE'
           and jsonb_typeof(coalesce(t.gateway_response, '{}'::jsonb)) = 'object'",
        event,
        order
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.fulfilment.apply_event.done\nupdate webhook_events set applied_at = now(), order_id = $2 where id = $1",
        event,
        order
    )
        .execute(tx.conn())
        .await?;
    Ok(Some(OrderId(order)))
}

/// Deletes events older than 30 days; returns how many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.fulfilment.sweep_events
        delete from webhook_events where id in (
            select id from webhook_events where received_at < now() - interval '30 days' order by received_at limit $1
               for update skip locked)",
        i64::from(crate::SWEEP)
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}
