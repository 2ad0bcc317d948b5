//! Fetches a set of rates.

use std::time::Duration;

use lockstep_domain::tax::{RatesFault, VatRates};

use crate::client::{self, ClientError};

/// Longest set, in bytes.
const MOST: usize = 1024 * 1024;

/// Why no set was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchRatesError {
    /// There is no answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The answer is no set of rates.
    #[error("the answer cannot be used: {0}")]
    Fault(#[from] RatesFault),
}

/// Reads the set at `url`. What may replace the rates in force, the store decides.
///
/// # Errors
/// [`FetchRatesError`].
pub async fn fetch_rates(url: &str, timeout: Duration) -> Result<VatRates, FetchRatesError> {
    let address = client::address(url)?;
    let json = client::get(&client::client(timeout)?, address, MOST).await?;
    Ok(VatRates::read(&json, None)?)
}
