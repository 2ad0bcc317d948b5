//! What the last nightly verification found.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_domain::language::Sentence;
use lockstep_store::Store;
use lockstep_store::verify::{self, Finding as Found, Outcome};

use super::{Finding, listed};
use crate::words::say;

const WHAT: &str = "verification";
/// Violated invariants that are named.
const NAMED: usize = 3;
/// Age from which a verdict is out of date: a worker makes one every night.
const OLD: TimeDelta = TimeDelta::days(3);

pub(super) async fn look(store: &Store, now: DateTime<Utc>) -> Finding {
    let last = match verify::last(store).await {
        Ok(Some(last)) => last,
        Ok(None) => return Finding::well(WHAT, "doctor.verification.none"),
        Err(error) => return Finding::failed(WHAT, error),
    };
    let at = last.ended_at.format("%Y-%m-%d %H:%M UTC");
    match last.outcome {
        Outcome::Violated => Finding::wrong(
            WHAT,
            say!("doctor.verification.violated", in_words(&last.findings), at),
            "doctor.verification.violated.do",
        ),
        Outcome::Incomplete | Outcome::Interrupted => Finding::note(
            WHAT,
            say!("doctor.verification.incomplete", at, in_words(&last.findings)),
            "doctor.verification.incomplete.do",
        ),
        Outcome::Holds if now - last.ended_at > OLD => {
            Finding::note(WHAT, say!("doctor.verification.old", at), "doctor.verification.old.do")
        }
        Outcome::Holds => Finding::well(WHAT, say!("doctor.verification.holds", last.rows, at)),
    }
}

fn in_words(findings: &[Found]) -> Sentence {
    let words: Vec<Sentence> = (findings.iter())
        .map(|finding| match &finding.error {
            Some(error) => say!("doctor.verification.unchecked", finding.name, error),
            None => say!("doctor.invariants.broken", finding.name, finding.violations),
        })
        .collect();
    listed(&words, NAMED)
}
