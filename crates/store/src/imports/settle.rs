//! `--settle`: gives back the money of copies that an imported order never got.

use rust_decimal::Decimal;
use uuid::Uuid;

use crate::audit::{self, By};
use crate::{Result, Store, StoreError, Tx};

/// What was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// Orders.
    pub orders: u64,
    /// EUR, to the balances of their customers.
    pub amount: Decimal,
}

/// Refunds the waiting copies of imported orders that wait for `why`, to the balance. An order is settled once: its copies
/// wait no longer.
///
/// # Errors
/// [`StoreError::Unavailable`]; the orders that were settled until then stay so.
pub async fn settle(store: &Store, why: &str, by: &By) -> Result<Settled> {
    let mut settled = Settled::default();
    let mut after = Uuid::nil();
    loop {
        let orders = sqlx::query_scalar!(
            "-- store.imports.settle.waiting
            select id from orders o
             where o.imported_by is not null and o.status = 'PROCESSING' and o.id > $2
               and exists (select from order_units u where u.order_id = o.id and u.state = 'NEW' and u.last_error = $1)
             order by o.id limit 200",
            why,
            after
        )
        .fetch_all(store.alone())
        .await?;
        let Some(last) = orders.last() else {
            return Ok(settled);
        };
        after = *last;
        for order in orders {
            let booked = store
                .tx("imports.settle", |tx| {
                    let (why, by) = (why.to_owned(), by.clone());
                    Box::pin(async move { settle_order(tx, order, &why, &by).await })
                })
                .await?;
            if let Some(amount) = booked {
                settled.orders += 1;
                settled.amount += amount;
            }
        }
    }
}

async fn settle_order(tx: &mut Tx, order: Uuid, why: &str, by: &By) -> Result<Option<Decimal>> {
    // The customer first, then the order: as everything that books does.
    let user = sqlx::query_scalar!(
        "-- store.imports.settle.lock
        select u.id from users u join orders o on o.user_id = u.id
         where o.id = $1 and u.deleted_at is null for no key update of u",
        order
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(user) = user else { return Ok(None) };
    let amounts = sqlx::query_scalar!(
        "-- store.imports.settle.units
        update order_units set state = 'REFUNDED', refunded_for = 'NOT_DELIVERED', last_error = null, told_at = now()
         where order_id = $1 and state = 'NEW' and worker is null and last_error = $2
        returning price_paid",
        order,
        why
    )
    .fetch_all(tx.conn())
    .await?;
    if amounts.is_empty() {
        return Ok(None);
    }
    let amount: Decimal = amounts.into_iter().sum();
    if amount > Decimal::ZERO {
        sqlx::query!(
            "-- store.imports.settle.book
            insert into transactions (id, user_id, order_id, type, amount, method, status, description, reason)
            values ($1, $2, $3, 'REFUND', $4, 'BALANCE', 'COMPLETED', 'Not delivered by the former shop', 'NOT_DELIVERED')",
            Uuid::now_v7(),
            user,
            order,
            amount
        )
        .execute(tx.conn())
        .await?;
        sqlx::query!(
            "-- store.imports.settle.balance\nupdate users set balance = balance + $2 where id = $1",
            user,
            amount
        )
        .execute(tx.conn())
        .await?;
    }
    sqlx::query!(
        "-- store.imports.settle.order
        update orders o
           set status = case when exists (select from order_units u where u.order_id = o.id and u.state = 'DONE')
                             then 'COMPLETED' else 'FAILED' end::order_status
         where o.id = $1 and o.status = 'PROCESSING'
           and not exists (select from order_units u where u.order_id = o.id and u.state not in ('DONE', 'REFUNDED'))",
        order
    )
    .execute(tx.conn())
    .await?;
    let details = serde_json::json!({ "kind": why, "amount": amount.to_string(), "user": user });
    audit::record(tx, by, "import.settle", ("order", order), details).await?;
    Ok::<_, StoreError>(Some(amount))
}
