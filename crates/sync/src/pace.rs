//! How many pages are asked for at once.
//!
//! One is best: a crash then costs one call. But one at a time does not use up the calls that G2A allows when G2A is
//! slow, so the number grows while the pages come slower than they may, and only as far as growing helps.

use std::time::{Duration, Instant};

/// Pages between two looks.
const LOOK_EVERY: u32 = 8;

/// Decides how many pages may be under way.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Time a page would take at the rate that is allowed.
    aim: Duration,
    most: usize,
    window: usize,
    /// Time a page took before the last growth; `None` when it has not grown since it was found useless.
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

    /// Pages that may be under way.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// So many pages were written by now.
    pub(crate) fn written(&mut self, pages: u32, now: Instant) {
        self.pages += pages;
        if self.pages < LOOK_EVERY || self.settled {
            return;
        }
        let took = now.duration_since(self.since) / self.pages;
        (self.since, self.pages) = (now, 0);
        // The shared budget grants a fortieth less than the limit; who is that near gains nothing by asking for more.
        if took * 100 <= self.aim * 104 {
            self.before = None;
        } else if self.before.is_some_and(|before| took * 10 > before * 9) {
            // The last growth brought less than a tenth: something else is the limit.
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

    /// The window after `looks` looks at a server that takes `latency` a page and grants no more than one in `grant`.
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
    fn a_quick_supplier_is_asked_for_one_page_at_a_time() {
        assert_eq!(settles_at(MS(5), MS(100), 600), 1);
        assert_eq!(settles_at(MS(90), MS(103), 600), 1);
    }

    #[test]
    fn a_slow_supplier_is_asked_for_as_many_as_use_up_the_allowance() {
        assert_eq!(settles_at(MS(350), MS(100), 600), 4);
        assert_eq!(settles_at(MS(2_000), MS(100), 600), 8);
    }

    #[test]
    fn asking_for_more_stops_when_it_does_not_help() {
        // Others use up the allowance: pages come every 300 ms however many are asked for.
        assert_eq!(settles_at(MS(50), MS(300), 600), 1);
    }
}
