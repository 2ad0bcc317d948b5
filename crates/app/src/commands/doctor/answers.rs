//! Supplier answers without a readable key: those that wait for a decision, and the games that are not bought because
//! of them.

use lockstep_store::fulfilment::unreadable;

use super::{Finding, NO_ANSWER};
use crate::database::Database;

/// Maximum number that is counted.
const MOST: u32 = 1000;

pub(super) async fn look(database: &Database, findings: &mut Vec<Finding>) {
    match unreadable::waiting(&database.store, MOST).await {
        Ok(answers) if answers.is_empty() => {}
        Ok(answers) => findings.push(Finding::note(
            "key answers",
            format!(
                "{} answer(s) of G2A contain no readable key and wait for a decision",
                answers.len()
            ),
            "`lockstep keys aside list`, then `show`, `accept` or `discard`",
        )),
        Err(error) => findings.push(Finding::wrong("key answers", error.to_string(), NO_ANSWER)),
    }
    match unreadable::game_stops(&database.store).await {
        Ok(stops) => {
            for stop in stops {
                let seen = format!(
                    "{} is not bought since {}, until {}: {}",
                    stop.game,
                    stop.since.format("%Y-%m-%d %H:%M UTC"),
                    stop.until.format("%Y-%m-%d %H:%M UTC"),
                    stop.reason
                );
                let product = stop.product.unwrap_or_default();
                let remedy = format!("when G2A has fixed it: `lockstep keys aside buy-again {product}`");
                findings.push(Finding::wrong("buying", seen, remedy));
            }
        }
        Err(error) => findings.push(Finding::wrong("buying", error.to_string(), NO_ANSWER)),
    }
}
