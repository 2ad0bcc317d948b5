//! VIES, the register of VAT ids of the European Commission (its REST API).

use std::sync::Arc;
use std::time::Duration;

use lockstep_domain::tax::VatId;

use crate::client::{self, ClientError};

/// Longest answer, in bytes.
const MOST: usize = 64 * 1024;

/// Configuration of VIES.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViesConfig {
    /// Base of the API, `https://ec.europa.eu/taxation_customs/vies/rest-api`.
    pub url: String,
    /// Time limit of a question.
    pub timeout: Duration,
}

/// What VIES says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViesAnswer {
    /// The id exists.
    Valid,
    /// It does not.
    Invalid,
    /// Nothing: no answer, or the member state's register is not available.
    Unavailable,
}

/// The client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vies(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: reqwest::Url,
    http: reqwest::Client,
}

impl Vies {
    /// Creates the client; sends nothing yet.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn new(config: &ViesConfig) -> Result<Self, ClientError> {
        Ok(Self(Arc::new(Inner {
            base: client::address(&config.url)?,
            http: client::client(config.timeout)?,
        })))
    }

    /// Asks whether an id exists. Never fails: without an answer it is [`ViesAnswer::Unavailable`].
    pub async fn ask(&self, id: &VatId) -> ViesAnswer {
        let mut url = self.0.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(["ms", id.country().vat_prefix(), "vat", id.number()]);
        }
        let answer = match client::get(&self.0.http, url, MOST).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::info!("VIES did not answer: {error}");
                return ViesAnswer::Unavailable;
            }
        };
        let is_valid = answer.get("isValid").and_then(serde_json::Value::as_bool);
        let why = answer.get("userError").and_then(serde_json::Value::as_str);
        match (is_valid, why) {
            (Some(true), _) => ViesAnswer::Valid,
            // Also false while a register is not available.
            (Some(false), Some("INVALID")) => ViesAnswer::Invalid,
            _ => ViesAnswer::Unavailable,
        }
    }
}
