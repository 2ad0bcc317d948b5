//! The clock of leases. It is monotonic and, unlike the standard library's, keeps counting while the machine sleeps. A
//! lease that paused with the machine would let a laptop that wakes in the morning serve yesterday's prices.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since the machine started, including sleep; never 0.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    (seconds * 1_000_000_000 + nanos).max(1)
}

/// Converts a duration to nanoseconds, the unit of this clock.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
