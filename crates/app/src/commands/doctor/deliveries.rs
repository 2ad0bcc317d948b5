//! Signed deliveries of the last week that had no effect.

use lockstep_store::{Store, deliveries};

use super::Finding;
use crate::words::say;

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
                say!("doctor.deliveries.idle", all, reasons.join(", ")),
                "doctor.deliveries.idle.do",
            ))
        }
        Err(error) => Some(Finding::failed("deliveries", error)),
    }
}
