//! A local simulation of Mollie: a real HTTP server of this machine with the part of its API v2 that the shop uses, and a
//! ledger of its own.
//!
//! Payments and their page, refunds, chargebacks, lists in parts, idempotency keys, errors in HAL form, and unsigned webhooks
//! that only name a payment, delivered with retries. On demand it loses, repeats and disorders deliveries, answers with errors,
//! or not at all; what it has begun it finishes even when the client has gone.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use lockstep_mollie_sandbox::{Card, MollieSandbox};
//!
//! let mollie = MollieSandbox::start().await?;
//! println!("MOLLIE_API_URL={} MOLLIE_API_KEY={}", mollie.url(), mollie.api_key());
//! let payment = "tr_1"; // created by the shop
//! mollie.pay(payment, Card::Succeeds);
//! # Ok(())
//! # }
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "the stand-in for a payment provider keeps its own time"
)]

mod api;
mod faults;
mod page;
mod state;
mod webhooks;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use faults::Fault;
pub use state::{Card, Ledger};
pub use webhooks::Delivery;

use state::State;

/// A running sandbox; it stops when the last clone is dropped.
#[derive(Clone)]
pub struct MollieSandbox {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

/// What handlers and controls share.
pub(crate) struct Shared {
    state: Mutex<State>,
    address: SocketAddr,
    news: tokio::sync::Notify,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Base URL of the payment pages: for a browser another site than a shop at 127.0.0.1.
    pub(crate) fn pages(&self) -> String {
        format!("http://localhost:{}/checkout", self.address.port())
    }
}

impl std::fmt::Debug for MollieSandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MollieSandbox")
            .field("address", &self.shared.address)
            .finish_non_exhaustive()
    }
}

impl MollieSandbox {
    /// Starts on a free port of this machine, which no other machine reaches.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub async fn start() -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            address: listener.local_addr()?,
            news: tokio::sync::Notify::new(),
        });
        let router = Router::new()
            .route("/v2/payments", get(api::payments).post(api::create_payment))
            .route("/v2/payments/{id}", get(api::payment).delete(api::cancel_payment))
            .route(
                "/v2/payments/{id}/refunds",
                get(api::refunds_of).post(api::create_refund),
            )
            .route("/v2/payments/{id}/refunds/{refund}", get(api::refund))
            .route("/v2/payments/{id}/chargebacks", get(api::chargebacks_of))
            .route("/v2/payments/{id}/chargebacks/{chargeback}", get(api::chargeback))
            .route("/v2/refunds", get(api::refunds))
            .route("/v2/chargebacks", get(api::chargebacks))
            .route("/checkout/{id}", get(page::show))
            .route("/checkout/{id}", post(page::pay))
            .with_state(Arc::clone(&shared));
        let stop = CancellationToken::new();
        let (ended, delivering) = (stop.clone(), stop.clone());
        tokio::spawn(async move {
            let serving = axum::serve(listener, router).into_future();
            drop(ended.run_until_cancelled(serving).await);
        });
        let sender = Arc::clone(&shared);
        tokio::spawn(async move { delivering.run_until_cancelled(webhooks::deliver(sender)).await });
        Ok(Self {
            shared,
            _stop: Arc::new(stop.drop_guard()),
        })
    }

    /// Base URL of the API, without a path.
    pub fn url(&self) -> String {
        self.shared.url()
    }

    /// Base URL of the payment pages.
    pub fn pages(&self) -> String {
        self.shared.pages()
    }

    /// The key that clients have to use.
    pub fn api_key(&self) -> String {
        state::API_KEY.to_owned()
    }

    /// How badly webhooks are delivered. Each goes to the address that its payment was created with.
    pub fn set_delivery(&self, delivery: Delivery) {
        self.shared.lock().delivery = delivery;
        self.shared.news.notify_one();
    }

    /// How the next answers fail, until this is called again.
    pub fn set_fault(&self, fault: Fault) {
        self.shared.lock().fault = fault;
    }

    /// How long each request that creates something takes.
    pub fn set_takes(&self, takes: Duration) {
        self.shared.lock().takes = takes;
    }

    /// Whether open payments can be cancelled: those by bank transfer can, those by card cannot, which is the default.
    pub fn set_cancelable(&self, is_so: bool) {
        self.shared.lock().is_cancelable = is_so;
    }

    /// Forgets every idempotency key, as Mollie does after an hour.
    pub fn forget_keys(&self) {
        self.shared.lock().answered.clear();
    }

    /// The most objects in one part of a list, for tests of lists.
    pub fn set_most_in_part(&self, most: usize) {
        self.shared.lock().most_in_part = most;
    }

    /// The calls that were received: method and path.
    pub fn calls(&self) -> Vec<String> {
        self.shared.lock().calls.clone()
    }

    /// All payments as the API would answer them, the oldest first.
    pub fn payments(&self) -> Vec<Value> {
        let state = self.shared.lock();
        state
            .payments
            .iter()
            .map(|one| state.payment_json(one, &self.shared))
            .collect()
    }

    /// All refunds as the API would answer them, the oldest first.
    pub fn refunds(&self) -> Vec<Value> {
        self.shared.lock().refunds.iter().map(state::Refund::json).collect()
    }

    /// Pays a payment with a card, as on its page. Returns whether it was open.
    pub fn pay(&self, payment: &str, card: Card) -> bool {
        let was_open = self.shared.lock().pay(payment, card);
        self.shared.news.notify_one();
        was_open
    }

    /// Gives a payment another status: `paid`, `failed`, `expired`, `canceled`, `pending`, `authorized`.
    pub fn set_status(&self, payment: &str, status: &str) {
        self.shared.lock().set_status(payment, status);
        self.shared.news.notify_one();
    }

    /// Changes what a payment was for, as a test of wrong amounts needs it: cents and currency.
    pub fn set_amount(&self, payment: &str, cents: i64, currency: &str) {
        if let Some(found) = self.shared.lock().find(payment) {
            (found.cents, found.currency) = (cents, currency.to_owned());
        }
    }

    /// A paid payment of another program that uses the same account; returns its id.
    pub fn foreign_payment(&self, cents: i64) -> String {
        self.shared.lock().foreign_payment(cents)
    }

    /// Makes a refund as staff would in Mollie's own pages; returns its id.
    pub fn refund_outside(&self, payment: &str, cents: i64) -> Option<String> {
        let made = self.shared.lock().refund(payment, cents, Value::Null).ok();
        self.shared.news.notify_one();
        made
    }

    /// Gives a refund another status: `queued`, `pending`, `processing`, `refunded`, `failed`, `canceled`.
    pub fn set_refund_status(&self, refund: &str, status: &str) {
        self.shared.lock().set_refund_status(refund, status);
        self.shared.news.notify_one();
    }

    /// Charges back `cents` of a payment; returns the chargeback's id.
    pub fn charge_back(&self, payment: &str, cents: i64) -> Option<String> {
        let made = self.shared.lock().charge_back(payment, cents);
        self.shared.news.notify_one();
        made
    }

    /// Reverses a chargeback: the money is back.
    pub fn reverse(&self, chargeback: &str) {
        self.shared.lock().reverse(chargeback);
        self.shared.news.notify_one();
    }

    /// The payments that had news so far, one entry for each webhook to deliver, the oldest first.
    pub fn news(&self) -> Vec<String> {
        self.shared
            .lock()
            .news
            .iter()
            .map(|(payment, _)| payment.clone())
            .collect()
    }

    /// What money really moved.
    pub fn ledger(&self) -> Ledger {
        self.shared.lock().ledger()
    }
}
