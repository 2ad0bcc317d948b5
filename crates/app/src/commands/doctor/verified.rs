//! What the last nightly verification found.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_store::Store;
use lockstep_store::verify::{self, Finding as Found, Outcome};

use super::{Finding, NO_ANSWER};

const WHAT: &str = "verification";
/// Violated invariants that are named.
const NAMED: usize = 3;
/// Age from which a verdict is out of date: a worker makes one every night.
const OLD: TimeDelta = TimeDelta::days(3);

pub(super) async fn look(store: &Store, now: DateTime<Utc>) -> Finding {
    let last = match verify::last(store).await {
        Ok(Some(last)) => last,
        Ok(None) => return Finding::well(WHAT, "none yet; a worker makes one every night"),
        Err(error) => return Finding::wrong(WHAT, error.to_string(), NO_ANSWER),
    };
    let at = last.ended_at.format("%Y-%m-%d %H:%M UTC");
    match last.outcome {
        Outcome::Violated => Finding::wrong(
            WHAT,
            format!("{} at {at}", in_words(&last.findings)),
            "run `lockstep verify`, which names each row; then see who may log in to PostgreSQL, and compare a backup",
        ),
        Outcome::Incomplete | Outcome::Interrupted => Finding::note(
            WHAT,
            format!("not complete at {at}: {}", in_words(&last.findings)),
            "run `lockstep verify` when the database has less to do",
        ),
        Outcome::Holds if now - last.ended_at > OLD => Finding::note(
            WHAT,
            format!("the last one is of {at}"),
            "is a worker running? `lockstep verify` makes one now",
        ),
        Outcome::Holds => Finding::well(WHAT, format!("every invariant held for {} rows at {at}", last.rows)),
    }
}

fn in_words(findings: &[Found]) -> String {
    let mut words: Vec<String> = (findings.iter().take(NAMED))
        .map(|finding| match &finding.error {
            Some(error) => format!("{}: not checked: {error}", finding.name),
            None => format!("{}: {} row(s)", finding.name, finding.violations),
        })
        .collect();
    if findings.len() > NAMED {
        words.push(format!("and {} more", findings.len() - NAMED));
    }
    words.join("; ")
}
