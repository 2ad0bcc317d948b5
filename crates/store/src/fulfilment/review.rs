//! The data that the reconciler compares: every order at G2A that may have cost money, with its state in the shop.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::ids::{OrderId, UnitId};
use lockstep_domain::order::UnitState;

use crate::row::{money_of, unit_state_of};
use crate::{Result, Store};

/// An order at G2A, as recorded by the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// G2A's id.
    pub g2a_order_id: String,
    /// The mark of the account at G2A that placed it.
    pub account: Option<String>,
    /// The unit it was placed for.
    pub unit: UnitId,
    /// The shop's order.
    pub order: OrderId,
    /// The unit's state.
    pub state: UnitState,
    /// Whether it is the unit's current order at G2A, not an abandoned one.
    pub is_current: bool,
    /// Its cost, EUR.
    pub price: Money,
    /// When its payment was requested, after which it may be paid.
    pub pay_asked_at: Option<DateTime<Utc>>,
    /// When it was known to be paid.
    pub paid_at: Option<DateTime<Utc>>,
    /// When its key was stored.
    pub key_stored_at: Option<DateTime<Utc>>,
    /// When the unit abandoned it.
    pub given_up_at: Option<DateTime<Utc>>,
    /// A worker holds the unit.
    pub is_held: bool,
    /// Seconds until the unit is due; negative if overdue.
    pub due_in: i64,
}

/// Orders at G2A placed after `since`, newest first, at most `most`; with `open_only`, only those whose key is not
/// stored and that the unit has not abandoned unpaid.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn remembered(store: &Store, since: DateTime<Utc>, open_only: bool, most: u32) -> Result<Vec<Remembered>> {
    let rows = sqlx::query!(
        r#"-- store.fulfilment.remembered
        select g.g2a_order_id, g.account, g.order_unit_id, g.price, g.pay_asked_at, g.paid_at, g.key_stored_at, g.given_up_at,
               u.order_id, u.state, coalesce(u.g2a_order_id = g.g2a_order_id, false) as "is_current!",
               u.worker is not null and u.not_before > now() as "is_held!",
               extract(epoch from u.not_before - now())::bigint as "due_in!"
          from g2a_orders g join order_units u on u.id = g.order_unit_id
         where g.created_at >= $1 and (not $2 or (g.key_stored_at is null and (g.given_up_at is null or g.pay_asked_at is not null)))
         order by g.created_at desc limit $3"#,
        since,
        open_only,
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Remembered {
                g2a_order_id: row.g2a_order_id,
                account: row.account,
                unit: UnitId(row.order_unit_id),
                order: OrderId(row.order_id),
                state: unit_state_of(&row.state)?,
                is_current: row.is_current,
                price: money_of(row.price)?,
                pay_asked_at: row.pay_asked_at,
                paid_at: row.paid_at,
                key_stored_at: row.key_stored_at,
                given_up_at: row.given_up_at,
                is_held: row.is_held,
                due_in: row.due_in,
            })
        })
        .collect()
}

/// Makes a unit due at once, unless a worker holds it or its lost key may still be found. True if it was waiting.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn wake(store: &Store, unit: UnitId) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.fulfilment.wake
        update order_units set not_before = now()
         where id = $1 and state not in ('DONE', 'REFUNDED', 'LOST') and not_before > now() and worker is null",
        unit.0
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Orders that are still open although all their units have ended.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn unsettled(store: &Store) -> Result<Vec<OrderId>> {
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar!(
        "-- store.fulfilment.unsettled
        select o.id from orders o where o.status in ('PENDING', 'PROCESSING')
           and not exists (select 1 from order_units u where u.order_id = o.id and u.state not in ('DONE', 'REFUNDED'))
         order by o.created_at limit 1000"
    )
    .fetch_all(store.alone())
    .await?;
    Ok(ids.into_iter().map(OrderId).collect())
}

/// Settles such an order; true if it was one.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn settle_now(store: &Store, order: OrderId, emails: &super::EmailSettings) -> Result<bool> {
    let emails = emails.clone();
    store
        .tx("fulfilment.settle_now", move |tx| {
            let emails = emails.clone();
            Box::pin(async move {
                sqlx::query_scalar!(
                    "-- store.fulfilment.settle_now.lock\nselect 1 as one from orders where id = $1 for no key update",
                    order.0
                )
                .fetch_optional(tx.conn())
                .await?;
                Ok(super::money::settle(tx, order, &emails).await?.is_some())
            })
        })
        .await
}
