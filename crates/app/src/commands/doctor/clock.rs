//! Whether this machine's clock agrees with those of the database and of G2A.

use lockstep_clock::Clock;
use lockstep_store::Store;

use super::Finding;
use crate::clock::{self, Agreement};

/// Returns a finding if the clocks differ by a minute or more.
pub(super) async fn look_at_database(store: &Store, clock: &Clock) -> Option<Finding> {
    let ahead = store.clock_ahead(clock).await.ok()?;
    finding("doctor.clock.database", ahead)
}

/// The same for G2A's clock, as read from one of its answers.
pub(super) fn look_at_supplier(ahead: Option<chrono::TimeDelta>) -> Option<Finding> {
    finding("doctor.clock.g2a", ahead?)
}

fn finding(whose: &'static str, ahead: chrono::TimeDelta) -> Option<Finding> {
    let remedy = "doctor.clock.do";
    let seen = clock::in_words(whose, ahead);
    match clock::judge(ahead) {
        Agreement::Agrees => None,
        Agreement::Off => Some(Finding::note("clock", seen, remedy)),
        Agreement::Wrong => Some(Finding::wrong("clock", seen, remedy)),
    }
}
