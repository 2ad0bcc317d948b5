//! Outgoing webhooks: endpoints that fail or were disabled, and deliveries that no worker sends.

use lockstep_store::{Store, webhooks};

use super::{Finding, NO_ANSWER};

const WHAT: &str = "webhooks";

/// A delivery that has been due for this many seconds is sent by nobody.
const OVERDUE: u64 = 300;

pub(super) async fn look(store: &Store, findings: &mut Vec<Finding>) {
    let figures = match webhooks::figures(store).await {
        Ok(figures) => figures,
        Err(error) => {
            findings.push(Finding::wrong(WHAT, error.to_string(), NO_ANSWER));
            return;
        }
    };
    for (name, reason) in &figures.disabled {
        findings.push(Finding::note(
            WHAT,
            format!("{name} is disabled: {reason}"),
            "correct the receiver, enable the webhook in the console, and replay what it has missed",
        ));
    }
    for name in &figures.failing {
        findings.push(Finding::wrong(
            WHAT,
            format!("{name} has taken no delivery for an hour"),
            "look at its deliveries in the console for the reason; they are tried for three days",
        ));
    }
    if figures.oldest_due > OVERDUE {
        findings.push(Finding::wrong(
            WHAT,
            format!(
                "{} deliveries wait, the oldest for {} minutes",
                figures.waiting,
                figures.oldest_due / 60
            ),
            "is `lockstep serve` or `worker` running?",
        ));
    } else if figures.enabled > 0 && figures.failing.is_empty() {
        findings.push(Finding::well(
            WHAT,
            format!("{} enabled, {} deliveries wait", figures.enabled, figures.waiting),
        ));
    }
}
