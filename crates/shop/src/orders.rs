//! Placing orders and reading them.
//!
//! Orders are placed in the database alone. Cached orders contain no keys: keys are decrypted for the answer to their
//! owner, after the reveal is recorded.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lockstep_auth::{AuthError, ClientInfo, CurrentUser};
use lockstep_domain::cached::ValueKey;
use lockstep_domain::checkout::{Bill, Checkout, CheckoutFault, OrderLimits};
use lockstep_domain::ids::{GameId, KeyId, OrderId, TopUpId, UserId};
use lockstep_domain::pending_checkout::{CheckoutState, CheckoutView};
use lockstep_domain::purchase::OrderView;
use lockstep_domain::{Money, Secret};
use lockstep_failpoint::failpoint;
use lockstep_payments::{CheckoutError, CheckoutRequest, Started};
use lockstep_store::fulfilment::keys::{How as Seen, place};
use lockstep_store::idempotency::Idempotency;
use lockstep_store::orders::{self, MAX_LISTED, PlaceError, Placed};

use crate::{RequestContext, Shop, ShopError};

/// A range of a list, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Number of newer rows to skip.
    pub skip: u32,
    /// Maximum number of rows, up to [`MAX_LISTED`].
    pub most: u32,
}

impl Slice {
    /// The first [`MAX_LISTED`] rows.
    pub const NEWEST: Self = Self {
        skip: 0,
        most: MAX_LISTED,
    };

    /// Page `page`, from 1, of `limit` rows.
    pub fn page(page: u32, limit: u32) -> Self {
        Self {
            skip: page.saturating_sub(1).saturating_mul(limit),
            most: limit,
        }
    }

    /// Whether the range is within the cached part of a list.
    pub(crate) fn is_remembered(self) -> bool {
        self.skip.saturating_add(self.most) <= MAX_LISTED
    }

    pub(crate) fn of<T>(self, list: Vec<T>) -> Vec<T> {
        let count = |n| usize::try_from(n).unwrap_or(usize::MAX);
        list.into_iter().skip(count(self.skip)).take(count(self.most)).collect()
    }
}

/// A key as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// The file name.
    pub name: String,
    /// The content is UTF-8 text.
    pub is_text: bool,
    /// The content.
    pub bytes: Vec<u8>,
}

/// How a checkout is paid beyond the balance.
#[derive(Debug, Clone, Copy)]
pub struct CheckoutWish<'w> {
    /// The payment method.
    pub method: &'w str,
    /// The highest payment that the caller was shown, EUR; `None`: whatever is missing.
    pub agreed: Option<Money>,
    /// The paid checkout that this one settles.
    pub after: Option<TopUpId>,
    /// The idempotency key.
    pub key: Option<&'w Idempotency>,
}

impl Shop {
    /// Limits of one order.
    pub fn order_limits(&self) -> OrderLimits {
        let cart = self.limits();
        OrderLimits {
            per_line: cart.per_line,
            lines: cart.lines,
            ..OrderLimits::default()
        }
    }

    /// Checks the form of an order: games with quantities, a promo code, and the total that the user was shown. Reads
    /// nothing from the database. Its consent is that of an order which comes without one
    /// ([`consent_mode`](Self::consent_mode)).
    ///
    /// # Errors
    /// [`CheckoutFault`].
    pub fn checkout(
        &self,
        wanted: impl IntoIterator<Item = (GameId, i64)>,
        promo_code: Option<&str>,
        expected_total: Option<Money>,
    ) -> Result<Checkout, CheckoutFault> {
        let checkout = Checkout::new(wanted, promo_code, expected_total, self.order_limits())?
            .with_consent(self.consent_mode().unasked());
        Ok(match self.protected_markup() {
            Some(markup) => checkout.not_below_cost(markup),
            None => checkout,
        })
    }

    /// What an order would cost the caller now. Reserves nothing.
    ///
    /// # Errors
    /// [`ShopError::Place`] when the order is not possible, [`ShopError::Refused`] when too many promo codes were
    /// tried.
    #[tracing::instrument(name = "shop.quote", skip_all)]
    pub async fn quote(
        &self,
        caller: &CurrentUser,
        device: &ClientInfo,
        checkout: &Checkout,
    ) -> Result<Bill, ShopError> {
        self.with_promo_limit(
            caller,
            device,
            checkout,
            orders::quote(self.store(), caller.user(), checkout),
        )
        .await
    }

    /// Runs work that looks up a promo code. An invalid code counts against the limits of the caller and the address, a
    /// valid one does not.
    async fn with_promo_limit<T>(
        &self,
        caller: &CurrentUser,
        device: &ClientInfo,
        checkout: &Checkout,
        work: impl Future<Output = Result<T, PlaceError>>,
    ) -> Result<T, ShopError> {
        if checkout.promo_code().is_none() {
            return Ok(work.await?);
        }
        let attempt = self.try_promo_code(caller, device).await?;
        let result = work.await;
        if !matches!(result, Err(PlaceError::PromoCode(_))) {
            self.give_back_promo_code(&attempt).await;
        }
        Ok(result?)
    }

    /// Places an order and debits its total from the caller's balance, in one transaction. The same idempotency key
    /// with the same order returns that order in its current state.
    ///
    /// # Errors
    /// [`ShopError::Place`] when the order is not possible, [`ShopError::Refused`] when the rate limit is exceeded;
    /// then nothing changes.
    #[tracing::instrument(name = "shop.place_order", skip_all)]
    pub async fn place_order(
        &self,
        caller: &CurrentUser,
        device: &ClientInfo,
        checkout: &Checkout,
        key: Option<&Idempotency>,
    ) -> Result<OrderView, ShopError> {
        if caller.is_impersonated() {
            return Err(AuthError::Impersonation.into());
        }
        self.allow_order(caller).await?;
        failpoint!("checkout.before");
        let checkout = &checkout.clone().ordered_from(device.country());
        let placing = orders::place(self.store(), caller.user(), checkout, key);
        let placed = self.with_promo_limit(caller, device, checkout, placing).await?;
        failpoint!("checkout.after");
        match placed {
            Placed::Now(order) => Ok(*order),
            Placed::Before(id) => {
                self.cache().catch_up().await?;
                self.order_of(caller.user(), id)
                    .await?
                    .ok_or(ShopError::NotFound("Order"))
            }
        }
    }

    /// Places an order if the caller's balance suffices; otherwise begins the payment of what is missing, after which it is placed
    /// by itself. `agreed` is the highest payment that the caller was shown, `after` the paid checkout that this one settles. The
    /// same idempotency key with the same order returns that checkout in its current state.
    ///
    /// # Errors
    /// [`ShopError::Place`] when the order is not possible, [`ShopError::TopUp`] when the payment is not, [`ShopError::Refused`]
    /// when the rate limit is exceeded; then nothing is ordered.
    #[tracing::instrument(name = "shop.begin_checkout", skip_all)]
    pub async fn begin_checkout(
        &self,
        caller: &CurrentUser,
        device: &ClientInfo,
        checkout: &Checkout,
        wish: CheckoutWish<'_>,
    ) -> Result<CheckoutView, ShopError> {
        self.allow_order(caller).await?;
        failpoint!("checkout.before");
        let request = CheckoutRequest {
            user: caller.user(),
            checkout: checkout.clone().ordered_from(device.country()),
            agreed: wish.agreed,
            after: wish.after,
            method: wish.method.to_owned(),
            key: wish.key.cloned(),
            country: device.country(),
        };
        let started = async {
            match self.payments().begin_checkout(request).await {
                Ok(started) => Ok(Ok(started)),
                Err(CheckoutError::Place(error)) => Err(error),
                Err(CheckoutError::Pay(error)) => Ok(Err(error)),
            }
        };
        let started = Box::pin(self.with_promo_limit(caller, device, checkout, started)).await?;
        failpoint!("checkout.after");
        let order = match started? {
            Started::Pay(view) => return Ok(*view),
            Started::Placed(Placed::Now(order)) => *order,
            Started::Placed(Placed::Before(id)) => {
                self.cache().catch_up().await?;
                self.order_of(caller.user(), id)
                    .await?
                    .ok_or(ShopError::NotFound("Order"))?
            }
        };
        Ok(CheckoutView {
            id: None,
            status: CheckoutState::Placed,
            reason: None,
            order_id: Some(order.id),
            total: order.total,
            amount: Money::ZERO,
            redirect_url: None,
            promo_code: order.promo_code,
            created_at: order.created_at,
        })
    }

    /// An order of `user`, without the content of its keys; `None` when it belongs to another user.
    pub(crate) async fn order_of(&self, user: UserId, id: OrderId) -> Result<Option<OrderView>, ShopError> {
        let cached = self
            .cache()
            .find(ValueKey::order(id), move |tx| Box::pin(orders::by_id(tx, id)))
            .await?;
        let order = cached.map(|cached| cached.value()).transpose()?;
        Ok(order.filter(|order| order.user_id == user))
    }

    async fn orders_of(&self, user: UserId, slice: Slice) -> Result<Vec<OrderView>, ShopError> {
        if !slice.is_remembered() {
            let read = self
                .store()
                .read(move |tx| Box::pin(orders::list(tx, user, slice.skip, slice.most)))
                .await?;
            return Ok(read.value);
        }
        let newest = self
            .cache()
            .get(ValueKey::orders(user), move |tx| {
                Box::pin(orders::list(tx, user, 0, MAX_LISTED))
            })
            .await?;
        Ok(slice.of(newest.value()?))
    }

    /// Decrypts the keys of an order for its owner and records the reveal.
    async fn open_keys(&self, order: &mut OrderView, seen: Seen) -> Result<(), ShopError> {
        if order.needs_consent || order.keys.iter().all(|key| key.is_file) {
            return Ok(());
        }
        for sealed in orders::reveal(self.store(), order.user_id, order.id, None, seen).await? {
            let Some(key) = order.keys.iter_mut().find(|key| key.id == sealed.id.0) else {
                continue; // it arrived after the order was read; the next request shows it
            };
            match self.open_key(sealed.id, &sealed.sealed) {
                Some(bytes) => key.key = Some(Secret::new(String::from_utf8_lossy(&bytes))),
                // The other keys are shown nevertheless.
                None => key.key = None,
            }
        }
        Ok(())
    }

    /// Decrypts the keys of several orders of `user` for them and records the reveal.
    async fn open_all_keys(&self, user: UserId, orders: &mut [OrderView], seen: Seen) -> Result<(), ShopError> {
        let with_keys: Vec<OrderId> = orders
            .iter()
            .filter(|order| order.keys.iter().any(|key| !key.is_file))
            .map(|order| order.id)
            .collect();
        if with_keys.is_empty() {
            return Ok(());
        }
        let sealed = orders::reveal_all(self.store(), user, &with_keys, seen).await?;
        let sealed: HashMap<KeyId, Vec<u8>> = sealed.into_iter().collect();
        for key in orders.iter_mut().flat_map(|order| &mut order.keys) {
            let id = KeyId(key.id);
            let opened = sealed.get(&id).and_then(|sealed| self.open_key(id, sealed));
            key.key = opened.map(|bytes| Secret::new(String::from_utf8_lossy(&bytes)));
        }
        Ok(())
    }

    fn open_key(&self, id: KeyId, sealed: &[u8]) -> Option<Vec<u8>> {
        self.keys()
            .open(&place(id), sealed)
            .inspect_err(|error| tracing::error!(key = %id, %error, "a sold key cannot be opened"))
            .ok()
    }
}

impl RequestContext {
    /// One of the caller's checkouts whose payment is on its way, or was, by its top-up.
    ///
    /// # Errors
    /// [`ShopError::NotFound`] when it does not exist or belongs to another user; [`ShopError::Refused`] when the caller is not
    /// signed in.
    #[tracing::instrument(name = "shop.pending_checkout", skip_all, fields(checkout = %id))]
    pub async fn pending_checkout(&self, id: TopUpId) -> Result<CheckoutView, ShopError> {
        let user = self.signed_in()?.user();
        let found = self.shop().payments().checkout(user, id).await?;
        found.ok_or(ShopError::NotFound("Checkout"))
    }

    /// The caller's orders, newest first, without the content of their keys.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when the caller is not signed in; [`ShopError::Read`].
    #[tracing::instrument(name = "shop.orders", skip_all)]
    pub async fn orders(&self, slice: Slice) -> Result<Vec<OrderView>, ShopError> {
        self.shop().orders_of(self.signed_in()?.user(), slice).await
    }

    /// The caller's orders, newest first, with their keys. The reveal is recorded with the place of display, `seen`.
    ///
    /// # Errors
    /// As [`orders`](Self::orders).
    #[tracing::instrument(name = "shop.orders_with_keys", skip_all)]
    pub async fn orders_with_keys(&self, slice: Slice, seen: Seen) -> Result<Vec<OrderView>, ShopError> {
        let caller = self.signed_in()?;
        let user = caller.user();
        let mut orders = self.shop().orders_of(user, slice).await?;
        if caller.is_impersonated() {
            return Ok(orders); // keys are for their owner
        }
        self.shop().open_all_keys(user, &mut orders, seen).await?;
        Ok(orders)
    }

    /// One of the caller's orders with its keys. The reveal is recorded with the place of display, `seen`.
    ///
    /// # Errors
    /// [`ShopError::NotFound`] when it does not exist or belongs to another user; [`ShopError::Refused`] when the
    /// caller is not signed in; [`ShopError::Read`].
    #[tracing::instrument(name = "shop.order", skip_all, fields(order = %id))]
    pub async fn order(&self, id: OrderId, seen: Seen) -> Result<OrderView, ShopError> {
        let mut order = self.order_without_keys(id).await?;
        if self.signed_in()?.is_impersonated() {
            return Ok(order); // keys are for their owner
        }
        self.shop().open_keys(&mut order, seen).await?;
        Ok(order)
    }

    /// The id of the caller's order with this number.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when the caller is not signed in; [`ShopError`] when the database does not answer.
    #[tracing::instrument(name = "shop.order_by_number", skip_all)]
    pub async fn order_by_number(&self, number: &str) -> Result<Option<OrderId>, ShopError> {
        let (user, number) = (self.signed_in()?.user(), number.to_owned());
        let found = self
            .shop()
            .store()
            .read(move |tx| {
                let number = number.clone();
                Box::pin(async move { orders::by_number(tx, user, &number).await })
            })
            .await?;
        Ok(found.value)
    }

    /// One of the caller's orders without the content of its keys.
    ///
    /// # Errors
    /// As [`order`](Self::order).
    #[tracing::instrument(name = "shop.order_without_keys", skip_all, fields(order = %id))]
    pub async fn order_without_keys(&self, id: OrderId) -> Result<OrderView, ShopError> {
        self.shop()
            .order_of(self.signed_in()?.user(), id)
            .await?
            .ok_or(ShopError::NotFound("Order"))
    }

    /// One of the caller's keys as a file; the reveal is recorded.
    ///
    /// # Errors
    /// [`ShopError::NotFound`] when it does not exist, belongs to another user, or cannot be decrypted;
    /// [`ShopError::ConsentNeeded`] while the order has no consent.
    #[tracing::instrument(name = "shop.key_file", skip_all, fields(%order, %key))]
    pub async fn key_file(&self, order: OrderId, key: KeyId) -> Result<KeyFile, ShopError> {
        let caller = self.signed_in()?;
        if caller.is_impersonated() {
            return Err(AuthError::Impersonation.into());
        }
        let (user, shop) = (caller.user(), self.shop());
        if self.order_without_keys(order).await?.needs_consent {
            return Err(ShopError::ConsentNeeded);
        }
        let sealed = orders::reveal(shop.store(), user, order, Some(key), Seen::File)
            .await?
            .pop()
            .ok_or(ShopError::NotFound("Key"))?;
        let bytes = shop
            .open_key(sealed.id, &sealed.sealed)
            .ok_or(ShopError::NotFound("Key"))?;
        // A file is stored in base64; anything else is returned as it is.
        let bytes = match sealed.is_file.then(|| BASE64.decode(&bytes)) {
            Some(Ok(file)) => file,
            _ => bytes,
        };
        let is_text = std::str::from_utf8(&bytes).is_ok();
        let ending = if is_text { "txt" } else { "bin" };
        Ok(KeyFile {
            name: format!("key-{key}.{ending}"),
            is_text,
            bytes,
        })
    }
}
