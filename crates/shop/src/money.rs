//! One's balance, bookings and top-ups, and what an admin may do about other people's.

use std::sync::Arc;

use lockstep_auth::{Admin, AuthError, Caller};
use lockstep_cache::Entry;
use lockstep_domain::Money;
use lockstep_domain::cache_key::CacheKey;
use lockstep_domain::ids::{OrderId, TopUpId, UserId};
use lockstep_domain::purchase::{Balance, TopUpView, TransactionView};
use lockstep_payments::Payments;
use lockstep_store::accounts::AccountError;
use lockstep_store::fulfilment::{Cancelled, Letters};
use lockstep_store::ledger::{self, Adjusted, MAX_LISTED};
use lockstep_store::orders::{self, Idempotency, Refunded};
use uuid::Uuid;

use crate::own::{data, payload};
use crate::{Arrival, Shop, ShopError, Slice};

impl Shop {
    /// The payment provider's door.
    pub fn payments(&self) -> &Payments {
        &self.0.parts.payments
    }

    /// Begins to top up the caller's balance: where it is paid is in the answer. With the same key it is the same top-up.
    ///
    /// # Errors
    /// [`ShopError::TopUp`]; [`ShopError::Refused`] when it was too often.
    pub async fn begin_top_up(
        &self,
        caller: &Caller,
        amount: Money,
        method: &str,
        key: Option<&Idempotency>,
    ) -> Result<TopUpView, ShopError> {
        self.auth().allow_top_up(caller).await?;
        let key = key.map(Idempotency::as_str);
        Ok(self.payments().begin(caller.user(), amount, method, key).await?)
    }

    /// Changes somebody's balance, with a reason, on record.
    ///
    /// # Errors
    /// [`ShopError::Adjust`]; nothing has changed then.
    pub async fn adjust_balance(
        &self,
        admin: &Admin,
        user: UserId,
        amount: Money,
        reason: &str,
        key: Option<&Idempotency>,
    ) -> Result<Adjusted, ShopError> {
        let key = key.map(Idempotency::as_str);
        Ok(ledger::adjust(self.store(), admin.caller().user(), user, amount, reason, key).await?)
    }

    /// Gives money for delivered copies back, on record; without an amount all that is left. With the same key it is the
    /// same refund.
    ///
    /// # Errors
    /// [`ShopError::Refund`]; nothing has changed then.
    pub async fn refund(
        &self,
        admin: &Admin,
        purchase: Uuid,
        amount: Option<Money>,
        reason: Option<&str>,
        key: Option<&Idempotency>,
    ) -> Result<Refunded, ShopError> {
        Ok(orders::refund(self.store(), admin.caller().user(), purchase, amount, reason, key).await?)
    }

    /// Takes an order back, on record: what is not paid for at G2A goes back to the balance at once, the rest goes its
    /// way. Letters about it carry a link, never a key. With `key` the same cancellation is answered the same.
    ///
    /// # Errors
    /// [`ShopError::Cancel`]; nothing has changed then.
    pub async fn cancel_order(
        &self,
        admin: &Admin,
        order: OrderId,
        reason: Option<&str>,
        key: Option<&Idempotency>,
    ) -> Result<Cancelled, ShopError> {
        let letters = Letters::default();
        Ok(orders::cancel(self.store(), admin.caller().user(), order, reason, key, &letters).await?)
    }

    async fn transactions_of(&self, user: UserId, slice: Slice) -> Result<Vec<TransactionView>, ShopError> {
        if !slice.is_remembered() {
            let read = self
                .store()
                .read(move |tx| Box::pin(ledger::transactions(tx, user, slice.skip, slice.most)))
                .await?;
            return Ok(read.value);
        }
        let entry: Arc<Entry> = self
            .cache()
            .read(CacheKey::UserTransactions(user), move |store| async move {
                let found = store
                    .read(move |tx| Box::pin(ledger::transactions(tx, user, 0, MAX_LISTED)))
                    .await?;
                let payload = payload(&found.value)?;
                Ok(found.map(|_| payload))
            })
            .await?;
        Ok(slice.of(data(&entry)?.unwrap_or_default()))
    }
}

impl Arrival {
    /// What they have to spend, from the database itself.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when they are not signed in, or their account is gone.
    pub async fn balance(&self) -> Result<Balance, ShopError> {
        let user = self.signed_in()?.user();
        let read = self
            .shop()
            .store()
            .read(move |tx| Box::pin(ledger::balance(tx, user)))
            .await?;
        read.value
            .ok_or(ShopError::Refused(AuthError::Account(AccountError::NotFound)))
    }

    /// Their bookings, newest first.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when they are not signed in; [`ShopError::Read`].
    pub async fn transactions(&self, slice: Slice) -> Result<Vec<TransactionView>, ShopError> {
        self.shop().transactions_of(self.signed_in()?.user(), slice).await
    }

    /// How one of their top-ups stands.
    ///
    /// # Errors
    /// [`ShopError::NotFound`] when there is none or it is somebody else's.
    pub async fn top_up(&self, id: TopUpId) -> Result<TopUpView, ShopError> {
        let user = self.signed_in()?.user();
        self.shop()
            .payments()
            .status(user, id)
            .await?
            .ok_or(ShopError::NotFound("Top-up"))
    }

    /// Their payments of another amount or currency than intended, which staff has not settled yet.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when they are not signed in; [`ShopError`] when the database does not answer.
    pub async fn top_ups_in_review(&self) -> Result<Vec<TopUpView>, ShopError> {
        let user = self.signed_in()?.user();
        Ok(self.shop().payments().in_review(user).await?)
    }
}
