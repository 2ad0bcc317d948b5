//! Payments that a relay reports in the old store's form, signed with a configured secret: a terminal, or a provider that
//! Lockstep does not speak to.

use lockstep_domain::account::Email;
use lockstep_domain::{Money, Secret};
use lockstep_store::top_ups::Outside;
use serde::Deserialize;

/// What signs the relay's deliveries.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Any of them will do.
    pub secrets: Vec<Secret>,
}

/// Why a relay's report cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// Not the documented fields.
    #[error("the report is not in the documented form")]
    Unreadable,
    /// An amount that is none.
    #[error("amount must be positive, with at most two decimals")]
    Amount,
    /// Money that no balance is kept in.
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

/// Reads a report; `None`: it tells of nothing that is paid.
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
    // Rates change; guessing them would give money away or take it.
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
