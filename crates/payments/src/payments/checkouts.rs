//! Paying an order directly: its payment is begun with it, and it is placed once the money is there.

use lockstep_domain::Money;
use lockstep_domain::checkout::Checkout;
use lockstep_domain::ids::{TopUpId, UserId};
use lockstep_domain::pending_checkout::CheckoutView;
use lockstep_domain::tax::Country;
use lockstep_failpoint::failpoint;
use lockstep_store::StoreError;
use lockstep_store::idempotency::Idempotency;
use lockstep_store::orders::{PlaceError, Placed};
use lockstep_store::pending_checkouts::{self, BeginError, Begun, NewCheckout, PendingCheckout, Settled};
use lockstep_store::top_ups::CardOrigin;

use super::{AT_ONCE, CLAIMED, LEASE, Limits, METHODS, PATIENCE, Payments, TopUpError};
use crate::provider::Provider;

/// What is ordered, and how the rest is paid.
#[derive(Debug, Clone)]
pub struct CheckoutRequest {
    /// The shopper.
    pub user: UserId,
    /// The order.
    pub checkout: Checkout,
    /// The highest payment that the shopper has agreed to, EUR; `None`: whatever is missing.
    pub agreed: Option<Money>,
    /// The paid checkout that this one settles.
    pub after: Option<TopUpId>,
    /// The payment method.
    pub method: String,
    /// The idempotency key.
    pub key: Option<Idempotency>,
    /// Country of the browser's address.
    pub country: Option<Country>,
}

/// A checkout that was begun.
#[derive(Debug)]
pub enum Started {
    /// The balance has paid for it: the order is placed.
    Placed(Placed),
    /// It has to be paid.
    Pay(Box<CheckoutView>),
}

/// Why a checkout was not begun.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The order is not possible.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The payment is not possible, or its provider does not answer.
    #[error(transparent)]
    Pay(#[from] TopUpError),
}

impl From<StoreError> for CheckoutError {
    fn from(error: StoreError) -> Self {
        Self::Place(error.into())
    }
}

impl From<BeginError> for CheckoutError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Place(error) => Self::Place(error),
            BeginError::TopUp(error) => Self::Pay(error.into()),
            BeginError::NoProvider => Self::Pay(TopUpError::NoProvider),
            BeginError::Amount { least, most } => Self::Pay(TopUpError::Amount { least, most }),
        }
    }
}

impl Payments {
    /// Places an order if the balance suffices. Otherwise stores the intent of both the order and the payment of what is missing,
    /// and requests the payment page from the provider. The same key identifies the same checkout.
    ///
    /// # Errors
    /// [`CheckoutError`]. A payment that the provider refused is closed, and one without a response stays open, as with
    /// [`begin`](Self::begin).
    pub async fn begin_checkout(&self, request: CheckoutRequest) -> Result<Started, CheckoutError> {
        if !METHODS.contains(&request.method.as_str()) {
            return Err(TopUpError::Method.into());
        }
        let provider = self.default_provider();
        let Limits { least, most } = self.0.limits;
        let country = request.country;
        let new = NewCheckout {
            user: request.user,
            checkout: request.checkout,
            agreed: request.agreed,
            after: request.after,
            method: request.method,
            provider: provider.map(Provider::name),
            key: request.key,
            card: provider.and_then(Provider::cards).map(|_| CardOrigin {
                country: country.as_ref().map(|country| country.as_str().to_owned()),
            }),
            limits: (least, most),
        };
        tokio::time::timeout(PATIENCE, self.begin_or_join_checkout(new))
            .await
            .unwrap_or(Err(TopUpError::UnderWay.into()))
    }

    async fn begin_or_join_checkout(&self, new: NewCheckout) -> Result<Started, CheckoutError> {
        loop {
            let begun = match pending_checkouts::begin(&self.0.store, new.clone(), LEASE).await? {
                Begun::Placed(placed) => return Ok(Started::Placed(placed)),
                Begun::Pay(begun) => *begun,
            };
            failpoint!("pay_directly.intent.committed");
            let Some(top_up) = self.ask_or_wait(begun, new.key.is_some()).await? else {
                continue;
            };
            failpoint!("pay_directly.begun");
            let found = self.checkout(new.user, top_up.id).await?;
            return Ok(Started::Pay(Box::new(found.ok_or(PlaceError::NoSuchUser)?)));
        }
    }

    /// The checkout of one of `user`'s top-ups; `None` if it has none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn checkout(&self, user: UserId, id: TopUpId) -> Result<Option<CheckoutView>, StoreError> {
        let found = pending_checkouts::by_id(&self.0.store, user, id).await?;
        Ok(found.as_ref().map(PendingCheckout::view))
    }

    /// Places the orders whose payment has come, or asks their shoppers, and ends those that were not paid. Returns how many were
    /// settled. Any number of processes may do so at once.
    ///
    /// # Errors
    /// [`StoreError`]; what could not be settled is tried again later.
    pub async fn settle_checkouts(&self) -> Result<u32, StoreError> {
        let (mut settled, mut seen) = (0, 0);
        while seen < AT_ONCE {
            let due = pending_checkouts::due(&self.0.store, CLAIMED).await?;
            if due.is_empty() {
                break;
            }
            seen += due.len();
            for id in due {
                match pending_checkouts::settle(&self.0.store, id).await {
                    Ok(outcome) => {
                        settled += u32::from(outcome != Settled::Nothing);
                        metrics::counter!("lockstep_checkouts_settled_total", "outcome" => outcome.name()).increment(1);
                        match outcome {
                            Settled::Ask(reason) => tracing::info!(
                                checkout = %id,
                                reason = reason.as_str(),
                                "a paid order could not be placed: its shopper is asked"
                            ),
                            outcome => tracing::debug!(checkout = %id, outcome = outcome.name(), "a checkout"),
                        }
                    }
                    // One that cannot be settled keeps no other waiting.
                    Err(error) => {
                        tracing::warn!(checkout = %id, %error, "could not settle a paid checkout; it is retried");
                    }
                }
            }
        }
        Ok(settled)
    }
}
