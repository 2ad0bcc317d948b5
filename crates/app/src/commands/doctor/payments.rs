//! Top-ups that need a decision by staff.

use lockstep_store::Store;
use lockstep_store::cards::{comparison, holds, inbox, incidents};
use lockstep_store::pending_checkouts;
use lockstep_store::top_ups::{self, Review, ToReview};

use super::{Finding, NO_ANSWER};

/// Maximum number that is listed individually.
const MOST: u32 = 20;

pub(super) async fn look(store: &Store, findings: &mut Vec<Finding>) {
    match top_ups::to_review(store, MOST).await {
        Ok(found) if found.is_empty() => findings.push(Finding::well("payments", "no top-up waits for staff")),
        Ok(found) => findings.extend(
            found
                .iter()
                .map(|top_up| Finding::wrong("payments", in_words(top_up), remedy(top_up))),
        ),
        Err(error) => findings.push(Finding::wrong("payments", error.to_string(), NO_ANSWER)),
    }
    if let Err(error) = cards(store, findings).await {
        findings.push(Finding::wrong("payments", error.to_string(), NO_ANSWER));
    }
}

/// Money that goes back to cards: what needs a person, events that wait, and what the last comparison found.
async fn cards(store: &Store, findings: &mut Vec<Finding>) -> lockstep_store::Result<()> {
    for incident in incidents::open(store, MOST).await? {
        let seen = format!("{} {}: {}", incident.kind, incident.reference, incident.detail);
        let remedy = format!(
            "decide it, then close it: POST /api/admin/payment-incidents/{}/close",
            incident.id
        );
        findings.push(Finding::wrong("payments", seen, remedy));
    }
    if let (waiting @ 1.., since) = inbox::overdue(store).await? {
        let since = since.map_or_else(String::new, |since| {
            format!(" since {}", since.format("%Y-%m-%d %H:%M UTC"))
        });
        let seen = format!("{waiting} events of the payment provider wait to be acted on{since}");
        findings.push(Finding::wrong(
            "payments",
            seen,
            "check that a worker runs and reaches the payment provider",
        ));
    }
    if let (waiting @ 1.., since) = pending_checkouts::overdue(store).await? {
        let since = since.map_or_else(String::new, |since| {
            format!(" since {}", since.format("%Y-%m-%d %H:%M UTC"))
        });
        let seen = format!("{waiting} orders are paid and not placed{since}; the money is on the balances");
        findings.push(Finding::wrong(
            "payments",
            seen,
            "check that a worker runs; its log says `could not settle a paid checkout`",
        ));
    }
    if let (held @ 1.., since) = holds::waiting(store).await? {
        let since = since.map_or_else(String::new, |since| {
            format!(" since {}", since.format("%Y-%m-%d %H:%M UTC"))
        });
        let seen = format!("rules against fraud hold {held} payments{since}");
        findings.push(Finding::note(
            "payments",
            seen,
            "release or refund them: the console's room Payments, or GET /api/admin/payment-holds",
        ));
    }
    let late = incidents::overdue(store).await?;
    if late > 0 {
        let seen = format!("{late} incidents about payments have passed the time by which they had to be decided");
        findings.push(Finding::wrong(
            "payments",
            seen,
            "decide them: GET /api/admin/payment-incidents",
        ));
    }
    for (provider, name) in [
        (lockstep_payments::STRIPE, "Stripe"),
        (lockstep_payments::STRIPE_SANDBOX, "the sandbox of Stripe"),
        (lockstep_payments::MOLLIE, "Mollie"),
    ] {
        compared(store, provider, name, findings).await?;
    }
    Ok(())
}

/// What the last comparison with a provider found.
async fn compared(
    store: &Store,
    provider: &str,
    name: &str,
    findings: &mut Vec<Finding>,
) -> lockstep_store::Result<()> {
    if let Some(last) = comparison::last(store, provider).await? {
        let when = last.began_at.format("%Y-%m-%d %H:%M UTC");
        for one in &last.differences {
            let seen = format!("{} {}: {} (compared {when})", one.kind, one.reference, one.detail);
            findings.push(Finding::wrong(
                "payments",
                seen,
                "run `lockstep reconcile --fix`; what is left is for a person",
            ));
        }
        if last.ended_at.is_none() {
            let seen = format!("the comparison with {name} that began {when} has not ended");
            findings.push(Finding::note(
                "payments",
                seen,
                "it is repeated within an hour, or run `lockstep reconcile`",
            ));
        } else if last.differences.is_empty() {
            findings.push(Finding::well(
                "payments",
                format!("the books agreed with {name} {when}"),
            ));
        }
    }
    Ok(())
}

/// Describes why a top-up needs review.
pub(crate) fn in_words(top_up: &ToReview) -> String {
    let what = match top_up.why {
        Review::NoEnd => "the provider has reported no end of it",
        Review::OtherAmount => "another amount was paid than intended; nothing was credited",
        Review::NoOwner => "it was paid after its account had been deleted",
    };
    let problem = top_up
        .problem
        .as_ref()
        .map(|problem| format!(" ({problem})"))
        .unwrap_or_default();
    format!(
        "top-up {} of {} EUR, {} {}, since {}: {what}{problem}",
        top_up.id,
        top_up.amount,
        top_up.provider,
        top_up.reference.as_deref().unwrap_or("without a reference"),
        top_up.since.format("%Y-%m-%d %H:%M UTC"),
    )
}

/// What an operator can do about it.
pub(crate) fn remedy(top_up: &ToReview) -> String {
    let id = top_up.id;
    let credit = format!("run `lockstep reconcile --credit {id}");
    let close = format!("run `lockstep reconcile --reviewed {id}`");
    match top_up.why {
        Review::NoEnd => format!(
            "look for it at the provider (metadata `top_up`): if it was paid, {credit} --amount EUR`; if not, close it there and {close}"
        ),
        Review::OtherAmount => format!(
            "to credit what was paid, {credit}` (with `--amount EUR` if it was not paid in euro); to pay it back, do that at the provider and {close}"
        ),
        Review::NoOwner => format!("pay it back at the provider, then {close}"),
    }
}
