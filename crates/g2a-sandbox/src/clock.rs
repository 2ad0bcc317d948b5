//! The sandbox's clock: it runs like real time and can be advanced, so that a test of a 30-minute reservation does not
//! take 30 minutes.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// A clock that runs from a start time and can be advanced.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    start: DateTime<Utc>,
    since: Instant,
    offset: TimeDelta,
}

impl Clock {
    /// Creates a clock that shows `start` now.
    pub(crate) fn starting_at(start: DateTime<Utc>) -> Self {
        Self {
            start,
            since: Instant::now(),
            offset: TimeDelta::zero(),
        }
    }

    /// The current time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let elapsed = TimeDelta::from_std(self.since.elapsed()).unwrap_or(TimeDelta::zero());
        self.start
            .checked_add_signed(elapsed)
            .and_then(|moment| moment.checked_add_signed(self.offset))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Advances the clock by whole seconds.
    pub(crate) fn advance(&mut self, seconds: u64) {
        let step = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds);
        self.offset = step
            .and_then(|step| self.offset.checked_add(&step))
            .unwrap_or(self.offset);
    }

    /// Total advance of the clock, in seconds.
    pub(crate) fn offset_seconds(&self) -> i64 {
        self.offset.num_seconds()
    }
}
