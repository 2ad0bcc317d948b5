//! A user's balance, transactions and top-ups, and what an admin may change for other users.

use lockstep_auth::{Admin, AuthError, ClientInfo, CurrentUser};
use lockstep_domain::Money;
use lockstep_domain::cached::ValueKey;
use lockstep_domain::ids::{OrderId, TopUpId, UserId};
use lockstep_domain::purchase::{Balance, TopUpView, TransactionView};
use lockstep_domain::tax::Country;
use lockstep_payments::{Payments, WithdrawalError};
use lockstep_store::accounts::AccountError;
use lockstep_store::cards::holds;
use lockstep_store::fulfilment::{Cancelled, EmailSettings};
use lockstep_store::idempotency::Idempotency;
use lockstep_store::ledger::{self, Adjusted, MAX_LISTED};
use lockstep_store::orders::{self, RefundOf, Refunded};
use lockstep_store::pending_checkouts;
use uuid::Uuid;

use crate::{RequestContext, Shop, ShopError, Slice};

/// The ways to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentMethods {
    /// The methods, in the order in which they are offered.
    pub methods: [&'static str; 4],
    /// The provider's name; `None` when top-ups are disabled.
    pub provider: Option<&'static str>,
}

impl Shop {
    /// The payment providers, for webhooks.
    pub fn payments(&self) -> &Payments {
        &self.0.parts.payments
    }

    /// The methods that a top-up may name, and the provider that takes them.
    pub fn payment_methods(&self) -> PaymentMethods {
        PaymentMethods {
            methods: Payments::methods(),
            provider: self.payments().provider(),
        }
    }

    /// Starts a top-up of the caller's balance. The result says where to pay. The same idempotency key returns the same
    /// top-up.
    ///
    /// # Errors
    /// [`ShopError::TopUp`]; [`ShopError::Refused`] when the rate limit is exceeded.
    #[tracing::instrument(name = "shop.begin_top_up", skip_all)]
    pub async fn begin_top_up(
        &self,
        caller: &CurrentUser,
        device: &ClientInfo,
        amount: Money,
        method: &str,
        key: Option<&Idempotency>,
    ) -> Result<TopUpView, ShopError> {
        self.allow_top_up(caller).await?;
        let (key, country) = (key.map(Idempotency::as_str), device.country());
        let country = country.as_ref().map(Country::as_str);
        Ok(self
            .payments()
            .begin_from(caller.user(), amount, method, key, country)
            .await?)
    }

    /// Changes a user's balance by `amount`, with a reason. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ShopError::Adjust`]; then nothing changes.
    #[tracing::instrument(name = "shop.adjust_balance", skip_all)]
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

    /// Refunds delivered units, or one of them, recorded in the audit log. Without an amount, everything that is left is refunded. The
    /// same idempotency key returns the same refund. Unless `confirmed`, the limit of the admin's role holds.
    ///
    /// # Errors
    /// [`ShopError::Refund`]; then nothing changes.
    #[tracing::instrument(name = "shop.refund", skip_all)]
    pub async fn refund(
        &self,
        admin: &Admin,
        confirmed: bool,
        of: impl Into<RefundOf>,
        amount: Option<Money>,
        reason: Option<&str>,
        key: Option<&Idempotency>,
    ) -> Result<Refunded, ShopError> {
        Ok(orders::refund(
            self.store(),
            (admin.caller().user(), confirmed),
            of,
            amount,
            reason,
            key,
        )
        .await?)
    }

    /// Withdraws a refund to a card that the payment provider has not made, recorded in the audit log: its money returns to the
    /// balance.
    ///
    /// # Errors
    /// [`WithdrawalError`]; then it waits on, or is recorded as made.
    #[tracing::instrument(name = "shop.withdraw_card_refund", skip_all, fields(refund = %id))]
    pub async fn withdraw_card_refund(&self, admin: &Admin, id: Uuid, reason: &str) -> Result<(), WithdrawalError> {
        let user = admin.caller().user();
        self.payments().withdraw_refund(user, id, reason).await.map(drop)
    }

    /// Cancels an order, recorded in the audit log. Units that are not paid for at G2A are refunded to the balance at
    /// once, the others continue. E-mails about it contain a link, never a key. The same idempotency key returns the
    /// same cancellation.
    ///
    /// # Errors
    /// [`ShopError::Cancel`]; then nothing changes.
    #[tracing::instrument(name = "shop.cancel_order", skip_all, fields(%order))]
    pub async fn cancel_order(
        &self,
        admin: &Admin,
        order: OrderId,
        reason: Option<&str>,
        key: Option<&Idempotency>,
    ) -> Result<Cancelled, ShopError> {
        let emails = EmailSettings::default();
        Ok(orders::cancel(self.store(), admin.caller().user(), order, reason, key, &emails).await?)
    }

    async fn transactions_of(&self, user: UserId, slice: Slice) -> Result<Vec<TransactionView>, ShopError> {
        if !slice.is_remembered() {
            let read = self
                .store()
                .read(move |tx| Box::pin(ledger::transactions(tx, user, slice.skip, slice.most)))
                .await?;
            return Ok(read.value);
        }
        let newest = self
            .cache()
            .get(ValueKey::transactions(user), move |tx| {
                Box::pin(ledger::transactions(tx, user, 0, MAX_LISTED))
            })
            .await?;
        Ok(slice.of(newest.value()?))
    }
}

impl RequestContext {
    /// The caller's balance, read from the database.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when the caller is not signed in, or the account no longer exists.
    #[tracing::instrument(name = "shop.balance", skip_all)]
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

    /// The caller's transactions, newest first.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when the caller is not signed in; [`ShopError::Read`].
    #[tracing::instrument(name = "shop.transactions", skip_all)]
    pub async fn transactions(&self, slice: Slice) -> Result<Vec<TransactionView>, ShopError> {
        self.shop().transactions_of(self.signed_in()?.user(), slice).await
    }

    /// The status of one of the caller's top-ups.
    ///
    /// # Errors
    /// [`ShopError::NotFound`] when it does not exist or belongs to another user.
    #[tracing::instrument(name = "shop.top_up", skip_all, fields(top_up = %id))]
    pub async fn top_up(&self, id: TopUpId) -> Result<TopUpView, ShopError> {
        let user = self.signed_in()?.user();
        self.shop()
            .payments()
            .status(user, id)
            .await?
            .ok_or(ShopError::NotFound("Top-up"))
    }

    /// The caller's payments with an unexpected amount or currency that staff have not settled yet.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when the caller is not signed in; [`ShopError`] when the database does not answer.
    #[tracing::instrument(name = "shop.top_ups_in_review", skip_all)]
    pub async fn top_ups_in_review(&self) -> Result<Vec<TopUpView>, ShopError> {
        let user = self.signed_in()?.user();
        Ok(self.shop().payments().in_review(user).await?)
    }

    /// What the caller owes for disputed or refunded payments, EUR: the next payment settles it first.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when the caller is not signed in; [`ShopError`] when the database does not answer.
    pub async fn owed(&self) -> Result<Money, ShopError> {
        let user = self.signed_in()?.user();
        Ok(pending_checkouts::owed(self.shop().store(), user).await?)
    }

    /// Whether staff check a payment of the caller: what they buy meanwhile is delivered after that.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when the caller is not signed in; [`ShopError`] when the database does not answer.
    pub async fn is_payment_held(&self) -> Result<bool, ShopError> {
        let user = self.signed_in()?.user();
        Ok(holds::is_held(self.shop().store(), user).await?)
    }
}
