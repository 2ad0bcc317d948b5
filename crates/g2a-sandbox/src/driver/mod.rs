//! G2A as a caller: drives a seller's server through the dropshipping contract and tells where it departs from it.
//!
//! In that contract the roles are turned round: G2A fetches a token from the seller, reserves, orders, asks for the keys
//! until they are there, returns some, and tells of deactivated auctions. It calls twice when it has lost an answer, and
//! calls overtake each other. [`drive`] does all of that to a server and holds every answer against the contract; it
//! stops early only where the next step needs what the last one should have given.
//!
//! What is sold in the course of this is really sold: point it at a server whose keys are for trying.

mod call;
mod scenario;
mod shape;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use call::Caller;

/// G2A waits so long for an answer.
pub const DEADLINE: Duration = Duration::from_secs(9);

/// Whom to drive, and what to ask for.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drive {
    /// Where the seller's server is: `https://shop.example/g2a`, without a slash at the end.
    pub url: String,
    /// The client id that the seller has given G2A.
    pub client_id: String,
    /// The client secret that the seller has given G2A.
    pub client_secret: String,
    /// Products that the seller has in stock, by G2A's ids.
    pub products: Vec<u64>,
    /// How many of each are ordered at a time; at least 1.
    #[serde(default = "two")]
    pub quantity: u32,
    /// Longest wait for an answer, in milliseconds. G2A's is [`DEADLINE`].
    #[serde(default = "deadline")]
    pub deadline_ms: u64,
    /// How long an order may take to be stocked, in milliseconds.
    #[serde(default = "patience")]
    pub patience_ms: u64,
    /// When set, a reservation is left alone for so many milliseconds, and ordering it must answer 410. A server that
    /// keeps reservations for half an hour needs more than that.
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
    /// Two of each product, G2A's deadline, a minute for stocking, no wait for an expiry.
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

/// Does not print the secret.
impl fmt::Debug for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive")
            .field("url", &self.url)
            .field("products", &self.products)
            .field("quantity", &self.quantity)
            .finish_non_exhaustive()
    }
}

/// One departure from the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deviation {
    /// What was being tried.
    pub step: &'static str,
    /// The call, without its query.
    pub call: String,
    /// What should have been, and what was. Never the text of a key or a token.
    pub what: String,
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.step, self.call, self.what)
    }
}

/// What came of a drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriveReport {
    /// The steps that were taken, in their order.
    pub steps: Vec<&'static str>,
    /// Calls made.
    pub calls: u32,
    /// The longest answer, in milliseconds.
    pub slowest_ms: u64,
    /// Items with a text that were handed out.
    pub items: usize,
    /// Where the server departed from the contract; empty when nowhere.
    pub deviations: Vec<Deviation>,
}

/// Why a drive did not begin.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// Nothing to order.
    #[error("a drive needs at least one product and a quantity of at least 1")]
    NothingToOrder,
    /// The address is not one of an HTTP server.
    #[error("{0:?} is no address of an HTTP server")]
    Url(String),
    /// The machine's certificates cannot be used.
    #[error("cannot use the certificates of this machine")]
    Tls(#[source] rustls::Error),
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client")]
    Http(#[source] reqwest::Error),
}

/// Drives the server through the whole contract once.
///
/// # Errors
/// [`DriveError`] before the first call; whatever the server does is in the report.
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
