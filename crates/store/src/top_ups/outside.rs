//! Money that a relay reports for somebody by their address, without an intent of ours (the old store's webhook).

use lockstep_domain::Money;
use sqlx::Row as _;
use uuid::Uuid;

use super::apply::{Booking, book};
use crate::row::money;
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Subject, Tx};

/// What the relay's events are recorded under.
const RELAY: &str = "relay";

/// A completed payment as a relay reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// The relay's name for it; it counts once.
    pub transaction: String,
    /// Whose it is, normalised as accounts are.
    pub email: String,
    /// How much, EUR; positive.
    pub amount: Money,
    /// How it was paid.
    pub method: String,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutsideOutcome {
    /// Credited now.
    Credited,
    /// Credited before.
    Repeated,
}

/// Why it was not credited.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// No account has this address; none is made up.
    #[error("User not found")]
    NoSuchUser,
    /// Another payment was reported under the same name.
    #[error("This transactionId was used for another payment")]
    NameReused,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(OutsideError);

/// Credits a payment that a relay reports, once.
///
/// # Errors
/// [`OutsideError`]; nothing has changed then.
pub async fn credit_outside(store: &Store, payment: &Outside) -> Result<OutsideOutcome, OutsideError> {
    let asked = std::sync::Arc::new(payment.clone());
    store
        .tx_about("top_ups.credit_outside", &[Subject::Named(&payment.email)], move |tx| {
            let asked = std::sync::Arc::clone(&asked);
            Box::pin(async move { credit_once(tx, &asked).await })
        })
        .await
}

async fn credit_once(tx: &mut Tx, payment: &Outside) -> Result<OutsideOutcome, OutsideError> {
    let user: Uuid = sqlx::query_scalar(
        "-- store.top_ups.outside.user
        select id from users where email = $1 and deleted_at is null for no key update",
    )
    .bind(&payment.email)
    .fetch_optional(tx.conn())
    .await?
    .ok_or(OutsideError::NoSuchUser)?;
    let hash = format!("{RELAY}:{}", payment.transaction);
    let before = sqlx::query(
        "-- store.top_ups.outside.before\nselect user_id, amount from transactions where transaction_hash = $1",
    )
    .bind(&hash)
    .fetch_optional(tx.conn())
    .await?;
    if let Some(row) = before {
        let same = row.try_get::<Uuid, _>("user_id")? == user && money(&row, "amount")? == payment.amount;
        return if same {
            Ok(OutsideOutcome::Repeated)
        } else {
            Err(OutsideError::NameReused)
        };
    }
    let booking = Booking {
        id: Uuid::now_v7(),
        user,
        amount: payment.amount,
        method: &payment.method,
        hash,
    };
    match book(tx, &booking).await {
        // Their row is locked, so they are there.
        Ok(_) => Ok(OutsideOutcome::Credited),
        // Somebody else's payment came in between under the same name.
        Err(error) if error.constraint() == Some("transactions_transaction_hash_key") => Err(OutsideError::NameReused),
        Err(error) => Err(error.into()),
    }
}
