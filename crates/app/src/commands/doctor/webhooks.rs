//! Outgoing webhooks: endpoints that fail or were disabled, and deliveries that no worker sends.

use lockstep_store::{Store, webhooks};

use super::Finding;
use crate::words::say;

const WHAT: &str = "webhooks";

/// A delivery that has been due for this many seconds is sent by nobody.
const OVERDUE: u64 = 300;

pub(super) async fn look(store: &Store, findings: &mut Vec<Finding>) {
    let figures = match webhooks::figures(store).await {
        Ok(figures) => figures,
        Err(error) => {
            findings.push(Finding::failed(WHAT, error));
            return;
        }
    };
    for (name, reason) in &figures.disabled {
        findings.push(Finding::note(
            WHAT,
            say!("doctor.webhooks.disabled", name, reason),
            "doctor.webhooks.disabled.do",
        ));
    }
    for name in &figures.failing {
        findings.push(Finding::wrong(
            WHAT,
            say!("doctor.webhooks.failing", name),
            "doctor.webhooks.failing.do",
        ));
    }
    if figures.oldest_due > OVERDUE {
        findings.push(Finding::wrong(
            WHAT,
            say!("doctor.webhooks.late", figures.waiting, figures.oldest_due / 60),
            "doctor.webhooks.late.do",
        ));
    } else if figures.enabled > 0 && figures.failing.is_empty() {
        findings.push(Finding::well(
            WHAT,
            say!("doctor.webhooks.enabled", figures.enabled, figures.waiting),
        ));
    }
}
