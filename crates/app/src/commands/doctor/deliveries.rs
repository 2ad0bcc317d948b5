//! Signed deliveries of the last week that had no effect.

use lockstep_store::{Store, deliveries};

use super::{Finding, NO_ANSWER};

pub(super) async fn look(store: &Store) -> Option<Finding> {
    match deliveries::of_the_week(store).await {
        Ok(counts) if counts.is_empty() => None,
        Ok(counts) => {
            let all: i64 = counts.iter().map(|(_, count)| count).sum();
            let reasons: Vec<String> = counts
                .iter()
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            Some(Finding::note(
                "deliveries",
                format!("{all} signed in the last week without effect: {}", reasons.join(", ")),
                "read them with `lockstep events list` and `lockstep events show ID`",
            ))
        }
        Err(error) => Some(Finding::wrong("deliveries", error.to_string(), NO_ANSWER)),
    }
}
