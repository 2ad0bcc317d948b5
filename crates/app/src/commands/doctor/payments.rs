//! Top-ups that need a decision by staff.

use chrono::{DateTime, Utc};
use lockstep_domain::language::Sentence;
use lockstep_store::Store;
use lockstep_store::cards::{comparison, holds, inbox, incidents};
use lockstep_store::pending_checkouts;
use lockstep_store::top_ups::{self, Review, ToReview};

use super::Finding;
use crate::words::say;

/// Maximum number that is listed individually.
const MOST: u32 = 20;

pub(super) async fn look(store: &Store, findings: &mut Vec<Finding>) {
    match top_ups::to_review(store, MOST).await {
        Ok(found) if found.is_empty() => findings.push(Finding::well("payments", "doctor.payments.none")),
        Ok(found) => findings.extend(
            found
                .iter()
                .map(|top_up| Finding::wrong("payments", in_words(top_up), remedy(top_up))),
        ),
        Err(error) => findings.push(Finding::failed("payments", error)),
    }
    if let Err(error) = cards(store, findings).await {
        findings.push(Finding::failed("payments", error));
    }
}

/// Money that goes back to cards: what needs a person, events that wait, and what the last comparison found.
async fn cards(store: &Store, findings: &mut Vec<Finding>) -> lockstep_store::Result<()> {
    for incident in incidents::open(store, MOST).await? {
        let seen = say!(
            "doctor.payments.incident",
            incident.kind,
            incident.reference,
            incident.detail
        );
        let remedy = say!("doctor.payments.incident.do", incident.id);
        findings.push(Finding::wrong("payments", seen, remedy));
    }
    if let (waiting @ 1.., since) = inbox::overdue(store).await? {
        let since = since.map_or_else(String::new, stamp);
        let seen = say!("doctor.payments.events", waiting, since);
        findings.push(Finding::wrong("payments", seen, "doctor.payments.events.do"));
    }
    if let (waiting @ 1.., since) = pending_checkouts::overdue(store).await? {
        let since = since.map_or_else(String::new, stamp);
        let seen = say!("doctor.payments.unplaced", waiting, since);
        findings.push(Finding::wrong("payments", seen, "doctor.payments.unplaced.do"));
    }
    if let (held @ 1.., since) = holds::waiting(store).await? {
        let since = since.map_or_else(String::new, stamp);
        let seen = say!("doctor.payments.held", held, since);
        findings.push(Finding::note("payments", seen, "doctor.payments.held.do"));
    }
    let late = incidents::overdue(store).await?;
    if late > 0 {
        let seen = say!("doctor.payments.late", late);
        findings.push(Finding::wrong("payments", seen, "doctor.payments.late.do"));
    }
    for (provider, name) in [
        (lockstep_payments::STRIPE, "Stripe"),
        (lockstep_payments::STRIPE_SANDBOX, "Stripe (sandbox)"),
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
        let when = stamp(last.began_at);
        for one in &last.differences {
            let seen = say!("doctor.payments.differs", one.kind, one.reference, one.detail, when);
            findings.push(Finding::wrong("payments", seen, "doctor.payments.differs.do"));
        }
        if last.ended_at.is_none() {
            let seen = say!("doctor.payments.comparing", name, when);
            findings.push(Finding::note("payments", seen, "doctor.payments.comparing.do"));
        } else if last.differences.is_empty() {
            findings.push(Finding::well("payments", say!("doctor.payments.agreed", name, when)));
        }
    }
    Ok(())
}

fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// Describes why a top-up needs review.
pub(crate) fn in_words(top_up: &ToReview) -> Sentence {
    let what: Sentence = match top_up.why {
        Review::NoEnd => "doctor.top_up.no_end",
        Review::OtherAmount => "doctor.top_up.other_amount",
        Review::NoOwner => "doctor.top_up.no_owner",
    }
    .into();
    let reference = match &top_up.reference {
        Some(reference) => Sentence::verbatim(reference),
        None => "doctor.top_up.no_reference".into(),
    };
    let (id, amount, provider, since) = (top_up.id, top_up.amount, &top_up.provider, stamp(top_up.since));
    match &top_up.problem {
        Some(problem) => {
            say!(
                "doctor.top_up.with_problem",
                id,
                amount,
                provider,
                reference,
                since,
                what,
                problem
            )
        }
        None => say!("doctor.top_up", id, amount, provider, reference, since, what),
    }
}

/// What an operator can do about it.
pub(crate) fn remedy(top_up: &ToReview) -> Sentence {
    let id = top_up.id;
    match top_up.why {
        Review::NoEnd => say!("doctor.top_up.no_end.do", id, id),
        Review::OtherAmount => say!("doctor.top_up.other_amount.do", id, id),
        Review::NoOwner => say!("doctor.top_up.no_owner.do", id),
    }
}
