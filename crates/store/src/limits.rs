//! Rate limits that all processes share. The arithmetic is in `lockstep_domain::limit`; here is where the debts are kept.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::limit::{Rule, Verdict};
use sqlx::Row as _;

use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError};

/// One limit as it applies to one address or account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What is counted, at most 200 characters: never a secret, and never a person's address in the clear.
    pub key: String,
    /// How much.
    pub rule: Rule,
}

/// Why nothing was taken.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// Too often; come back later.
    #[error("too many attempts")]
    Refused {
        /// Which of the limits, by its place in what was asked.
        index: usize,
        /// When an attempt will be let through.
        retry_after: Duration,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(LimitError);

/// Takes one attempt from every limit, or from none when one of them refuses. Limits have to be named in the same order
/// by everybody (address before account), because they are locked in it.
///
/// # Errors
/// [`LimitError::Refused`] by the first that refuses; [`LimitError::Store`].
pub async fn take(store: &Store, limits: &[Limit]) -> Result<(), LimitError> {
    let limits: Vec<Limit> = limits.to_vec();
    store
        .tx("limits.take", move |tx| {
            let limits = limits.clone();
            Box::pin(async move {
                for (index, limit) in limits.iter().enumerate() {
                    // Locks the row, also when it is new; a new one owes nothing.
                    let row = sqlx::query(
                        "-- store.limits.look
                        insert into rate_limits (key, debt) values ($1, clock_timestamp())
                        on conflict (key) do update set key = excluded.key
                        returning debt, clock_timestamp() as now",
                    )
                    .bind(&limit.key)
                    .fetch_one(tx.conn())
                    .await?;
                    let debt: DateTime<Utc> = row.try_get("debt")?;
                    match limit.rule.take(Some(debt), row.try_get("now")?) {
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
    sqlx::query("-- store.limits.set\nupdate rate_limits set debt = $2 where key = $1")
        .bind(key)
        .bind(debt)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Gives back an attempt that turned out to be a rightful one.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn give_back(store: &Store, limit: &Limit) -> Result<()> {
    let limit = limit.clone();
    store
        .tx("limits.give_back", move |tx| {
            let limit = limit.clone();
            Box::pin(async move {
                let debt: Option<DateTime<Utc>> =
                    sqlx::query_scalar("-- store.limits.lock\nselect debt from rate_limits where key = $1 for update")
                        .bind(&limit.key)
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

/// Forgets limits that have recovered completely; returns how many, at most [`SWEEP`](crate::SWEEP).
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sweep(store: &Store) -> Result<u64> {
    let done = sqlx::query(
        "-- store.limits.sweep
        delete from rate_limits where key in (
            select key from rate_limits where debt <= now() order by debt limit $1 for update skip locked)",
    )
    .bind(i64::from(crate::SWEEP))
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected())
}
