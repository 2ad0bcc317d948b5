//! Refunds and the completion of an order: a unit's refund is one transaction with the change of its state and of the
//! balance, and the last unit to end settles its order.

use lockstep_domain::Money;
use lockstep_domain::ids::{OrderId, UnitId, UserId};
use lockstep_domain::order::{OrderStatus, RefundReason};
use lockstep_domain::staff::Refused;
use uuid::Uuid;

use super::emails::{self, EmailSettings};
use super::incidents;
use super::queue::{Lease, held, lock_order_of};
use super::steps::reason;
use crate::row::{count_of, money_of};
use crate::{AsStoreError, Result, StoreError, Tx};

/// An order that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The order.
    pub order: OrderId,
    /// Its user.
    pub user: UserId,
    /// Its final status.
    pub status: OrderStatus,
    /// Number of delivered units.
    pub delivered: u32,
    /// Number of refunded units.
    pub refunded: u32,
}

/// The result of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled {
    /// The amount refunded to the balance at once, EUR.
    pub refunded: Money,
    /// Units that were delivered earlier, or are paid for at G2A and continue.
    pub kept: u32,
    /// The end of the order, if this call ended it; `None` for a repeated call.
    pub settled: Option<Settled>,
}

/// Why a unit or an order is not refunded.
#[derive(Debug, thiserror::Error)]
pub enum NotRefundable {
    /// The id does not exist.
    #[error("Order not found")]
    Unknown,
    /// The key was delivered, or may have been: G2A was asked for it or for the payment.
    #[error("the key was delivered or is being bought")]
    Bought,
    /// The money was already refunded.
    #[error("it was refunded before")]
    Refunded,
    /// The buyer has a permission that the caller lacks.
    #[error("{0}")]
    NotAllowed(Refused),
    /// The idempotency key was used for another request.
    #[error("this key was used for another cancellation")]
    KeyReused,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AsStoreError for NotRefundable {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// Refunds a unit to the cent. For the worker that holds its lease, and only if nothing was paid at G2A or the key is
/// permanently lost. Settles the order if this was its last open unit.
///
/// # Errors
/// [`StoreError::Fenced`], [`StoreError::Unavailable`].
pub async fn refund(
    tx: &mut Tx,
    lease: Lease,
    cause: RefundReason,
    why: &str,
    emails: &EmailSettings,
) -> Result<Option<Settled>> {
    let order = lock_order_of(tx, lease.unit).await?;
    let done = sqlx::query!(
        "-- store.fulfilment.refund
        update order_units set state = 'REFUNDED', refunded_for = $4, worker = null, last_error = $3
         where id = $1 and epoch = $2 and state in ('NEW', 'ORDERING', 'ORDERED', 'PAYING', 'LOST')",
        lease.unit.0,
        lease.epoch,
        reason(why),
        cause.as_str()
    )
    .execute(tx.conn())
    .await?;
    held(done.rows_affected())?;
    book_refund(tx, lease.unit, cause, cause.words()).await?;
    settle(tx, order, emails).await
}

/// Ends the purchase of a replacement without one: the unit has its faulty key again, and an incident says why. For the worker
/// that holds its lease, under the conditions of [`refund`].
///
/// # Errors
/// [`StoreError::Fenced`], [`StoreError::Unavailable`].
pub async fn keep_faulty_key(tx: &mut Tx, lease: Lease, why: &str, emails: &EmailSettings) -> Result<Option<Settled>> {
    let order = lock_order_of(tx, lease.unit).await?;
    let key = sqlx::query_scalar!(
        "-- store.fulfilment.keep_faulty_key
        select faulty_key_id from order_units
         where id = $1 and epoch = $2 and state in ('NEW', 'ORDERING', 'ORDERED', 'PAYING', 'LOST') for update",
        lease.unit.0,
        lease.epoch
    )
    .fetch_optional(tx.conn())
    .await?;
    let key = key.flatten().ok_or(StoreError::Fenced)?;
    return_key(tx, order, lease.unit, key, why, emails).await
}

/// Gives a unit its faulty key again, as it was before. The caller holds the lock of the order, and nothing of the unit can be paid
/// at G2A any more, or its key is permanently lost.
async fn return_key(
    tx: &mut Tx,
    order: OrderId,
    unit: UnitId,
    key: Uuid,
    why: &str,
    emails: &EmailSettings,
) -> Result<Option<Settled>> {
    // It was marked as used when it was taken back, unless its owner had done so.
    sqlx::query!(
        "-- store.fulfilment.return_key
        update game_keys
           set order_id = faulty_order_id, order_unit_id = faulty_unit_id, faulty_at = null, faulty_order_id = null,
               faulty_unit_id = null, activated = activation_date <> faulty_at,
               activation_date = nullif(activation_date, faulty_at)
         where id = $1",
        key
    )
    .execute(tx.conn())
    .await?;
    // Along the state machine: what was ordered in vain is given up first.
    sqlx::query!(
        "-- store.fulfilment.return_key.give_up
        update order_units
           set state = 'NEW', g2a_order_id = null, g2a_price = null, g2a_transaction_id = null, ordered_at = null,
               pay_asked_at = null, last_error = $2
         where id = $1 and state <> 'NEW'",
        unit.0,
        reason(why)
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.fulfilment.return_key.done
        update order_units u
           set state = 'DONE', faulty_key_id = null, epoch = u.epoch + 1, worker = null, last_error = $3,
               g2a_order_id = k.g2a_order_id, g2a_price = (select price from g2a_orders g where g.g2a_order_id = k.g2a_order_id)
          from game_keys k where u.id = $1 and k.id = $2",
        unit.0,
        key,
        reason(why)
    )
    .execute(tx.conn())
    .await?;
    incidents::not_replaced(tx, unit, why).await?;
    settle(tx, order, emails).await
}

/// Refunds a unit at a person's request, regardless of its lease: only while nothing can have been paid for it at G2A,
/// or after its key was lost. Invalidates what a worker is doing with it. A unit whose faulty key is being replaced gets that key
/// again, and nothing is refunded.
///
/// # Errors
/// [`NotRefundable`].
pub async fn refund_unit(
    tx: &mut Tx,
    unit: UnitId,
    why: &str,
    emails: &EmailSettings,
) -> Result<(Money, Option<Settled>), NotRefundable> {
    let order = lock_order_of(tx, unit).await.map_err(|error| match error {
        StoreError::Fenced => NotRefundable::Unknown,
        error => error.into(),
    })?;
    let row = sqlx::query!(
        "-- store.fulfilment.refund_unit
        with before as (select id, state, faulty_key_id from order_units where id = $1 for update),
        given as (
            update order_units u set state = 'REFUNDED', refunded_for = 'CANCELLED', epoch = epoch + 1, worker = null,
                   last_error = $2
              from before b where u.id = b.id and b.state in ('NEW', 'ORDERING', 'ORDERED', 'LOST') and b.faulty_key_id is null
            returning u.price_paid)
        select b.state, b.faulty_key_id, (select price_paid from given) as given from before b",
        unit.0,
        reason(why)
    )
    .fetch_one(tx.conn())
    .await
    .map_err(StoreError::from)?;
    if let (Some(key), "NEW" | "ORDERING" | "ORDERED" | "LOST") = (row.faulty_key_id, row.state.as_str()) {
        return Ok((Money::ZERO, return_key(tx, order, unit, key, why, emails).await?));
    }
    let Some(amount) = row.given.map(money_of).transpose()? else {
        return Err(match row.state.as_str() {
            "REFUNDED" => NotRefundable::Refunded,
            _ => NotRefundable::Bought,
        });
    };
    book_refund(tx, unit, RefundReason::Cancelled, why).await?;
    Ok((amount, settle(tx, order, emails).await?))
}

/// Refunds everything of an order that is not paid for at G2A. The rest continues: it is delivered, or refunded if that
/// fails, and nothing is bought for it again. A copy whose faulty key is being replaced was delivered, so that goes on.
///
/// # Errors
/// [`NotRefundable`]; an order that has ended is [`Refunded`](NotRefundable::Refunded) or
/// [`Bought`](NotRefundable::Bought).
pub async fn cancel_order(
    tx: &mut Tx,
    order: OrderId,
    why: &str,
    emails: &EmailSettings,
) -> Result<Cancelled, NotRefundable> {
    let status: Option<String> = sqlx::query_scalar!(
        r#"-- store.fulfilment.cancel_order
        select status::text as "status!" from orders where id = $1 for no key update"#,
        order.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::from)?;
    match status.as_deref() {
        None => return Err(NotRefundable::Unknown),
        Some("PENDING" | "PROCESSING") => {}
        Some("COMPLETED") => return Err(NotRefundable::Bought),
        Some(_) => return Err(NotRefundable::Refunded),
    }
    sqlx::query!(
        "-- store.fulfilment.cancel_asked
        update orders set cancel_asked_at = coalesce(cancel_asked_at, now()) where id = $1",
        order.0
    )
    .execute(tx.conn())
    .await
    .map_err(StoreError::from)?;
    let given: Vec<Uuid> = sqlx::query_scalar!(
        "-- store.fulfilment.cancel_units
        update order_units set state = 'REFUNDED', refunded_for = 'CANCELLED', epoch = epoch + 1, worker = null,
               last_error = $2
         where order_id = $1 and state in ('NEW', 'ORDERING', 'ORDERED', 'LOST') and faulty_key_id is null returning id",
        order.0,
        reason(why)
    )
    .fetch_all(tx.conn())
    .await
    .map_err(StoreError::from)?;
    let mut refunded = Money::ZERO;
    for unit in given {
        let amount = book_refund(tx, UnitId(unit), RefundReason::Cancelled, why).await?;
        refunded = refunded
            .checked_add(amount)
            .ok_or_else(|| StoreError::Schema("an order's refunds do not fit".into()))?;
    }
    let settled = settle(tx, order, emails).await?;
    let kept: i64 = sqlx::query_scalar!(
        r#"-- store.fulfilment.cancel_kept
        select count(*) as "kept!" from order_units where order_id = $1 and state <> 'REFUNDED'"#,
        order.0
    )
    .fetch_one(tx.conn())
    .await
    .map_err(StoreError::from)?;
    Ok(Cancelled {
        refunded,
        kept: u32::try_from(kept).unwrap_or(u32::MAX),
        settled,
    })
}

/// Books the price of a unit that has just become `REFUNDED`; `why` becomes part of the booking. The caller holds the
/// lock of the order.
async fn book_refund(tx: &mut Tx, unit: UnitId, cause: RefundReason, why: &str) -> Result<Money> {
    let price = sqlx::query_scalar!(
        "-- store.fulfilment.give_back
        with owed as (
            select o.id as order_id, o.user_id, u.price_paid, g.title
              from order_units u join orders o on o.id = u.order_id join games g on g.id = u.game_id where u.id = $1),
        booked as (
            insert into transactions (id, user_id, order_id, type, amount, status, method, subject, reason, description)
            select $2, user_id, order_id, 'REFUND', price_paid, 'COMPLETED', 'BALANCE', nullif(left(title, 300), ''), $4,
                   left(title || ': ' || $3, 500)
              from owed where price_paid > 0),
        returned as (
            update users set balance = balance + price_paid from owed
             where users.id = owed.user_id and price_paid > 0)
        select price_paid from owed",
        unit.0,
        Uuid::now_v7(),
        reason(why),
        cause.as_str()
    )
    .fetch_one(tx.conn())
    .await?;
    money_of(price)
}

/// Ends an order without open units: `COMPLETED` if a key was delivered (and the rest refunded), else `CANCELLED` if
/// that was requested, else `FAILED`. Queues the e-mails about it; if all open units wait for the game's release, it
/// queues those about the finished ones. The caller holds the lock of the order.
pub(super) async fn settle(tx: &mut Tx, order: OrderId, emails: &EmailSettings) -> Result<Option<Settled>> {
    let row = sqlx::query!(
        r#"-- store.fulfilment.settle
        select o.user_id, o.status::text as "status!", o.cancel_asked_at is not null as "cancel_asked!",
               count(*) filter (where u.state = 'DONE')::integer as "delivered!",
               count(*) filter (where u.state = 'REFUNDED')::integer as "refunded!",
               count(*) filter (where u.state not in ('DONE', 'REFUNDED'))::integer as "open!",
               count(*) filter (where u.state = 'NEW' and g.release_date_known and g.release_date > o.created_at
                                  and g.release_date > now())::integer as "preordered!"
          from orders o join order_units u on u.order_id = o.id join games g on g.id = u.game_id
         where o.id = $1 group by o.id"#,
        order.0
    )
    .fetch_one(tx.conn())
    .await?;
    if !matches!(row.status.as_str(), "PENDING" | "PROCESSING") {
        return Ok(None);
    }
    let user = UserId(row.user_id);
    if row.open > 0 {
        if row.open == row.preordered {
            emails::tell(tx, order, user, emails).await?;
        }
        return Ok(None);
    }
    let status = if row.delivered > 0 {
        OrderStatus::Completed
    } else if row.cancel_asked {
        OrderStatus::Cancelled
    } else {
        OrderStatus::Failed
    };
    if row.status == "PENDING" && status == OrderStatus::Completed {
        set_status(tx, order, OrderStatus::Processing).await?;
    }
    set_status(tx, order, status).await?;
    let settled = Settled {
        order,
        user,
        status,
        delivered: count_of(row.delivered)?,
        refunded: count_of(row.refunded)?,
    };
    emails::tell(tx, order, user, emails).await?;
    Ok(Some(settled))
}

/// Own stock can deliver the first unit of an order that is still `PENDING`.
pub(super) async fn set_status(tx: &mut Tx, order: OrderId, status: OrderStatus) -> Result<()> {
    sqlx::query!(
        "-- store.fulfilment.set_status\nupdate orders set status = $2::text::order_status where id = $1",
        order.0,
        status.as_str()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
