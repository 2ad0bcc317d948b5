//! Scheduled changes of games that no worker carries out.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_store::{Store, scheduled};

use super::{Finding, NO_ANSWER};

const WHAT: &str = "schedule";

/// How late a step may be: a worker looks every few seconds, and one may just be starting.
const LATE: TimeDelta = TimeDelta::minutes(5);

pub(super) async fn look(store: &Store, now: DateTime<Utc>) -> Finding {
    match scheduled::overdue(store, now - LATE).await {
        Err(error) => Finding::wrong(WHAT, error.to_string(), NO_ANSWER),
        Ok(None) => Finding::well(WHAT, "no scheduled change is overdue"),
        Ok(Some(overdue)) => Finding::wrong(
            WHAT,
            format!(
                "steps of scheduled changes that are overdue: {}, the oldest by {} minutes",
                overdue.steps,
                (now - overdue.oldest).num_minutes()
            ),
            "is `lockstep serve` or `worker` running? If so, its log says why a step is not carried out",
        ),
    }
}
