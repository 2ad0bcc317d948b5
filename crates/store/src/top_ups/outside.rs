//! Payments that a relay reports by the user's e-mail address, without an intent of the shop (the existing shop's
//! webhook).

use lockstep_domain::Money;
use uuid::Uuid;

use super::apply::{Booking, book};
use crate::row::money_of;
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Subject, Tx};

/// The provider name under which the relay's events are recorded.
const RELAY: &str = "relay";

/// A completed payment as a relay reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// The relay's id of it; it counts once.
    pub transaction: String,
    /// The payer's address, normalised like those of accounts.
    pub email: String,
    /// The amount, EUR; positive.
    pub amount: Money,
    /// The payment method.
    pub method: String,
}

/// The result of a credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutsideOutcome {
    /// Credited by this call.
    Credited,
    /// Credited earlier.
    Repeated,
}

/// Why it was not credited.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// No account has this address; none is created.
    #[error("User not found")]
    NoSuchUser,
    /// Another payment was reported with the same id.
    #[error("This transactionId was used for another payment")]
    NameReused,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(OutsideError);

/// Credits a payment that a relay reports, once.
///
/// # Errors
/// [`OutsideError`]; then nothing has changed.
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
    let user: Uuid = sqlx::query_scalar!(
        "-- store.top_ups.outside.user
        select id from users where email = $1 and deleted_at is null for no key update",
        payment.email
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(OutsideError::NoSuchUser)?;
    let hash = format!("{RELAY}:{}", payment.transaction);
    let before = sqlx::query!(
        "-- store.top_ups.outside.before\nselect user_id, amount from transactions where transaction_hash = $1",
        hash
    )
    .fetch_optional(tx.conn())
    .await?;
    if let Some(row) = before {
        let same = row.user_id == user && money_of(row.amount)? == payment.amount;
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
        is_told: true,
    };
    match book(tx, &booking).await {
        // The user's row is locked, so the user exists.
        Ok(_) => Ok(OutsideOutcome::Credited),
        // A concurrent payment of another user has the same id.
        Err(error) if error.constraint() == Some("transactions_transaction_hash_key") => Err(OutsideError::NameReused),
        Err(error) => Err(error.into()),
    }
}
