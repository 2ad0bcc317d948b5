//! A local simulation of Stripe: a real HTTP server with the contract that the shop uses, and a ledger of its own.
//!
//! Checkout sessions and their page, payment intents, charges with fees, refunds, disputes, early fraud warnings, balance
//! transactions and payouts; idempotency keys whose reuse with other parameters is refused; and signed webhooks, delivered
//! with retries. What happened can be kept in a file, so that a demo goes on where it was. On demand it loses, repeats and disorders deliveries, answers with errors, or not at all; what it has begun
//! it finishes even when the client has gone.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use lockstep_stripe_sandbox::{Card, StripeSandbox};
//!
//! let stripe = StripeSandbox::start().await?;
//! println!("STRIPE_API_URL={} STRIPE_SECRET_KEY={}", stripe.url(), stripe.api_key());
//! let session = "cs_test_1"; // created by the shop
//! stripe.pay(session, Card::Succeeds);
//! # Ok(())
//! # }
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "the stand-in for a payment provider keeps its own time"
)]

mod api;
mod cards;
mod faults;
mod ledger;
mod page;
mod state;
mod webhooks;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use cards::Card;
pub use faults::Fault;
pub use ledger::Ledger;
pub use state::Event;
pub use webhooks::Delivery;

use state::State;

/// The API version that this server speaks. A request with another version is refused.
pub const VERSION: &str = "2026-10-28.endive";

/// A running sandbox; it stops when the last clone is dropped.
#[derive(Clone)]
pub struct StripeSandbox {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

/// How often what happened is written to a file.
const SAVE_EVERY: std::time::Duration = std::time::Duration::from_millis(300);

/// Writes what happened to a file, until it is cancelled.
async fn keep(shared: Arc<Shared>, file: PathBuf) {
    let mut written = (0, 0, 0);
    loop {
        tokio::time::sleep(SAVE_EVERY).await;
        let (version, saved) = {
            let state = shared.lock();
            let version = state.version();
            (version, (version != written).then(|| state.saved()))
        };
        let Some(saved) = saved else { continue };
        let partial = file.with_extension("part");
        let done = std::fs::write(&partial, saved.to_string()).and_then(|()| std::fs::rename(&partial, &file));
        match done {
            Ok(()) => written = version,
            Err(error) => tracing::debug!(%error, "the sandbox cannot write its file"),
        }
    }
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

    /// Base URL of the payment pages: for a browser another site than a shop at 127.0.0.1.
    pub(crate) fn pages(&self) -> String {
        format!("http://localhost:{}/c/pay", self.address.port())
    }
}

impl std::fmt::Debug for StripeSandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StripeSandbox")
            .field("address", &self.shared.address)
            .finish_non_exhaustive()
    }
}

impl StripeSandbox {
    /// Starts on a free port of this machine.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts at an address.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub async fn start_at(address: SocketAddr) -> std::io::Result<Self> {
        Self::start_with(address, State::new(), None).await
    }

    /// Starts at an address with credentials, and keeps what happens in a file: the next start goes on from there.
    ///
    /// # Errors
    /// When the port cannot be opened, or the file is there and is not one of this server's.
    pub async fn start_kept(
        address: SocketAddr,
        api_key: String,
        webhook_secret: String,
        file: PathBuf,
    ) -> std::io::Result<Self> {
        let mut state = State::new();
        (state.api_key, state.webhook_secret) = (api_key, webhook_secret);
        match std::fs::read(&file) {
            Ok(bytes) => state.restore(&serde_json::from_slice::<Value>(&bytes)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Self::start_with(address, state, Some(file)).await
    }

    async fn start_with(address: SocketAddr, state: State, file: Option<PathBuf>) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            address: listener.local_addr()?,
            news: tokio::sync::Notify::new(),
        });
        let stop = CancellationToken::new();
        let router = Router::new()
            .route("/v1/checkout/sessions", post(api::create_session))
            .route("/v1/checkout/sessions/{id}", get(api::session))
            .route("/v1/checkout/sessions/{id}/expire", post(api::expire_session))
            .route("/v1/payment_intents/{id}", get(api::payment_intent))
            .route("/v1/charges", get(api::charges))
            .route("/v1/charges/{id}", get(api::charge))
            .route("/v1/refunds", get(api::refunds).post(api::create_refund))
            .route("/v1/refunds/{id}", get(api::refund))
            .route("/v1/disputes", get(api::disputes))
            .route("/v1/disputes/{id}", get(api::dispute).post(api::update_dispute))
            .route("/v1/radar/early_fraud_warnings", get(api::warnings))
            .route("/v1/radar/early_fraud_warnings/{id}", get(api::warning))
            .route("/v1/balance_transactions", get(api::balance_transactions))
            .route("/v1/payouts", get(api::payouts))
            .route("/c/pay/{id}", get(page::show).post(page::pay))
            .route("/control/ledger", get(api::ledger))
            .with_state(Arc::clone(&shared));
        let (ended, delivering) = (stop.clone(), stop.clone());
        tokio::spawn(async move {
            let serving = axum::serve(listener, router).into_future();
            drop(ended.run_until_cancelled(serving).await);
        });
        let sender = Arc::clone(&shared);
        tokio::spawn(async move { delivering.run_until_cancelled(webhooks::deliver(sender)).await });
        if let Some(file) = file {
            let (kept, keeping) = (Arc::clone(&shared), stop.clone());
            tokio::spawn(async move { keeping.run_until_cancelled(keep(kept, file)).await });
        }
        Ok(Self {
            shared,
            _stop: Arc::new(stop.drop_guard()),
        })
    }

    /// Base URL of the API, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// Base URL of the payment pages.
    pub fn pages(&self) -> String {
        self.shared.pages()
    }

    /// The secret key that clients have to use.
    pub fn api_key(&self) -> String {
        self.shared.lock().api_key.clone()
    }

    /// The secret with which webhooks are signed.
    pub fn webhook_secret(&self) -> String {
        self.shared.lock().webhook_secret.clone()
    }

    /// Where webhooks go, and how badly. Without a URL none is delivered.
    pub fn set_delivery(&self, url: Option<String>, delivery: Delivery) {
        let mut state = self.shared.lock();
        state.webhook_url = url;
        state.delivery = delivery;
    }

    /// How the next answers fail, until this is called again.
    pub fn set_fault(&self, fault: Fault) {
        self.shared.lock().fault = fault;
    }

    /// How long each request that creates something takes.
    pub fn set_takes(&self, takes: std::time::Duration) {
        self.shared.lock().takes = takes;
    }

    /// The calls that were received: method and path.
    pub fn calls(&self) -> Vec<String> {
        self.shared.lock().calls.clone()
    }

    /// An object as the API would answer it, without expansions.
    pub fn object(&self, id: &str) -> Option<Value> {
        self.shared.lock().objects.get(id).cloned()
    }

    /// All objects of a kind (`checkout.session`, `charge`, `refund`, …), the oldest first.
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        self.shared.lock().all(kind)
    }

    /// Pays a session with a card, as on its page; with one that needs authentication, as if it had succeeded. Returns the
    /// charge, or `None` if the session is not open or the card is declined.
    pub fn pay(&self, session: &str, card: Card) -> Option<String> {
        let charge = self.shared.lock().pay(session, card);
        self.shared.news.notify_one();
        charge
    }

    /// Opens a dispute about `cents` of a charge; returns its id.
    pub fn dispute(&self, charge: &str, cents: i64, reason: &str) -> Option<String> {
        let opened = self.shared.lock().open_dispute(charge, cents, reason);
        self.shared.news.notify_one();
        opened
    }

    /// Opens an inquiry about `cents` of a charge, which moves no money; returns its id. With the status `needs_response` it
    /// becomes a dispute.
    pub fn inquire(&self, charge: &str, cents: i64, reason: &str) -> Option<String> {
        let opened = self.shared.lock().inquire(charge, cents, reason);
        self.shared.news.notify_one();
        opened
    }

    /// Transfers the balance to the bank account; returns the payout.
    pub fn pay_out(&self) -> Option<String> {
        self.shared.lock().pay_out()
    }

    /// Forgets every idempotency key, as Stripe does after a day.
    pub fn forget_keys(&self) {
        self.shared.lock().answered.clear();
    }

    /// Refuses calls with 403 as for a restricted key, by their beginning (`GET /v1/disputes`), until this is called again.
    pub fn deny(&self, calls: &[&str]) {
        self.shared.lock().denied = calls.iter().map(|&call| call.to_owned()).collect();
    }

    /// Keeps so much of each refund from now on, in cents.
    pub fn set_refund_fee(&self, cents: i64) {
        self.shared.lock().refund_fee = cents;
    }

    /// Gives a dispute another status. `won` brings the money back; any other word is only said.
    pub fn set_dispute_status(&self, dispute: &str, status: &str) {
        self.shared.lock().set_dispute_status(dispute, status);
        self.shared.news.notify_one();
    }

    /// Reports a charge as fraud; returns the warning's id.
    pub fn warn(&self, charge: &str) -> Option<String> {
        let warning = self.shared.lock().warn(charge);
        self.shared.news.notify_one();
        warning
    }

    /// Makes a refund as staff would in Stripe's own pages; returns its id.
    pub fn refund_outside(&self, charge: &str, cents: i64) -> Option<String> {
        let made = self.shared.lock().make_refund(charge, cents, &json!({})).ok();
        self.shared.news.notify_one();
        made
    }

    /// Gives a refund another status: `succeeded`, `failed`, `canceled`, `pending`.
    pub fn set_refund_status(&self, refund: &str, status: &str) {
        self.shared.lock().set_refund_status(refund, status);
        self.shared.news.notify_one();
    }

    /// Sets a field of an object without an event, as a test needs it.
    pub fn change(&self, id: &str, field: &str, value: Value) {
        if let Some(object) = self.shared.lock().objects.get_mut(id) {
            object[field] = value;
        }
    }

    /// A payment of another program that uses the same account; returns its charge.
    pub fn foreign_payment(&self, cents: i64) -> String {
        let charge = self.shared.lock().foreign_payment(cents);
        self.shared.news.notify_one();
        charge
    }

    /// All events that were made, the oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.shared.lock().events.clone()
    }

    /// Signs bytes as a webhook's body: the `Stripe-Signature` header.
    pub fn sign(&self, body: &[u8]) -> String {
        webhooks::sign(body, &self.shared.lock().webhook_secret)
    }

    /// What money really moved.
    pub fn ledger(&self) -> Ledger {
        Ledger::of(&self.shared.lock())
    }
}
