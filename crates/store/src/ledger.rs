//! Balances and bookings as their owners see them, and adjustments by admins.

use std::sync::Arc;

use lockstep_domain::ids::{OrderId, UserId};
use lockstep_domain::purchase::{Balance, TransactionView};
use lockstep_domain::staff::Refused;
use lockstep_domain::{Money, title};
use uuid::Uuid;

use crate::accounts::{AccountError, staff};
use crate::audit::{self, AuditEntry};
use crate::row::{money_of, payment_status_of, refund_reason_of, transaction_type_of};
use crate::transaction::holds_store_error;
use crate::{AsStoreError as _, Result, Store, StoreError, Tx};

/// Maximum number of bookings in a list.
pub const MAX_LISTED: u32 = 100;
/// The highest balance that an adjustment makes, in cents: a million euros. The column holds ten thousand times as much,
/// so that no refund of an open order fails for it.
const MAX_BALANCE_CENTS: i64 = 100_000_000;

/// The method that marks the booking of an adjustment.
pub const ADJUSTMENT: &str = "ADJUSTMENT";

/// The balance of `user`; `None` if the user does not exist.
///
/// # Errors
/// [`StoreError`].
pub async fn balance(tx: &mut Tx, user: UserId) -> Result<Option<Balance>> {
    let row = sqlx::query!(
        "-- store.ledger.balance\nselect balance from users where id = $1 and deleted_at is null",
        user.0
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| {
        Ok(Balance {
            balance: money_of(row.balance)?,
            currency: "EUR".into(),
        })
    })
    .transpose()
}

/// Bookings of a user, newest first: at most [`MAX_LISTED`], after the first `skip`.
///
/// # Errors
/// [`StoreError`].
pub async fn transactions(tx: &mut Tx, user: UserId, skip: u32, most: u32) -> Result<Vec<TransactionView>> {
    let rows = sqlx::query!(
        r#"-- store.ledger.transactions
        select t.id, t.type::text as "type!", t.amount, t.currency, t.method, t.status::text as "status!", t.description,
               t.subject, t.reason, t.transaction_hash, t.created_at, t.order_id
          -- Those that are left out are passed over in the index alone.
          from (select id, created_at from transactions where user_id = $1
                 order by created_at desc, id desc offset $2 limit $3) listed
          join transactions t on t.id = listed.id
         order by listed.created_at desc, listed.id desc"#,
        user.0,
        i64::from(skip),
        i64::from(most.min(MAX_LISTED))
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            let subject = row.subject.as_deref();
            Ok(TransactionView {
                id: row.id,
                kind: transaction_type_of(&row.r#type)?,
                amount: money_of(row.amount)?,
                currency: row.currency,
                status: payment_status_of(&row.status)?,
                description: row.description.map(|text| readable(text, subject)),
                subject: subject.map(title::names),
                reason: row.reason.as_deref().map(refund_reason_of).transpose()?,
                // The reference of an adjustment is for admins only.
                transaction_hash: row
                    .transaction_hash
                    .filter(|_| row.method.as_deref() != Some(ADJUSTMENT)),
                method: row.method,
                created_at: row.created_at,
                order_id: row.order_id.map(OrderId),
            })
        })
        .collect()
}

/// A description that begins with what the booking is for (`Portal 2 - Steam Key - GLOBAL: sold out`) with the game's own
/// name instead; any other as it is.
fn readable(description: String, subject: Option<&str>) -> String {
    match subject.and_then(|subject| Some((subject, description.strip_prefix(subject)?))) {
        Some((subject, rest)) if !subject.is_empty() => format!("{}{rest}", title::names(subject)),
        _ => description,
    }
}

/// A balance that an admin has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adjusted {
    /// Before.
    pub previous: Money,
    /// After.
    pub balance: Money,
}

/// Why a balance was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AdjustError {
    /// No such user.
    #[error("User not found")]
    NotFound,
    /// The account has permissions that the admin lacks.
    #[error(transparent)]
    Refused(Refused),
    /// The amount is zero.
    #[error("The amount must not be zero")]
    Zero,
    /// The balance would be negative.
    #[error("Insufficient balance: it is {balance} EUR")]
    Insufficient {
        /// The current balance.
        balance: Money,
    },
    /// The balance would exceed the maximum of an account.
    #[error("The balance would exceed the maximum of an account")]
    TooMuch,
    /// The idempotency key was used for another adjustment.
    #[error("This Idempotency-Key was used for another request")]
    KeyReused,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(AdjustError);

/// Adjusts a balance by `amount`, with a reason, on behalf of an admin.
///
/// A credit is booked as a `TOP_UP`, a debit as a `PURCHASE` without an order: the data model (`docs/data-model.md`)
/// has no fourth type, and this way the sign still follows the type and the balance is still the sum of the bookings.
/// Both carry the method [`ADJUSTMENT`]. With `key`, repeated calls make the same adjustment once.
///
/// # Errors
/// [`AdjustError`]; then nothing has changed.
pub async fn adjust(
    store: &Store,
    admin: UserId,
    user: UserId,
    amount: Money,
    reason: &str,
    key: Option<&str>,
) -> Result<Adjusted, AdjustError> {
    if amount == Money::ZERO {
        return Err(AdjustError::Zero);
    }
    let hash = key.map(|key| format!("adjustment:{admin}:{key}"));
    let asked = Arc::new((reason.to_owned(), hash));
    store
        .tx_about("ledger.adjust", &[user.into()], move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move { adjust_once(tx, admin, user, amount, &asked.0, asked.1.as_deref()).await })
        })
        .await
        .map_err(|error| match error.as_store_error().and_then(StoreError::constraint) {
            // The same key was used for two users at the same moment, and the other call won.
            Some("transactions_transaction_hash_key") => AdjustError::KeyReused,
            _ => error,
        })
}

async fn adjust_once(
    tx: &mut Tx,
    admin: UserId,
    user: UserId,
    amount: Money,
    reason: &str,
    hash: Option<&str>,
) -> Result<Adjusted, AdjustError> {
    let row = sqlx::query!(
        "-- store.ledger.adjust.lock\nselect balance from users where id = $1 and deleted_at is null for no key update",
        user.0
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(AdjustError::NotFound)?;
    let previous = money_of(row.balance)?;
    staff::not_above(tx, admin, user).await.map_err(|error| match error {
        AccountError::Refused(refused) => AdjustError::Refused(refused),
        AccountError::Store(error) => error.into(),
        _ => AdjustError::NotFound,
    })?;
    if let Some(hash) = hash {
        // `same` is never null: every adjustment has a description.
        let before = sqlx::query!(
            r#"-- store.ledger.adjust.before
            select t.user_id = $2 and t.amount = $3 and t.description = $4 as "same!",
                   a.details as "details: sqlx::types::Json<Answered>"
              from transactions t join audit_log a on a.details ->> 'transaction' = t.id::text and a.subject_id = t.user_id
             where t.transaction_hash = $1"#,
            hash,
            user.0,
            amount.decimal(),
            reason
        )
        .fetch_optional(tx.conn())
        .await?;
        if let Some(row) = before {
            if !row.same {
                return Err(AdjustError::KeyReused);
            }
            return Ok(Adjusted {
                previous: row.details.previous,
                balance: row.details.balance,
            });
        }
    }
    book_adjustment(tx, admin, user, previous, amount, reason, hash).await
}

/// Books an adjustment of a balance that is `previous`. The caller holds the lock of the user.
pub(crate) async fn book_adjustment(
    tx: &mut Tx,
    admin: UserId,
    user: UserId,
    previous: Money,
    amount: Money,
    reason: &str,
    hash: Option<&str>,
) -> Result<Adjusted, AdjustError> {
    let balance = previous.checked_add(amount).ok_or(AdjustError::TooMuch)?;
    if amount.is_positive() && balance.cents() > MAX_BALANCE_CENTS {
        return Err(AdjustError::TooMuch);
    }
    if balance < Money::ZERO {
        return Err(AdjustError::Insufficient { balance: previous });
    }
    let transaction = Uuid::now_v7();
    sqlx::query!(
        "-- store.ledger.adjust
        with changed as (update users set balance = balance + $3 where id = $2)
        insert into transactions (id, user_id, type, amount, method, status, description, transaction_hash)
        values ($1, $2, case when $3 > 0 then 'TOP_UP' else 'PURCHASE' end::transaction_type, $3, $4, 'COMPLETED', $5, $6)",
        transaction,
        user.0,
        amount.decimal(),
        ADJUSTMENT,
        reason,
        hash
    )
    .execute(tx.conn())
    .await?;
    // Read again: what the user owes is taken from a credit.
    let balance = sqlx::query_scalar!(
        "-- store.ledger.adjusted\nselect balance from users where id = $1",
        user.0
    )
    .fetch_one(tx.conn())
    .await?;
    let balance = money_of(balance)?;
    let deed = AuditEntry {
        admin,
        action: "balance.adjust",
        subject: ("user", user.0),
        details: serde_json::json!({
            "transaction": transaction, "amount": amount, "previous": previous, "balance": balance, "reason": reason,
        }),
    };
    audit::write(tx, &deed).await?;
    Ok(Adjusted { previous, balance })
}

/// The response to an adjustment, as stored in the audit log.
#[derive(Debug, serde::Deserialize)]
struct Answered {
    previous: Money,
    balance: Money,
}
