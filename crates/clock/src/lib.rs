//! Time and chance as arguments: the time of day ([`Clock`]) and the random source ([`Random`]) are created once, at the
//! top of a program, and passed to the code that decides by them.
//!
//! A test passes a [`ManualClock`] and moves it, so it sees the second before and after a token expires without waiting,
//! or a [`Random::seeded`] and sees the same draw each time. `clippy.toml` refuses the functions that read the time or
//! draw random numbers elsewhere.
//!
//! Durations are measured with `tokio::time::Instant`, which tests can pause. The time of decisions inside PostgreSQL is
//! the database's own. Values that nobody decides by (nonces, identifiers) are drawn where they are needed.

mod random;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use random::{Random, Rng};

/// The time of day in UTC. Cheap to clone; clones show the same time.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    /// Microseconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The clock of this machine.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// The current time. Monotonic only as far as the machine's clock is never set back; measure durations with
    /// `tokio::time::Instant`.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Source::System => Utc::now(),
            Source::Manual(micros) => {
                DateTime::from_timestamp_micros(micros.load(Ordering::SeqCst)).unwrap_or_default()
            }
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::System => f.write_str("Clock(system)"),
            Source::Manual(_) => write!(f, "Clock(manual, {})", self.now()),
        }
    }
}

/// A clock that stands still until it is moved, for tests. Clones, and every [`Clock`] that it gave out, show the same
/// time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that shows `at`, to the microsecond (the precision of PostgreSQL).
    pub fn at(at: DateTime<Utc>) -> Self {
        Self(Arc::new(AtomicI64::new(at.timestamp_micros())))
    }

    /// A clock that shows the machine's current time: for tests that also use the database's clock.
    pub fn at_present() -> Self {
        Self::at(Clock::system().now())
    }

    /// A clock to pass on.
    pub fn clock(&self) -> Clock {
        Clock(Source::Manual(Arc::clone(&self.0)))
    }

    /// The time that it shows.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock().now()
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, at: DateTime<Utc>) {
        self.0.store(at.timestamp_micros(), Ordering::SeqCst);
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_all_its_clocks_with_it() {
        let start = "2026-01-31T23:59:59.999999Z".parse().unwrap();
        let hand = ManualClock::at(start);
        let (one, two) = (hand.clock(), hand.clock().clone());
        assert_eq!((one.now(), two.now()), (start, start));
        hand.advance(Duration::from_micros(1));
        let midnight = "2026-02-01T00:00:00Z".parse().unwrap();
        assert_eq!((one.now(), two.now(), hand.now()), (midnight, midnight, midnight));
        hand.set(start);
        assert_eq!(two.now(), start);
        assert_eq!(format!("{one:?}"), "Clock(manual, 2026-01-31 23:59:59.999999 UTC)");
    }

    #[test]
    fn the_system_clock_shows_the_time_of_the_machine() {
        let before = std::fs::metadata("/proc/self/stat").and_then(|file| file.modified());
        let before = DateTime::<Utc>::from(before.unwrap());
        let difference = Clock::system().now() - before;
        assert!(difference.num_seconds().abs() < 60, "{difference}");
    }
}
