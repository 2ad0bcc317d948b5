//! Goodwill refunds of delivered order units: the shopper keeps the key, the shop bears the cost.
//!
//! An undelivered unit is refunded by abandoning it (`crates/fulfilment`); here a unit keeps its price, and the refunded
//! part is recorded on it. Together with the booking this is what `orders_refunds_are_of_refunded_units` checks.

use std::sync::Arc;

use lockstep_domain::Money;
use lockstep_domain::ids::{OrderId, UnitId, UserId};
use lockstep_domain::order::UnitState;
use lockstep_domain::staff::{Permission, Refused};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::accounts::{AccountError, staff};
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

/// What is refunded of an order: its delivered units, the first ones first, or only one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundOf {
    /// The booking of the purchase.
    pub purchase: Uuid,
    /// The unit; `None` for all of them.
    pub unit: Option<UnitId>,
}

impl From<Uuid> for RefundOf {
    fn from(purchase: Uuid) -> Self {
        Self { purchase, unit: None }
    }
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
    /// The account was deleted: nobody could spend the money.
    #[error("The account of this order is deleted. Its balance can no longer be spent.")]
    AccountDeleted,
    /// The buyer has a permission that the caller lacks.
    #[error("{0}")]
    Refused(Refused),
    /// More than the role refunds within a day without the password.
    #[error("More than {limit} EUR a day needs your password again. Log in anew, then repeat this.")]
    NotConfirmed {
        /// What the role refunds without.
        limit: Money,
    },
    /// No delivered units to refund; pending ones are cancelled instead.
    #[error("Nothing of this order has been delivered yet. Cancel it instead.")]
    NothingDelivered,
    /// Another key is being bought in place of a faulty one.
    #[error(
        "Another key is being bought in place of a faulty one. Refund when that has ended, or cancel the reservation."
    )]
    BeingReplaced,
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
/// delivered units. The audit log records the admin. With `key`, repeated calls make the refund once. Unless `confirmed`,
/// the limit of the admin's role holds.
///
/// # Errors
/// [`GoodwillError`]; then nothing has changed.
pub async fn refund(
    store: &Store,
    (admin, confirmed): (UserId, bool),
    of: impl Into<RefundOf>,
    amount: Option<Money>,
    reason: Option<&str>,
    key: Option<&Idempotency>,
) -> Result<Refunded, GoodwillError> {
    let of = of.into();
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
                    return refund_now(tx, (admin, confirmed), of, amount, reason.as_deref()).await;
                };
                let call = Call {
                    owner: admin.0,
                    route: "orders.refund",
                    key,
                    // As JSON, in which a reason cannot be confused with an amount.
                    asked: match of.unit {
                        None => serde_json::json!([of.purchase, amount, reason]).to_string(),
                        Some(unit) => serde_json::json!([of.purchase, amount, reason, unit]).to_string(),
                    },
                };
                match call.look(tx).await? {
                    Known::Done(refunded) => Ok(refunded),
                    Known::Other => Err(GoodwillError::KeyReused),
                    Known::Nothing => {
                        let refunded = refund_now(tx, (admin, confirmed), of, amount, reason.as_deref()).await?;
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
    (admin, confirmed): (UserId, bool),
    of: RefundOf,
    amount: Option<Money>,
    reason: Option<&str>,
) -> Result<Refunded, GoodwillError> {
    let row = sqlx::query!(
        r#"-- store.orders.refund.purchase
        select t.order_id, t.user_id, t.type = 'PURCHASE' and t.status = 'COMPLETED' as "is_purchase!",
               u.deleted_at is not null as "is_deleted!"
          from transactions t join users u on u.id = t.user_id where t.id = $1"#,
        of.purchase
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
    staff::not_above(tx, admin, UserId(row.user_id))
        .await
        .map_err(|error| match error {
            AccountError::Refused(refused) => GoodwillError::Refused(refused),
            AccountError::Store(error) => error.into(),
            _ => GoodwillError::NotFound,
        })?;
    if row.is_deleted {
        return Err(GoodwillError::AccountDeleted);
    }
    // The lock that every other refund of this order takes too.
    sqlx::query_scalar!(
        "-- store.orders.refund.lock\nselect 1 as one from orders where id = $1 for no key update",
        order
    )
    .fetch_optional(tx.conn())
    .await?;
    let shares = shares(tx, order, of.unit, amount).await?;
    let amount = shares
        .iter()
        .try_fold(Money::ZERO, |sum, (_, share)| sum.checked_add(*share))
        .ok_or_else(|| StoreError::Schema("a refund adds up to more than can be".into()))?;
    if !confirmed
        && let Some((limit, refunded)) = staff::refund_limit(tx, admin).await?
        && refunded.checked_add(amount).is_none_or(|sum| sum > limit)
    {
        return Err(GoodwillError::NotConfirmed { limit });
    }
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
    let booked = sqlx::query!(
        "-- store.orders.refund.book
        with returned as (update users set balance = balance + $4 where id = $2 and deleted_at is null returning id)
        insert into transactions (id, user_id, order_id, type, amount, method, status, description)
        select $1, id, $3, 'REFUND', $4, 'BALANCE', 'COMPLETED', $5 from returned",
        transaction,
        row.user_id,
        order,
        amount.decimal(),
        reason.unwrap_or("Refund")
    )
    .execute(tx.conn())
    .await?;
    if booked.rows_affected() == 0 {
        return Err(GoodwillError::AccountDeleted);
    }
    let deed = AuditEntry {
        admin,
        action: "order.refund",
        subject: ("order", order),
        details: serde_json::json!({
            "transaction": transaction, "purchase": of.purchase, "amount": amount, "reason": reason,
        }),
    };
    audit::write(tx, &deed).await?;
    Ok(Refunded {
        transaction,
        order: OrderId(order),
        amount,
    })
}

/// Distributes the refund over the delivered units, or over `unit`: the first units first, each up to the remainder of
/// its price.
async fn shares(
    tx: &mut Tx,
    order: Uuid,
    unit: Option<UnitId>,
    amount: Option<Money>,
) -> Result<Vec<(Uuid, Money)>, GoodwillError> {
    let rows = sqlx::query!(
        r#"-- store.orders.refund.delivered
        select id, state, price_paid - goodwill as "remaining!", faulty_key_id is not null as "is_replaced!" from order_units
         where order_id = $1 order by order_item_id, position for no key update"#,
        order
    )
    .fetch_all(tx.conn())
    .await?;
    let mut delivered = false;
    let mut all_given_up = true;
    let mut is_replaced = false;
    let mut most = Money::ZERO;
    let mut left = amount;
    let mut shares = Vec::new();
    for row in rows.into_iter().filter(|row| unit.is_none_or(|unit| unit.0 == row.id)) {
        let state = unit_state_of(&row.state)?;
        all_given_up &= state == UnitState::Refunded;
        is_replaced |= row.is_replaced;
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
    if !delivered && is_replaced {
        return Err(GoodwillError::BeingReplaced);
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
