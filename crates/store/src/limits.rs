//! Rate limits shared by all processes. The arithmetic is in `lockstep_domain::limit`; this module stores the state.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::limit::{Rule, Verdict};

use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError};

/// One limit, applied to one address or account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What is counted, at most 200 characters: never a secret, and never a person's address in clear text.
    pub key: String,
    /// The permitted rate.
    pub rule: Rule,
}

/// Why no attempt was taken.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The limit is exceeded.
    #[error("too many attempts")]
    Refused {
        /// Index of the limit in the argument.
        index: usize,
        /// Time until an attempt will be accepted.
        retry_after: Duration,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(LimitError);

/// Takes one attempt from every limit, or from none if one of them refuses. All callers have to name limits in the same
/// order (address before account), because they are locked in this order.
///
/// # Errors
/// [`LimitError::Refused`] for the first limit that refuses; [`LimitError::Store`].
pub async fn take(store: &Store, limits: &[Limit]) -> Result<(), LimitError> {
    let limits: Vec<Limit> = limits.to_vec();
    store
        .tx("limits.take", move |tx| {
            let limits = limits.clone();
            Box::pin(async move {
                for (index, limit) in limits.iter().enumerate() {
                    // Locks the row, also a new one; a new one has no debt.
                    let row = sqlx::query!(
                        r#"-- store.limits.look
                        insert into rate_limits (key, debt) values ($1, clock_timestamp())
                        on conflict (key) do update set key = excluded.key
                        returning debt, clock_timestamp() as "now!""#,
                        &limit.key
                    )
                    .fetch_one(tx.conn())
                    .await?;
                    match limit.rule.take(Some(row.debt), row.now) {
                        Verdict::Refused { retry_after } => return Err(LimitError::Refused { index, retry_after }),
                        Verdict::Allowed { debt } => set(tx, &limit.key, debt).await?,
                    }
                }
                Ok(())
            })
        })
        .await
}

async fn set(tx: &mut crate::Tx, key: &str, debt: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "-- store.limits.set\nupdate rate_limits set debt = $2 where key = $1",
        key,
        debt
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Returns an attempt that turned out to be legitimate.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn give_back(store: &Store, limit: &Limit) -> Result<()> {
    let limit = limit.clone();
    store
        .tx("limits.give_back", move |tx| {
            let limit = limit.clone();
            Box::pin(async move {
                let debt = sqlx::query_scalar!(
                    "-- store.limits.lock\nselect debt from rate_limits where key = $1 for update",
                    &limit.key
                )
                .fetch_optional(tx.conn())
                .await?;
                match debt {
                    Some(debt) => set(tx, &limit.key, limit.rule.give_back(debt)).await,
                    None => Ok(()),
                }
            })
        })
        .await
}

/// Deletes limits that have recovered completely; returns how many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.limits.sweep
        delete from rate_limits where key in (
            select key from rate_limits where debt <= now() order by debt limit $1 for update skip locked)",
        i64::from(crate::SWEEP)
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}
