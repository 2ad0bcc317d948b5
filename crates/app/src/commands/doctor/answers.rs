//! Supplier answers without a readable key: those that wait for a decision, and the games that are not bought because
//! of them.

use lockstep_store::fulfilment::unreadable;

use super::Finding;
use crate::database::Database;
use crate::words::say;

/// Maximum number that is counted.
const MOST: u32 = 1000;

pub(super) async fn look(database: &Database, findings: &mut Vec<Finding>) {
    match unreadable::waiting(&database.store, MOST).await {
        Ok(answers) if answers.is_empty() => {}
        Ok(answers) => findings.push(Finding::note(
            "key answers",
            say!("doctor.answers.waiting", answers.len()),
            "doctor.answers.waiting.do",
        )),
        Err(error) => findings.push(Finding::failed("key answers", error)),
    }
    match unreadable::game_stops(&database.store).await {
        Ok(stops) => {
            for stop in stops {
                let seen = say!(
                    "doctor.buying.game",
                    stop.game,
                    stop.since.format("%Y-%m-%d %H:%M UTC"),
                    stop.until.format("%Y-%m-%d %H:%M UTC"),
                    stop.reason
                );
                let product = stop.product.unwrap_or_default();
                let remedy = say!("doctor.buying.game.do", product);
                findings.push(Finding::wrong("buying", seen, remedy));
            }
        }
        Err(error) => findings.push(Finding::failed("buying", error)),
    }
}
