//! A local simulation of G2A: a real HTTP server of its buyer API, with its own catalogue, wallet and ledger.
//!
//! The difficult cases of buying keys occur when the other side is slow, wrong, rate limited or down, and the live
//! service cannot be put into these states on demand. The sandbox can: each uncertain property of G2A's API is a
//! [switch](Knobs), each fault a [rule](FaultRule), and the [ledger](Ledger) records what money was really taken and
//! which keys were really handed out.
//!
//! [`drive`] is the reverse, G2A as a caller: it tests a seller's server against the dropshipping contract and reports
//! every deviation.
//!
//! ```no_run
//! # async fn example() -> Result<(), lockstep_g2a_sandbox::StartError> {
//! use lockstep_g2a_sandbox::{CallMatch, Config, Fault, FaultRule, Sandbox};
//!
//! let sandbox = Sandbox::start(Config::default()).await?;
//! sandbox.control().add_fault(FaultRule::once(CallMatch::Pay, Fault::DropAfter));
//! println!("{}/products", sandbox.base_url());
//! # Ok(())
//! # }
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "the stand-in for a supplier keeps its own time"
)]

mod api;
mod catalogue;
mod clock;
mod control;
mod dice;
mod driver;
mod faults;
mod knobs;
mod market;
mod state;
mod wire;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use catalogue::{Catalogue, LoadError};
pub use control::{ClockReading, Control};
pub use driver::{DEADLINE, Deviation, Drive, DriveError, DriveReport, drive};
pub use faults::{Call, CallMatch, Fault, FaultRule, Times};
pub use knobs::{AlreadyDownloaded, Auth01Status, KeyNotReady, Knobs, OrderIds, PayTwice, PriceBasis, Statuses};
pub use market::{Ledger, OrderRecord};
pub use state::{RequestCounts, RequestRecord};

use state::{Shared, State};
use wire::{Connection, Gate};

/// How long a shutdown waits for answers in flight.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

/// Settings of a sandbox.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address and port; port 0 selects a free one.
    pub bind: SocketAddr,
    /// The catalogue.
    pub catalogue: Catalogue,
    /// The initial switches.
    pub knobs: Knobs,
    /// The credentials that clients must use.
    pub credentials: Credentials,
    /// The initial balance of the wallet.
    pub wallet: Money,
    /// Random changes of price and stock per second of real time; 0 for none.
    pub drift_per_second: u32,
    /// The initial time of the sandbox's clock; `None` for the real time.
    pub start_at: Option<DateTime<Utc>>,
}

impl Default for Config {
    /// 10,000 synthetic games on a free port of 127.0.0.1, 10,000 euros in the wallet, no drift.
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            catalogue: Catalogue::Generated { count: 10_000, seed: 1 },
            knobs: Knobs::default(),
            credentials: Credentials::default(),
            wallet: Money::from_cents(1_000_000).unwrap_or(Money::ZERO),
            drift_per_second: 0,
            start_at: None,
        }
    }
}

/// Credentials of a client of the sandbox. `Debug` hides the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The API hash, also called client id.
    pub hash: String,
    /// The account's e-mail address.
    pub email: String,
    /// The API secret, also called client secret.
    pub secret: String,
}

impl Credentials {
    /// The value of the `Authorization` header: the hash, a comma, a blank, and the lower-case hexadecimal SHA-256 of
    /// hash, address and secret concatenated.
    pub fn authorization(&self) -> String {
        let digest = Sha256::new()
            .chain_update(&self.hash)
            .chain_update(&self.email)
            .chain_update(&self.secret);
        format!("{}, {}", self.hash, hex::encode(digest.finalize()))
    }
}

impl Default for Credentials {
    /// A well-known set: it protects nothing real.
    fn default() -> Self {
        Self {
            hash: "lockstep-sandbox".to_owned(),
            email: "sandbox@lockstep.invalid".to_owned(),
            secret: "make-believe".to_owned(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("hash", &self.hash)
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is in use or not one of this machine.
    #[error("cannot listen on {address}")]
    Bind {
        /// The requested address.
        address: SocketAddr,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// The catalogue could not be loaded.
    #[error("cannot load the catalogue")]
    Catalogue(#[from] LoadError),
    /// The generation of the catalogue was interrupted, because the runtime is shutting down.
    #[error("interrupted while generating the catalogue")]
    Interrupted,
}

/// A running sandbox. Dropping it stops it and closes every connection.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    control: Control,
    /// Cancelled to stop accepting requests and to let those in flight finish.
    closing: CancellationToken,
    /// Cancelled to close every connection.
    ended: CancellationToken,
    server: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Generates or loads the catalogue, binds the address and starts serving.
    ///
    /// # Errors
    /// Returns [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let bind = config.bind;
        let failed = |source| StartError::Bind { address: bind, source };
        let listener = TcpListener::bind(bind).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        // A million products take a second, which must not block the runtime.
        let shared = tokio::task::spawn_blocking(move || Shared::new(config))
            .await
            .map_err(|_| StartError::Interrupted)??;
        let shared = Arc::new(shared);
        let (closing, ended) = (CancellationToken::new(), CancellationToken::new());
        let router = Router::new()
            .route("/oauth/token", post(api::token))
            .fallback(api::handle)
            .with_state(shared.clone())
            .nest("/control", control::routes(shared.clone()));
        let gate = Gate {
            listener,
            ended: ended.clone(),
        };
        let serving = axum::serve(gate, router.into_make_service_with_connect_info::<Connection>())
            .with_graceful_shutdown(closing.clone().cancelled_owned());
        let (drift, drift_closing) = (shared.clone(), closing.clone());
        let server = tokio::spawn(async move {
            let drifting = drift_closing.run_until_cancelled(run_drift(&drift));
            let (result, _) = tokio::join!(serving, drifting);
            if let Err(error) = result {
                tracing::error!(%error, "the G2A sandbox stopped");
            }
        });
        let control = Control { shared };
        let products = control.product_count();
        tracing::info!(%address, products, "G2A sandbox with {products} products at http://{address}/v1");
        Ok(Self {
            address,
            control,
            closing,
            ended,
            server: Some(server),
        })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The API's base, `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The credentials that a client must use.
    pub fn credentials(&self) -> Credentials {
        self.control.shared.config.credentials.clone()
    }

    /// The handle for faults, changes and queries.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Accepts no more requests, lets those in flight finish for at most two seconds, then closes every connection.
    pub async fn shutdown(mut self) {
        self.closing.cancel();
        if let Some(mut server) = self.server.take() {
            let stopped = tokio::time::timeout(SHUTDOWN_PATIENCE, &mut server).await;
            if stopped.is_err() {
                self.ended.cancel();
                server.abort();
                // The port is free again only after the task has ended. That it was aborted is expected.
                drop(server.await);
            }
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.closing.cancel();
        self.ended.cancel();
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

/// Changes the catalogue at the configured rate.
async fn run_drift(shared: &Shared) {
    const STEP: Duration = Duration::from_millis(20);
    let mut last = tokio::time::Instant::now();
    let mut owed_thousandths = 0_u64;
    loop {
        let rate = u64::from(shared.lock().drift_per_second);
        if rate == 0 {
            shared.drift_changed.notified().await;
            last = tokio::time::Instant::now();
            continue;
        }
        let pause = STEP.max(Duration::from_millis(1_000 / rate));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.drift_changed.notified() => {}
        }
        let elapsed = u64::try_from(last.elapsed().as_millis()).unwrap_or(u64::MAX);
        last = tokio::time::Instant::now();
        owed_thousandths = owed_thousandths.saturating_add(elapsed.saturating_mul(rate));
        let changes = (owed_thousandths / 1_000).min(100_000);
        owed_thousandths %= 1_000;
        let mut state = shared.lock();
        let now = state.settle();
        let State { goods, dice, .. } = &mut *state;
        for _ in 0..changes {
            goods.drift(dice, now);
        }
    }
}
