//! Ordering, and looking at one's orders.
//!
//! An order is placed by the database alone. What is remembered of it holds no key: keys are opened for the answer to
//! their owner, after the record that they were shown is written.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lockstep_auth::{Caller, Device};
use lockstep_cache::{Entry, Payload};
use lockstep_domain::cache_key::CacheKey;
use lockstep_domain::checkout::{Bill, Checkout, CheckoutFault, OrderLimits};
use lockstep_domain::ids::{GameId, KeyId, OrderId, UserId};
use lockstep_domain::purchase::OrderView;
use lockstep_domain::{Money, Secret};
use lockstep_store::failpoint;
use lockstep_store::fulfilment::keys::{How as Seen, place};
use lockstep_store::orders::{self, Idempotency, MAX_LISTED, PlaceError, Placed};

use crate::own::{data, payload};
use crate::{Arrival, Shop, ShopError};

/// Which part of a list, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// So many newer ones are left out.
    pub skip: u32,
    /// The most to give, up to [`MAX_LISTED`].
    pub most: u32,
}

impl Slice {
    /// The first hundred.
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

    /// Whether the part lies within what is remembered of a list.
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
    /// What to call it.
    pub name: String,
    /// It is text and not something else.
    pub is_text: bool,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl Shop {
    /// How much may be ordered at once.
    pub fn order_limits(&self) -> OrderLimits {
        let cart = self.limits();
        OrderLimits {
            per_line: cart.per_line,
            lines: cart.lines,
            ..OrderLimits::default()
        }
    }

    /// An order as somebody asks for it, before anything is looked up: games with quantities, a promo code, and the total
    /// that the shopper was shown.
    ///
    /// # Errors
    /// [`CheckoutFault`].
    pub fn checkout(
        &self,
        wanted: impl IntoIterator<Item = (GameId, i64)>,
        promo_code: Option<&str>,
        expected_total: Option<Money>,
    ) -> Result<Checkout, CheckoutFault> {
        let checkout = Checkout::new(wanted, promo_code, expected_total, self.order_limits())?;
        Ok(match self.protected_markup() {
            Some(markup) => checkout.not_below_cost(markup),
            None => checkout,
        })
    }

    /// What an order would cost the caller now. Nothing is promised by it.
    ///
    /// # Errors
    /// [`ShopError::Place`] says what stands in the way, [`ShopError::Refused`] that too many promo codes were tried.
    pub async fn quote(&self, caller: &Caller, device: &Device, checkout: &Checkout) -> Result<Bill, ShopError> {
        self.with_promo_limit(caller, device, checkout, orders::quote(self.store(), checkout))
            .await
    }

    /// Does what looks a promo code up. A wrong code counts against the caller and the address, a good one does not.
    async fn with_promo_limit<T>(
        &self,
        caller: &Caller,
        device: &Device,
        checkout: &Checkout,
        work: impl Future<Output = Result<T, PlaceError>>,
    ) -> Result<T, ShopError> {
        if checkout.promo_code().is_none() {
            return Ok(work.await?);
        }
        let attempt = self.auth().try_promo_code(caller, device).await?;
        let result = work.await;
        if !matches!(result, Err(PlaceError::PromoCode(_))) {
            self.auth().give_back_promo_code(attempt).await;
        }
        Ok(result?)
    }

    /// Places an order and takes its total from the caller's balance, all or nothing. With the same key and the same
    /// order it is the same order, as it is by now.
    ///
    /// # Errors
    /// [`ShopError::Place`] says what stands in the way, [`ShopError::Refused`] that it was too often; nothing has changed
    /// then.
    pub async fn place_order(
        &self,
        caller: &Caller,
        device: &Device,
        checkout: &Checkout,
        key: Option<&Idempotency>,
    ) -> Result<OrderView, ShopError> {
        self.auth().allow_order(caller).await?;
        failpoint!("checkout.before");
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

    /// An order of `user`'s, without what its keys say; `None` when it is somebody else's.
    pub(crate) async fn order_of(&self, user: UserId, id: OrderId) -> Result<Option<OrderView>, ShopError> {
        let entry = self
            .cache()
            .read(CacheKey::Order(id), move |store| async move {
                let found = store.read(|tx| Box::pin(orders::by_id(tx, id))).await?;
                let payload = match &found.value {
                    Some(order) => payload(order)?.with_tags(order.tags().collect()),
                    None => Payload::missing(),
                };
                Ok(found.map(|_| payload))
            })
            .await?;
        Ok(data::<OrderView>(&entry)?.filter(|order| order.user_id == user))
    }

    async fn orders_of(&self, user: UserId, slice: Slice) -> Result<Vec<OrderView>, ShopError> {
        if !slice.is_remembered() {
            let read = self
                .store()
                .read(move |tx| Box::pin(orders::list(tx, user, slice.skip, slice.most)))
                .await?;
            return Ok(read.value);
        }
        let entry: Arc<Entry> = self
            .cache()
            .read(CacheKey::UserOrders(user), move |store| async move {
                let found = store
                    .read(move |tx| Box::pin(orders::list(tx, user, 0, MAX_LISTED)))
                    .await?;
                let tags = found.value.iter().flat_map(OrderView::tags).collect();
                let payload = payload(&found.value)?.with_tags(tags);
                Ok(found.map(|_| payload))
            })
            .await?;
        let all: Vec<OrderView> = data(&entry)?.unwrap_or_default();
        Ok(slice.of(all))
    }

    /// Opens the keys of an order for its owner, on record.
    async fn open_keys(&self, order: &mut OrderView, seen: Seen) -> Result<(), ShopError> {
        if order.keys.iter().all(|key| key.is_file) {
            return Ok(());
        }
        for sealed in orders::reveal(self.store(), order.user_id, order.id, None, seen).await? {
            let Some(key) = order.keys.iter_mut().find(|key| key.id == sealed.id.0) else {
                continue; // it arrived after the order was read; the next look shows it
            };
            match self.open_key(sealed.id, &sealed.sealed) {
                Some(bytes) => key.key = Some(Secret::new(String::from_utf8_lossy(&bytes))),
                // The others are shown all the same.
                None => key.key = None,
            }
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

impl Arrival {
    /// Their orders, newest first, without what the keys say.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when they are not signed in; [`ShopError::Read`].
    pub async fn orders(&self, slice: Slice) -> Result<Vec<OrderView>, ShopError> {
        self.shop().orders_of(self.signed_in()?.user(), slice).await
    }

    /// One of their orders with its keys, which are shown where `seen` says; that is put on record.
    ///
    /// # Errors
    /// [`ShopError::NotFound`] when there is none or it is somebody else's; [`ShopError::Refused`] when they are not
    /// signed in; [`ShopError::Read`].
    pub async fn order(&self, id: OrderId, seen: Seen) -> Result<OrderView, ShopError> {
        let mut order = self.order_without_keys(id).await?;
        self.shop().open_keys(&mut order, seen).await?;
        Ok(order)
    }

    /// Which of their orders has this number.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when they are not signed in; [`ShopError`] when the database does not answer.
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

    /// One of their orders without what its keys say.
    ///
    /// # Errors
    /// As [`order`](Self::order).
    pub async fn order_without_keys(&self, id: OrderId) -> Result<OrderView, ShopError> {
        self.shop()
            .order_of(self.signed_in()?.user(), id)
            .await?
            .ok_or(ShopError::NotFound("Order"))
    }

    /// One of their keys as a file, on record.
    ///
    /// # Errors
    /// [`ShopError::NotFound`] when there is none or it is somebody else's, or it cannot be opened.
    pub async fn key_file(&self, order: OrderId, key: KeyId) -> Result<KeyFile, ShopError> {
        let user = self.signed_in()?.user();
        let shop = self.shop();
        let sealed = orders::reveal(shop.store(), user, order, Some(key), Seen::File)
            .await?
            .pop()
            .ok_or(ShopError::NotFound("Key"))?;
        let bytes = shop
            .open_key(sealed.id, &sealed.sealed)
            .ok_or(ShopError::NotFound("Key"))?;
        // A file comes in base64; what is not is handed out as it came.
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
