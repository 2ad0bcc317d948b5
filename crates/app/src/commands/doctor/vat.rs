//! VAT: what the operator has stated, whether receipts can be numbered, and whether they are what the books say.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_domain::tax::VatStatus;
use lockstep_store::{Store, vat};

use super::Finding;
use crate::words::say;

const WHAT: &str = "VAT";
/// Rates that are older may have changed.
const OLD_RATES: TimeDelta = TimeDelta::days(180);

pub(super) async fn look(store: &Store, now: DateTime<Utc>, findings: &mut Vec<Finding>) {
    match findings_of(store, now).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::failed(WHAT, error)),
    }
}

async fn findings_of(store: &Store, now: DateTime<Utc>) -> lockstep_store::Result<Vec<Finding>> {
    let settings = vat::settings(store).await?;
    let mut findings = Vec::new();
    if settings.status == VatStatus::Off {
        findings.push(Finding::note(WHAT, "doctor.vat.off", "doctor.vat.off.do"));
    } else if !settings.is_complete {
        findings.push(Finding::wrong(
            WHAT,
            "doctor.vat.incomplete",
            "doctor.vat.incomplete.do",
        ));
    }
    let standing = vat::standing(store).await?;
    if standing.differing > 0 {
        findings.push(Finding::wrong(
            WHAT,
            say!("doctor.vat.differing", standing.differing),
            "doctor.vat.differing.do",
        ));
    }
    if standing.missing > 0 && settings.is_complete {
        findings.push(Finding::wrong(
            WHAT,
            say!("doctor.vat.missing", standing.missing),
            "doctor.vat.missing.do",
        ));
    }
    if settings.status == VatStatus::Standard {
        let rates = vat::rates(store).await?;
        if now.date_naive() - rates.date > OLD_RATES {
            findings.push(Finding::note(
                WHAT,
                say!("doctor.vat.old", rates.date),
                "doctor.vat.old.do",
            ));
        }
        if settings.is_complete && findings.is_empty() {
            findings.push(Finding::well(WHAT, say!("doctor.vat.current", rates.date)));
        }
    }
    Ok(findings)
}
