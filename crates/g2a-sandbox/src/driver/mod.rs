//! Simulates G2A as a caller: tests a seller's server against the dropshipping contract and reports every deviation.
//!
//! In that contract the roles are reversed: G2A fetches a token from the seller, reserves, orders, requests the keys
//! until they are ready, returns some, and reports deactivated auctions. It repeats calls whose answer it lost, and
//! calls may arrive out of order. [`drive`] does all of that with a server and checks every answer against the
//! contract; it stops early only where a step needs a result that the previous one did not give.
//!
//! The orders are real sales: use a server whose keys are for testing.

mod call;
mod scenario;
mod shape;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use call::Caller;

/// G2A's time limit for an answer.
pub const DEADLINE: Duration = Duration::from_secs(9);

/// The server to test and the orders to place.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drive {
    /// The address of the seller's server: `https://shop.example/g2a`, without a trailing slash.
    pub url: String,
    /// The client id that the seller has issued to G2A.
    pub client_id: String,
    /// The client secret that the seller has issued to G2A.
    pub client_secret: String,
    /// Products that the seller has in stock, by G2A's ids.
    pub products: Vec<u64>,
    /// Quantity of each product per order; at least 1.
    #[serde(default = "two")]
    pub quantity: u32,
    /// Time limit of an answer, in milliseconds. G2A's is [`DEADLINE`].
    #[serde(default = "deadline")]
    pub deadline_ms: u64,
    /// Time limit for stocking an order, in milliseconds.
    #[serde(default = "patience")]
    pub patience_ms: u64,
    /// If set, waits this many milliseconds after a reservation, whose order must then be answered with 410. A server
    /// that keeps reservations for half an hour needs more than that.
    #[serde(default)]
    pub expiry_ms: Option<u64>,
}

fn two() -> u32 {
    2
}

fn deadline() -> u64 {
    u64::try_from(DEADLINE.as_millis()).unwrap_or(u64::MAX)
}

fn patience() -> u64 {
    60_000
}

impl Drive {
    /// Two of each product, G2A's deadline, a minute for stocking, no test of the expiry.
    pub fn new(url: &str, client_id: &str, client_secret: &str, products: Vec<u64>) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            products,
            quantity: two(),
            deadline_ms: deadline(),
            patience_ms: patience(),
            expiry_ms: None,
        }
    }
}

/// Hides the secret.
impl fmt::Debug for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive")
            .field("url", &self.url)
            .field("products", &self.products)
            .field("quantity", &self.quantity)
            .finish_non_exhaustive()
    }
}

/// One deviation from the dropshipping contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deviation {
    /// The step of the test.
    pub step: &'static str,
    /// The call, without its query.
    pub call: String,
    /// What was expected and what was received. Never contains the text of a key or a token.
    pub what: String,
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.step, self.call, self.what)
    }
}

/// The result of a drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriveReport {
    /// The executed steps, in order.
    pub steps: Vec<&'static str>,
    /// Number of calls.
    pub calls: u32,
    /// The slowest answer, in milliseconds.
    pub slowest_ms: u64,
    /// Number of items with a text that were handed out.
    pub items: usize,
    /// The deviations from the dropshipping contract; empty if there are none.
    pub deviations: Vec<Deviation>,
}

/// Why a drive did not start.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The list of products is empty.
    #[error("a drive needs at least one product and a quantity of at least 1")]
    NothingToOrder,
    /// The address is not that of an HTTP server.
    #[error("{0:?} is no address of an HTTP server")]
    Url(String),
    /// The machine's certificates are unusable.
    #[error("cannot use the certificates of this machine")]
    Tls(#[source] rustls::Error),
    /// The HTTP client could not be built.
    #[error("cannot build an HTTP client")]
    Http(#[source] reqwest::Error),
}

/// Tests the server against the whole contract once.
///
/// # Errors
/// Returns [`DriveError`] before the first call; the report covers all behaviour of the server.
pub async fn drive(drive: &Drive) -> Result<DriveReport, DriveError> {
    if drive.products.is_empty() || drive.quantity == 0 {
        return Err(DriveError::NothingToOrder);
    }
    let url = reqwest::Url::parse(&drive.url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| DriveError::Url(drive.url.clone()))?;
    let mut caller = Caller::new(url, Duration::from_millis(drive.deadline_ms.max(1)))?;
    scenario::all(drive, &mut caller).await;
    Ok(caller.into_report())
}
