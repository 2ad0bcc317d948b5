//! What is asked outside about VAT: newer rates, and whether a VAT id exists (VIES).
//!
//! Both are off until the operator asks for them. Answers are small and are read up to a limit; nothing is repeated.

mod client;
mod rates;
mod vies;

pub use client::ClientError;
pub use rates::{FetchRatesError, fetch_rates};
pub use vies::{Vies, ViesAnswer, ViesConfig};
