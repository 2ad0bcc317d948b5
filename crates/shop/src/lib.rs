//! The shop's use cases for users. The JSON API (`api`) and the pages (`web`) call the same ones.
//!
//! `api, web → [this] → auth, cache, store, payments`
//!
//! The public catalogue has its own read model, [`Catalogue`]. Reads go through the cache under the keys of `docs/data-model.md`; writes go to the store in one transaction each.
//! Nothing here depends on HTTP: the caller is a value that only `lockstep_auth` can create, and errors are types that
//! the API and the pages present.
//!
//! A request starts with [`Shop::arrive`], which refreshes the cache with everything committed before it; reads through
//! the [`RequestContext`] are at least that recent. A client therefore reads its own writes with its next request,
//! whichever process answers it.

mod account;
mod announcements;
mod cached_json;
mod cart;
pub mod catalogue;
mod consent;
mod content;
mod context;
mod error;
mod export;
mod feeds;
mod guests;
pub mod health;
mod impersonation;
mod limits;
mod money;
mod orders;
mod sign_in;
mod stock_alerts;
pub mod supplier_events;
mod vat;
mod watch;
mod wishlist;
mod withdrawals;

use std::sync::Arc;

use lockstep_auth::{Auth, Keys};
use lockstep_cache::Cache;
use lockstep_clock::{Clock, Random};
use lockstep_domain::cart::CartLimits;
use lockstep_domain::consent::ConsentMode;
use lockstep_domain::law::{Duties, Duty};
use lockstep_payments::Payments;
use lockstep_store::Store;
use lockstep_vat::Vies;
use rust_decimal::Decimal;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use cached_json::CachedJson;
pub use catalogue::Catalogue;
pub use context::RequestContext;
pub use error::{ShopError, shopper_code};
pub use export::{Export, Torn};
pub use feeds::{CatalogueMark, FeedError};
pub use impersonation::Impersonation;
pub use lockstep_cache::{Cached, Reached, ReadError, RedisState, RedisWrites};
pub use lockstep_payments::{Decision, TestPage, TopUpError, WebhookError, WebhookOutcome, WithdrawalError};
pub use lockstep_store::StoreError;
pub use lockstep_store::accounts::LoginRecord;
pub use lockstep_store::cards::refunds::WithdrawError;
pub use lockstep_store::content::Filter as ContentFilter;
pub use lockstep_store::fulfilment::keys::How as Seen;
pub use lockstep_store::fulfilment::{Cancelled, NotRefundable};
pub use lockstep_store::guests::{ShopperError, Writer};
pub use lockstep_store::idempotency::Idempotency;
pub use lockstep_store::impersonations::Deed;
pub use lockstep_store::ledger::{AdjustError, Adjusted};
pub use lockstep_store::orders::{GoodwillError, PlaceError, RefundOf, Refunded};
pub use lockstep_store::top_ups::{BeginError, OutsideError};
pub use money::PaymentMethods;
pub use orders::{CheckoutWish, KeyFile, Slice};
pub use sign_in::{MovedIn, SignedIn};
pub use vat::{ReceiptFileError, ReceiptFormat};
pub use watch::{OrderWatch, SessionWatch};

use guests::Living;
use watch::Watchers;

/// The parts that the use cases need.
#[derive(Clone)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The cache of answers.
    pub cache: Cache,
    /// Authentication.
    pub auth: Auth,
    /// The secrets that open sealed game keys.
    pub keys: Keys,
    /// Payments and top-ups.
    pub payments: Payments,
    /// Limits of a cart.
    pub cart_limits: CartLimits,
    /// The minimum mark-up in percent to which a promo code may reduce a supplier's game; `None` lets codes sell below
    /// cost.
    pub protected_markup: Option<Decimal>,
    /// Who asks for consent to deliver keys at once.
    pub consent: ConsentMode,
    /// The duties that the shop fulfils.
    pub duties: Duties,
    /// The register of VAT ids; `None`: it is not asked.
    pub vies: Option<Vies>,
    /// The time of day.
    pub clock: Clock,
    /// The source of random selections.
    pub random: Random,
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Shop(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// The public catalogue.
    catalogue: Catalogue,
    /// Guests whose last use was stored recently.
    living: Living,
    /// Watchers of orders.
    watchers: Watchers,
    /// Permits for exports.
    exports: Arc<Semaphore>,
    /// Cancelled when the shop closes; ends all waiting calls.
    closing: CancellationToken,
}

impl Shop {
    /// Creates the use cases from their parts.
    pub fn new(parts: Parts) -> Self {
        parts.store.measure_reductions(parts.duties.is_on(Duty::ReducedPrices));
        Self(Arc::new(Inner {
            catalogue: Catalogue::new(parts.cache.clone(), parts.random.clone()),
            parts,
            living: Living::default(),
            watchers: Watchers::default(),
            exports: Arc::new(Semaphore::new(export::AT_ONCE)),
            closing: CancellationToken::new(),
        }))
    }

    /// Authentication.
    pub fn auth(&self) -> &Auth {
        &self.0.parts.auth
    }

    /// The time of day.
    pub fn clock(&self) -> &Clock {
        &self.0.parts.clock
    }

    /// The public catalogue.
    pub fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }

    /// The cache of answers.
    pub fn cache(&self) -> &Cache {
        &self.0.parts.cache
    }

    fn store(&self) -> &Store {
        &self.0.parts.store
    }

    /// Ends all calls that wait for an event. Everything else still works.
    pub fn close(&self) {
        self.0.closing.cancel();
    }

    fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    fn watchers(&self) -> &Watchers {
        &self.0.watchers
    }

    fn exports(&self) -> &Arc<Semaphore> {
        &self.0.exports
    }

    fn keys(&self) -> &Keys {
        &self.0.parts.keys
    }

    fn protected_markup(&self) -> Option<Decimal> {
        self.0.parts.protected_markup
    }

    fn vies(&self) -> Option<&Vies> {
        self.0.parts.vies.as_ref()
    }

    fn limits(&self) -> CartLimits {
        self.0.parts.cart_limits
    }
}

impl std::fmt::Debug for Shop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shop")
    }
}
