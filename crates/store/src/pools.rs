//! Divides the connections of a process.
//!
//! Work that must not wait has its own connections: callers that wait for a locked row, or request something large,
//! take none from readiness checks, from the reads of the invalidation log that all cached values depend on, or from
//! buying.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::hosts::Hosts;
use crate::session::Session;
use crate::trust;

/// Readiness checks and the monitoring of the database.
const VITAL: u32 = 1;
/// The reader of the log, the connection that receives wake-ups, and the one that sends them.
pub const LOG: u32 = 3;
/// The evictor's reader of the log.
pub const EVICTOR: u32 = 1;
/// Synchronisation with the supplier.
pub const SYNC: u32 = 2;
/// The smallest useful number for a process.
pub const LEAST: u32 = 12;
/// The default for a process. PostgreSQL accepts 100 by default.
pub const USUAL: u32 = 24;

/// Maximum number of connections of each kind of work; connections are opened on demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Readiness checks and the monitoring of the database.
    pub vital: u32,
    /// Background work: buying, e-mail, payments and maintenance.
    pub work: u32,
    /// Read-only requests.
    pub reads: u32,
    /// Writes by shoppers.
    pub writes: u32,
}

impl Shares {
    /// Divides `total`, after subtracting the connections of the log, the evictor and synchronisation.
    #[must_use]
    pub const fn of(total: u32) -> Self {
        let work = at_least(total / 6, 2);
        let rest = total.saturating_sub(VITAL + LOG + EVICTOR + SYNC + work);
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

/// A pool of at most `connections`, opened on demand; each gets its session settings when it is opened.
pub(crate) fn pool(hosts: &Hosts, session: Session, connections: u32, acquire_timeout: Duration) -> PgPool {
    let admission = hosts.admission();
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(acquire_timeout)
        // A dead connection is found by its first statement; a check before each use costs a fifth of the throughput.
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let admission = admission.clone();
            Box::pin(async move {
                admission.admit(connection).await?;
                session.tell(connection).await
            })
        })
        .before_acquire(|_, connection| Box::pin(std::future::ready(Ok(trust::holds(connection.age)))))
        .connect_lazy_with(hosts.primary())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_do_not_exceed_the_total_and_none_is_empty() {
        for total in LEAST..=1_000 {
            let shares = Shares::of(total);
            let sum = shares.vital + LOG + EVICTOR + SYNC + shares.work + shares.reads + shares.writes;
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
