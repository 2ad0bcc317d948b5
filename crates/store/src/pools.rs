//! How the connections of a process are divided, in one place.
//!
//! What must not wait has connections to itself: whoever waits for a locked row, or asks for something large, takes none from
//! readiness, from the look at the log that all copies depend on, or from buying.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::session::Session;
use crate::trust;

/// Readiness and the watch over the database.
const VITAL: u32 = 1;
/// The look at the log, the connection that is woken, and the one that wakes others.
pub const LOG: u32 = 3;
/// The relay's own look at the log.
pub const RELAY: u32 = 1;
/// Synchronisation with the supplier.
pub const SYNC: u32 = 2;
/// The smallest sensible number for a process.
pub const LEAST: u32 = 12;
/// What a process opens when nobody says otherwise. PostgreSQL takes 100 by default.
pub const USUAL: u32 = 24;

/// How many connections each kind of work may open at the most; nothing is opened before it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Readiness and the watch over the database.
    pub vital: u32,
    /// Buying, e-mail, payments and upkeep: what no shopper waits for.
    pub work: u32,
    /// Answers that are only read.
    pub reads: u32,
    /// What shoppers change.
    pub writes: u32,
}

impl Shares {
    /// A division of `total`, after what the log, the relay and synchronisation have to themselves.
    #[must_use]
    pub const fn of(total: u32) -> Self {
        let work = at_least(total / 6, 2);
        let rest = total.saturating_sub(VITAL + LOG + RELAY + SYNC + work);
        let reads = at_least(rest / 2, 1);
        Self {
            vital: VITAL,
            work,
            reads,
            writes: at_least(rest.saturating_sub(reads), 1),
        }
    }
}

const fn at_least(number: u32, least: u32) -> u32 {
    if number < least { least } else { number }
}

/// A pool of at most `connections`, none opened yet; each is told how to work when it is.
pub(crate) fn pool(
    connect: &PgConnectOptions,
    session: Session,
    connections: u32,
    acquire_timeout: Duration,
) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(acquire_timeout)
        // A dead connection shows in the first statement; asking before each costs a fifth of the throughput.
        .test_before_acquire(false)
        .after_connect(move |connection, _| Box::pin(session.tell(connection)))
        .before_acquire(|_, connection| Box::pin(std::future::ready(Ok(trust::holds(connection.age)))))
        .connect_lazy_with(connect.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_no_more_than_the_whole_and_nobody_goes_without() {
        for total in LEAST..=1_000 {
            let shares = Shares::of(total);
            let sum = shares.vital + LOG + RELAY + SYNC + shares.work + shares.reads + shares.writes;
            assert_eq!(sum, total);
            assert!(
                [shares.vital, shares.work, shares.reads, shares.writes]
                    .iter()
                    .all(|share| *share > 0)
            );
        }
        let usual = Shares::of(USUAL);
        assert_eq!((usual.work, usual.reads, usual.writes), (4, 6, 7));
    }
}
