//! Scheduled changes of games that no worker carries out.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_store::{Store, scheduled};

use super::Finding;
use crate::words::say;

const WHAT: &str = "schedule";

/// How late a step may be: a worker looks every few seconds, and one may just be starting.
const LATE: TimeDelta = TimeDelta::minutes(5);

pub(super) async fn look(store: &Store, now: DateTime<Utc>) -> Finding {
    match scheduled::overdue(store, now - LATE).await {
        Err(error) => Finding::failed(WHAT, error),
        Ok(None) => Finding::well(WHAT, "doctor.schedule.current"),
        Ok(Some(overdue)) => Finding::wrong(
            WHAT,
            say!(
                "doctor.schedule.late",
                overdue.steps,
                (now - overdue.oldest).num_minutes()
            ),
            "doctor.schedule.late.do",
        ),
    }
}
