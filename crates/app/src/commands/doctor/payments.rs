//! Top-ups that need a decision by staff.

use lockstep_store::Store;
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
