//! VAT: what the operator has stated, whether receipts can be numbered, and whether they are what the books say.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_domain::tax::VatStatus;
use lockstep_store::{Store, vat};

use super::{Finding, NO_ANSWER};

const WHAT: &str = "VAT";
/// Rates that are older may have changed.
const OLD_RATES: TimeDelta = TimeDelta::days(180);

pub(super) async fn look(store: &Store, now: DateTime<Utc>, findings: &mut Vec<Finding>) {
    match findings_of(store, now).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::wrong(WHAT, error.to_string(), NO_ANSWER)),
    }
}

async fn findings_of(store: &Store, now: DateTime<Utc>) -> lockstep_store::Result<Vec<Finding>> {
    let settings = vat::settings(store).await?;
    let mut findings = Vec::new();
    if settings.status == VatStatus::Off {
        findings.push(Finding::note(
            WHAT,
            "the shop's country and VAT status are not stated; there are no receipts",
            "state them in the console under Payments, VAT",
        ));
    } else if !settings.is_complete {
        findings.push(Finding::wrong(
            WHAT,
            "receipts are not numbered: name, address or VAT id of the seller are missing",
            "enter them in the console under Payments, VAT; the receipts of completed orders follow",
        ));
    }
    let standing = vat::standing(store).await?;
    if standing.differing > 0 {
        findings.push(Finding::wrong(
            WHAT,
            format!(
                "{} orders have receipts that are not what the books say",
                standing.differing
            ),
            "a trigger was bypassed, as by a restored backup: compare `receipts` with `transactions`",
        ));
    }
    if standing.missing > 0 && settings.is_complete {
        findings.push(Finding::wrong(
            WHAT,
            format!("{} completed orders have no receipt", standing.missing),
            "save the statement in the console under Payments, VAT again: it makes a thousand at a time",
        ));
    }
    if settings.status == VatStatus::Standard {
        let rates = vat::rates(store).await?;
        if now.date_naive() - rates.date > OLD_RATES {
            findings.push(Finding::note(
                WHAT,
                format!("the rates are of {}", rates.date),
                "run `lockstep vat update`",
            ));
        }
        if settings.is_complete && findings.is_empty() {
            findings.push(Finding::well(
                WHAT,
                format!("receipts are what the books say; rates of {}", rates.date),
            ));
        }
    }
    Ok(findings)
}
