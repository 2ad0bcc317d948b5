//! The number of concurrent page requests.
//!
//! One is ideal: a crash then costs one call. But sequential requests do not use G2A's whole allowance when G2A is
//! slow, so the number grows while pages arrive more slowly than allowed, and only as long as growth helps.

use std::time::Duration;

use tokio::time::Instant;

/// Pages between two adjustments.
const LOOK_EVERY: u32 = 8;

/// Controls the number of concurrent page requests.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Time per page at the allowed rate.
    aim: Duration,
    most: usize,
    window: usize,
    /// Time per page before the last growth; `None` if it has not grown since growth was found useless.
    before: Option<Duration>,
    settled: bool,
    since: Instant,
    pages: u32,
}

impl Pace {
    pub(crate) fn new(calls_per_minute: u32, first: usize, most: usize, now: Instant) -> Self {
        Self {
            aim: Duration::from_mins(1) / calls_per_minute.max(1),
            most: most.max(1),
            window: first.clamp(1, most.max(1)),
            before: None,
            settled: false,
            since: now,
            pages: 0,
        }
    }

    /// Maximum number of pages in flight.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// Records that `pages` more pages were written by `now`.
    pub(crate) fn written(&mut self, pages: u32, now: Instant) {
        self.pages += pages;
        if self.pages < LOOK_EVERY || self.settled {
            return;
        }
        let took = now.duration_since(self.since) / self.pages;
        (self.since, self.pages) = (now, 0);
        // The shared budget grants a fortieth less than the limit; more requests gain nothing this close to it.
        if took * 100 <= self.aim * 104 {
            self.before = None;
        } else if self.before.is_some_and(|before| took * 10 > before * 9) {
            // The last growth gained less than a tenth: something else is the bottleneck.
            self.window = (self.window / 2).max(1);
            self.settled = true;
        } else if self.window < self.most {
            self.before = Some(took);
            self.window = (self.window * 2).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The window after 20 adjustments with a server that takes `latency` per page and grants at most one page per
    /// `grant`.
    fn settles_at(latency: Duration, grant: Duration, calls_per_minute: u32) -> usize {
        let mut now = Instant::now();
        let mut pace = Pace::new(calls_per_minute, 1, 8, now);
        for _ in 0..20 {
            let window = u32::try_from(pace.window()).unwrap();
            now += (latency / window).max(grant) * LOOK_EVERY;
            pace.written(LOOK_EVERY, now);
        }
        pace.window()
    }

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_fast_supplier_gets_one_request_at_a_time() {
        assert_eq!(settles_at(MS(5), MS(100), 600), 1);
        assert_eq!(settles_at(MS(90), MS(103), 600), 1);
    }

    #[test]
    fn a_slow_supplier_gets_enough_requests_to_use_the_allowance() {
        assert_eq!(settles_at(MS(350), MS(100), 600), 4);
        assert_eq!(settles_at(MS(2_000), MS(100), 600), 8);
    }

    #[test]
    fn the_window_stops_growing_when_growth_does_not_help() {
        // Other users consume the allowance: pages arrive every 300 ms regardless of the window.
        assert_eq!(settles_at(MS(50), MS(300), 600), 1);
    }
}
