//! What a shopper does, once for both faces of the store: JSON (`api`) and pages (`web`) call the same use cases.
//!
//! `api, web → [this] → auth, cache, store, payments`
//!
//! Reads go through the cache under the seed's keys, writes go to the store in one transaction each. Nothing here knows
//! HTTP: who is asking comes in as a value that only `lockstep_auth` can make, and errors are types that each face tells
//! in its own way.
//!
//! A request begins with [`Shop::arrive`], which learns once of everything that was committed before it; what is read
//! through the [`Arrival`] is as true as that. So whoever writes reads the own write with the next request, whichever
//! process answers it.

mod account;
mod arrival;
mod cart;
mod error;
mod export;
mod guests;
mod money;
mod orders;
mod own;
mod stock_alerts;
mod watch;
mod wishlist;

use std::sync::Arc;

use lockstep_auth::{Auth, Keys};
use lockstep_cache::Cache;
use lockstep_domain::cart::CartLimits;
use lockstep_payments::Payments;
use lockstep_store::Store;
use rust_decimal::Decimal;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use arrival::Arrival;
pub use error::ShopError;
pub use export::{Export, Torn};
pub use lockstep_payments::{Decision, TestPage, TopUpError, WebhookError, WebhookOutcome};
pub use lockstep_store::accounts::LoginRecord;
pub use lockstep_store::fulfilment::Cancelled;
pub use lockstep_store::fulfilment::keys::How as Seen;
pub use lockstep_store::guests::Writer;
pub use lockstep_store::ledger::Adjusted;
pub use lockstep_store::orders::{Idempotency, Refunded};
pub use orders::{KeyFile, Slice};
pub use own::Own;
pub use watch::OrderWatch;

use guests::Living;
use watch::Watchers;

/// What the use cases stand on.
#[derive(Clone)]
pub struct Parts {
    /// The truth.
    pub store: Store,
    /// Answers.
    pub cache: Cache,
    /// Who is asking.
    pub auth: Auth,
    /// What opens sealed game keys.
    pub keys: Keys,
    /// Money from outside.
    pub payments: Payments,
    /// How much fits into a cart.
    pub cart_limits: CartLimits,
    /// The mark-up in percent below which no promo code may take a supplier's game; `None` lets codes sell below cost.
    pub protected_markup: Option<Decimal>,
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Shop(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// Guests whose last use was noted a moment ago.
    living: Living,
    /// Who watches an order.
    watchers: Watchers,
    /// Places for exports.
    exports: Arc<Semaphore>,
    /// The store is closing: whoever waits for something is let go.
    closing: CancellationToken,
}

impl Shop {
    /// The use cases over these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            living: Living::default(),
            watchers: Watchers::default(),
            exports: Arc::new(Semaphore::new(export::AT_ONCE)),
            closing: CancellationToken::new(),
        }))
    }

    /// Who is asking.
    pub fn auth(&self) -> &Auth {
        &self.0.parts.auth
    }

    /// Answers.
    pub fn cache(&self) -> &Cache {
        &self.0.parts.cache
    }

    fn store(&self) -> &Store {
        &self.0.parts.store
    }

    /// Lets everybody go who waits for something to happen. Everything else works as before.
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

    fn limits(&self) -> CartLimits {
        self.0.parts.cart_limits
    }
}

impl std::fmt::Debug for Shop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shop")
    }
}
