//! Goodwill refunds of delivered order units: the shopper keeps the key, the shop bears the cost.
//!
//! An undelivered unit is refunded by abandoning it (`crates/fulfilment`); here a unit keeps its price, and the refunded
//! part is recorded on it. Together with the booking this is what `orders_refunds_are_of_refunded_units` checks.

use std::sync::Arc;

use lockstep_domain::Money;
use lockstep_domain::ids::{OrderId, UserId};
use lockstep_domain::order::UnitState;
use lockstep_domain::staff::Permission;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::accounts::staff;
use crate::audit::{self, AuditEntry};
use crate::idempotency::{Call, Idempotency, Known};
use crate::row::{money_of, unit_state_of};
use crate::{AsStoreError, Result, Store, StoreError, Tx};

/// A booked refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refunded {
    /// The refund's booking.
    pub transaction: Uuid,
    /// The refunded order.
    pub order: OrderId,
    /// The refunded amount, EUR.
    pub amount: Money,
}

/// Why nothing was refunded.
#[derive(Debug, thiserror::Error)]
pub enum GoodwillError {
    /// The booking does not exist.
    #[error("Transaction not found")]
    NotFound,
    /// Only the purchase of an order can be refunded to the balance.
    #[error("Only a completed purchase can be refunded")]
    NotAPurchase,
    /// Only who may adjust balances refunds a purchase of their own.
    #[error("You cannot refund your own purchase")]
    Own,
    /// No delivered units to refund; pending ones are cancelled instead.
    #[error("Nothing of this order has been delivered yet. Cancel it instead.")]
    NothingDelivered,
    /// The full amount was already refunded.
    #[error("This order has already been refunded")]
    AlreadyRefunded,
    /// More than the remaining amount.
    #[error("At most {most} EUR of this order can still be refunded")]
    TooMuch {
        /// The remaining amount.
        most: Money,
    },
    /// Zero or less.
    #[error("The amount must be positive")]
    NotPositive,
    /// The idempotency key was used for another refund.
    #[error("This Idempotency-Key was used for another request")]
    KeyReused,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AsStoreError for GoodwillError {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<sqlx::Error> for GoodwillError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Refunds `amount` of the purchase booked as `purchase` to the balance, or the whole remaining amount with `None`, for
/// delivered units. The audit log records the admin. With `key`, repeated calls make the refund once.
///
/// # Errors
/// [`GoodwillError`]; then nothing has changed.
pub async fn refund(
    store: &Store,
    admin: UserId,
    purchase: Uuid,
    amount: Option<Money>,
    reason: Option<&str>,
    key: Option<&Idempotency>,
) -> Result<Refunded, GoodwillError> {
    if amount.is_some_and(|amount| !amount.is_positive()) {
        return Err(GoodwillError::NotPositive);
    }
    let asked = Arc::new((reason.map(str::to_owned), key.cloned()));
    store
        .tx("orders.refund", move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (reason, key) = &*asked;
                let Some(key) = key else {
                    return refund_now(tx, admin, purchase, amount, reason.as_deref()).await;
                };
                let call = Call {
                    owner: admin.0,
                    route: "orders.refund",
                    key,
                    // As JSON, in which a reason cannot be confused with an amount.
                    asked: serde_json::json!([purchase, amount, reason]).to_string(),
                };
                match call.look(tx).await? {
                    Known::Done(refunded) => Ok(refunded),
                    Known::Other => Err(GoodwillError::KeyReused),
                    Known::Nothing => {
                        let refunded = refund_now(tx, admin, purchase, amount, reason.as_deref()).await?;
                        call.done(tx, &refunded).await?;
                        Ok(refunded)
                    }
                }
            })
        })
        .await
}

async fn refund_now(
    tx: &mut Tx,
    admin: UserId,
    purchase: Uuid,
    amount: Option<Money>,
    reason: Option<&str>,
) -> Result<Refunded, GoodwillError> {
    let row = sqlx::query!(
        r#"-- store.orders.refund.purchase
        select order_id, user_id, type = 'PURCHASE' and status = 'COMPLETED' as "is_purchase!"
          from transactions where id = $1"#,
        purchase
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(GoodwillError::NotFound)?;
    let (Some(order), true) = (row.order_id, row.is_purchase) else {
        return Err(GoodwillError::NotAPurchase);
    };
    if row.user_id == admin.0 && !staff::of_staff(tx, admin).await?.contains(Permission::BalanceAdjust) {
        return Err(GoodwillError::Own);
    }
    // The lock that every other refund of this order takes too.
    sqlx::query_scalar!(
        "-- store.orders.refund.lock\nselect 1 as one from orders where id = $1 for no key update",
        order
    )
    .fetch_optional(tx.conn())
    .await?;
    let shares = shares(tx, order, amount).await?;
    let amount = shares
        .iter()
        .try_fold(Money::ZERO, |sum, (_, share)| sum.checked_add(*share))
        .ok_or_else(|| StoreError::Schema("a refund adds up to more than can be".into()))?;
    let ids: Vec<Uuid> = shares.iter().map(|(id, _)| *id).collect();
    let amounts: Vec<Decimal> = shares.iter().map(|(_, share)| share.decimal()).collect();
    sqlx::query!(
        "-- store.orders.refund.copies
        update order_units u set goodwill = goodwill + s.share
          from unnest($1::uuid[], $2::numeric[]) as s (id, share) where u.id = s.id",
        &ids,
        &amounts
    )
    .execute(tx.conn())
    .await?;
    let transaction = Uuid::now_v7();
    sqlx::query!(
        "-- store.orders.refund.book
        with returned as (update users set balance = balance + $4 where id = $2)
        insert into transactions (id, user_id, order_id, type, amount, method, status, description)
        values ($1, $2, $3, 'REFUND', $4, 'BALANCE', 'COMPLETED', $5)",
        transaction,
        row.user_id,
        order,
        amount.decimal(),
        reason.unwrap_or("Refund")
    )
    .execute(tx.conn())
    .await?;
    let deed = AuditEntry {
        admin,
        action: "order.refund",
        subject: ("order", order),
        details: serde_json::json!({
            "transaction": transaction, "purchase": purchase, "amount": amount, "reason": reason,
        }),
    };
    audit::write(tx, &deed).await?;
    Ok(Refunded {
        transaction,
        order: OrderId(order),
        amount,
    })
}

/// Distributes the refund over the delivered units: the first units first, each up to the remainder of its price.
async fn shares(tx: &mut Tx, order: Uuid, amount: Option<Money>) -> Result<Vec<(Uuid, Money)>, GoodwillError> {
    let rows = sqlx::query!(
        r#"-- store.orders.refund.delivered
        select id, state, price_paid - goodwill as "remaining!" from order_units
         where order_id = $1 order by order_item_id, position for no key update"#,
        order
    )
    .fetch_all(tx.conn())
    .await?;
    let mut delivered = false;
    let mut all_given_up = true;
    let mut most = Money::ZERO;
    let mut left = amount;
    let mut shares = Vec::new();
    for row in rows {
        let state = unit_state_of(&row.state)?;
        all_given_up &= state == UnitState::Refunded;
        if state != UnitState::Done {
            continue;
        }
        delivered = true;
        let remaining = money_of(row.remaining)?;
        most = most.checked_add(remaining).unwrap_or(most);
        let share = left.map_or(remaining, |left| left.min(remaining));
        left = left.map(|left| left.checked_sub(share).unwrap_or(Money::ZERO));
        if share.is_positive() {
            shares.push((row.id, share));
        }
    }
    if !delivered && !all_given_up {
        return Err(GoodwillError::NothingDelivered);
    }
    if !most.is_positive() {
        return Err(GoodwillError::AlreadyRefunded);
    }
    if left.is_some_and(Money::is_positive) {
        return Err(GoodwillError::TooMuch { most });
    }
    Ok(shares)
}
