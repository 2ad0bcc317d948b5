//! Payments reported by a relay in the existing shop's format, signed with a configured secret: by a terminal, or by a
//! provider that Lockstep does not support.

use lockstep_domain::account::Email;
use lockstep_domain::{Money, Secret};
use lockstep_store::top_ups::Outside;
use serde::Deserialize;

/// The relay's configuration.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Secrets that sign its deliveries; any of them is accepted.
    pub secrets: Vec<Secret>,
}

/// Why a relay's report is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// Missing or malformed fields.
    #[error("the report is not in the documented form")]
    Unreadable,
    /// Invalid amount.
    #[error("amount must be positive, with at most two decimals")]
    Amount,
    /// A currency other than EUR.
    #[error("currency must be EUR")]
    Currency,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    transaction_id: String,
    email: String,
    amount: serde_json::Number,
    currency: String,
    #[serde(default)]
    method: Option<String>,
    status: String,
}

/// Parses a report; `None` when it does not report a payment.
pub(crate) fn read(body: &[u8]) -> Result<Option<Outside>, RelayError> {
    let report: Report = serde_json::from_slice(body).map_err(|_| RelayError::Unreadable)?;
    let fits = |text: &str, most| (1..=most).contains(&text.len()) && !text.chars().any(char::is_control);
    let method = report.method.unwrap_or_else(|| "relay".to_owned());
    if !fits(&report.transaction_id, 200) || !fits(&method, 50) || !fits(&report.email, 254) {
        return Err(RelayError::Unreadable);
    }
    match report.status.as_str() {
        "completed" => {}
        "pending" | "processing" | "failed" | "cancelled" => return Ok(None),
        _ => return Err(RelayError::Unreadable),
    }
    let amount = report
        .amount
        .to_string()
        .parse::<Money>()
        .ok()
        .filter(|amount| amount.is_positive())
        .ok_or(RelayError::Amount)?;
    // Exchange rates change; a guessed rate would credit a wrong amount.
    if !report.currency.eq_ignore_ascii_case("EUR") {
        return Err(RelayError::Currency);
    }
    Ok(Some(Outside {
        transaction: report.transaction_id,
        email: Email::parse(&report.email)
            .map_err(|_| RelayError::Unreadable)?
            .to_string(),
        amount,
        method,
    }))
}
