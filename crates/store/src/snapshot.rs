//! Snapshots: which transactions a value has seen.
//!
//! PostgreSQL returns its snapshot as text (`pg_current_snapshot()`, `xmin:xmax:xip`). A value that carries the
//! snapshot it was read in can later be compared with the id of a transaction that changed something: the value has
//! seen it, or is stale.

use std::fmt;
use std::str::FromStr;

/// The set of transactions that had finished when something was read (PostgreSQL's `pg_snapshot`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Every transaction below this id had finished.
    pub xmin: u64,
    /// No transaction from this id on had begun.
    pub xmax: u64,
    /// Transactions between `xmin` and `xmax` that were still running, ascending.
    pub running: Vec<u64>,
}

impl Snapshot {
    /// The snapshot that sees no transaction at all.
    pub const ORIGIN: Self = Self {
        xmin: 0,
        xmax: 0,
        running: Vec::new(),
    };

    /// Whether the effects of transaction `xid` are visible in this snapshot, if it committed.
    pub fn sees(&self, xid: u64) -> bool {
        xid < self.xmin || (xid < self.xmax && self.running.binary_search(&xid).is_err())
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (i, xid) in self.running.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{xid}")?;
        }
        Ok(())
    }
}

/// The text is not a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a snapshot")]
pub struct NotASnapshot;

impl FromStr for Snapshot {
    type Err = NotASnapshot;

    fn from_str(text: &str) -> Result<Self, NotASnapshot> {
        let number = |part: &str| part.parse::<u64>().map_err(|_| NotASnapshot);
        let mut parts = text.split(':');
        let (Some(xmin), Some(xmax), Some(xip), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(NotASnapshot);
        };
        let running = xip
            .split(',')
            .filter(|part| !part.is_empty())
            .map(number)
            .collect::<Result<Vec<_>, _>>()?;
        if !running.is_sorted() {
            return Err(NotASnapshot);
        }
        Ok(Self {
            xmin: number(xmin)?,
            xmax: number(xmax)?,
            running,
        })
    }
}

/// A value and the snapshot it was read in. The snapshot is never later than the value.
#[derive(Debug, Clone)]
pub struct Stamped<T> {
    /// The snapshot.
    pub stamp: Snapshot,
    /// The value.
    pub value: T,
}

impl<T> Stamped<T> {
    /// Applies the same stamp to a value derived only from this one.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Stamped<U> {
        Stamped {
            stamp: self.stamp,
            value: make(self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn running_transaction_is_not_seen() {
        let snapshot: Snapshot = "10:20:12,15".parse().unwrap();
        assert!(snapshot.sees(9) && snapshot.sees(10) && snapshot.sees(19));
        assert!(!snapshot.sees(12) && !snapshot.sees(15) && !snapshot.sees(20) && !snapshot.sees(u64::MAX));
        assert!(!Snapshot::ORIGIN.sees(0));
    }

    proptest! {
        #[test]
        fn text_form_round_trips(xmin in 0u64..1000, mut offsets in prop::collection::btree_set(0u64..100, 0..10)) {
            let running: Vec<u64> = std::mem::take(&mut offsets).into_iter().map(|o| xmin + o).collect();
            let xmax = running.last().map_or(xmin, |last| last + 1);
            let snapshot = Snapshot { xmin, xmax, running };
            prop_assert_eq!(snapshot.to_string().parse::<Snapshot>().unwrap(), snapshot);
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            let _unused = text.parse::<Snapshot>();
        }
    }
}
