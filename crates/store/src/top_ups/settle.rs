//! Decisions of staff about top-ups that no rule covers: credit what was paid, or close them without a credit.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::ids::{TopUpId, UserId};
use lockstep_domain::purchase::PaymentStatus;
use uuid::Uuid;

use super::apply::{Booking, book};
use super::{TopUp, query_top_ups, top_up};
use crate::row::how_many_of;
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx, audit};

/// Maximum number that is listed per user.
const MOST: i64 = 20;

/// Why a top-up was not credited by staff.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The top-up does not exist, does not wait for staff, or was credited meanwhile.
    #[error("no top-up {0} waits for staff")]
    NotWaiting(TopUpId),
    /// The amount paid in euro is unknown.
    #[error("how much to credit? What was paid in EUR is not known: {0}")]
    AmountUnknown(String),
    /// The amount is zero or negative.
    #[error("the amount must be positive")]
    NotPositive,
    /// The account was deleted, so the balance could not be spent.
    #[error("the account of this top-up was deleted; pay the money back at the provider")]
    NoOwner,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(SettleError);

/// Credits a top-up that waits for staff, with `amount`, or else with the amount that the provider reported, if that
/// was in euro. This closes the top-up: later reports of the provider change nothing. The audit log records it with the
/// `machine` on which the command ran.
///
/// # Errors
/// [`SettleError`]; nothing has changed then.
pub async fn credit_by_staff(
    store: &Store,
    id: TopUpId,
    amount: Option<Money>,
    machine: &str,
) -> Result<TopUp, SettleError> {
    if amount.is_some_and(|amount| !amount.is_positive()) {
        return Err(SettleError::NotPositive);
    }
    let machine = machine.to_owned();
    store
        .tx("top_ups.credit_by_staff", move |tx| {
            let machine = machine.clone();
            Box::pin(async move { credit_once(tx, id, amount, &machine).await })
        })
        .await
}

async fn credit_once(tx: &mut Tx, id: TopUpId, amount: Option<Money>, machine: &str) -> Result<TopUp, SettleError> {
    let row = query_top_ups!(
        "-- store.top_ups.settle.find\nselect ",
        " from top_ups where id = $1 and review is not null and reviewed_at is null for no key update",
        id.0,
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(SettleError::NotWaiting(id))?;
    let found = top_up(row)?;
    let has_owner: bool = sqlx::query_scalar!(
        r#"-- store.top_ups.settle.owner
        select deleted_at is null as "has_owner!" from users where id = $1 for no key update"#,
        found.user.0
    )
    .fetch_one(tx.conn())
    .await?;
    if !has_owner {
        return Err(SettleError::NoOwner);
    }
    if found.status == PaymentStatus::Completed {
        return Err(SettleError::NotWaiting(id));
    }
    let amount = match (amount, &found.paid) {
        (Some(amount), _) => amount,
        (None, Some(paid)) if paid.currency == "EUR" && paid.amount.is_positive() => paid.amount,
        (None, Some(paid)) => {
            return Err(SettleError::AmountUnknown(format!(
                "the provider said {} {}",
                paid.amount, paid.currency
            )));
        }
        (None, None) => return Err(SettleError::AmountUnknown("the provider has said nothing".into())),
    };
    let transaction = Uuid::now_v7();
    let name = found.reference.clone().unwrap_or_else(|| found.id.to_string());
    book(
        tx,
        &Booking {
            id: transaction,
            user: found.user.0,
            amount,
            method: &found.method,
            hash: format!("{}:{name}", found.provider),
            is_told: true,
        },
    )
    .await?;
    let row = query_top_ups!(
        "-- store.top_ups.settle.credited
        update top_ups set status = 'COMPLETED', transaction_id = $2, credited_amount = nullif($3, amount),
               reviewed_at = now(), asking_until = null, closing_since = null
         where id = $1 returning ",
        "",
        id.0,
        transaction,
        amount.decimal(),
    )
    .fetch_one(tx.conn())
    .await?;
    let details = serde_json::json!({
        "machine": machine, "user": found.user, "credited": amount.to_string(), "intended": found.amount.to_string(),
    });
    audit::write_operators(tx, "payment.credit", ("top_up", id.0), &details).await?;
    Ok(top_up(row)?)
}

/// Closes a top-up that staff has settled without a credit here: it leaves the review list and is no longer queried.
/// One whose payment differed from the intent becomes failed. Returns false if it does not wait for staff. The audit
/// log records it with the `machine` on which the command ran.
///
/// # Errors
/// [`StoreError`].
pub async fn reviewed(store: &Store, id: TopUpId, machine: &str) -> Result<bool> {
    let details = serde_json::json!({ "machine": machine });
    store
        .tx("top_ups.reviewed", move |tx| {
            let details = details.clone();
            Box::pin(async move {
                let done = sqlx::query!(
                    "-- store.top_ups.reviewed
                    update top_ups set reviewed_at = now(),
                           status = case when review = 'OTHER_AMOUNT' and status in ('PENDING', 'PROCESSING') then 'FAILED' else status end
                     where id = $1 and review is not null and reviewed_at is null",
                    id.0
                )
                .execute(tx.conn())
                .await?;
                if done.rows_affected() == 0 {
                    return Ok(false);
                }
                audit::write_operators(tx, "payment.review", ("top_up", id.0), &details).await?;
                Ok(true)
            })
        })
        .await
}

/// Number of top-ups that wait for staff, and since when the oldest does.
///
/// # Errors
/// [`StoreError`].
pub async fn waiting_for_staff(store: &Store) -> Result<(u64, Option<DateTime<Utc>>)> {
    let row = sqlx::query!(
        r#"-- store.top_ups.waiting_for_staff
        select count(*) as "waiting!", min(review_since) as since from top_ups
         where review is not null and reviewed_at is null"#
    )
    .fetch_one(store.alone())
    .await?;
    Ok((how_many_of(row.waiting), row.since))
}

/// Payments of `user` that differ from the intent and that staff has not settled yet, newest first.
///
/// # Errors
/// [`StoreError`].
pub async fn in_review(store: &Store, user: UserId) -> Result<Vec<TopUp>> {
    let rows = query_top_ups!(
        "-- store.top_ups.in_review\nselect ",
        " from top_ups where review is not null and reviewed_at is null and review = 'OTHER_AMOUNT' and user_id = $1
           and status <> 'COMPLETED' order by review_since desc limit $2",
        user.0,
        MOST,
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter().map(top_up).collect()
}
