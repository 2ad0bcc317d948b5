//! Time limit of an answer, measured in time during which this process ran.
//!
//! A process that was suspended (a frozen virtual machine, `SIGSTOP`, a sleeping laptop) wakes to expired deadlines and
//! an unread answer in its socket. Suspended time is not counted, so that the answer is read first: for a key it is the
//! only answer there will ever be.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Number of slices that a time limit is divided into.
const SLICES: u32 = 20;
/// A slice that took longer than twice its length plus this was interrupted by a suspension.
const LATE: Duration = Duration::from_millis(250);
/// Maximum number of uncounted slices, so that the wait also ends on a machine that is always late.
const MOST_UNCOUNTED: u32 = 200;
/// Minimum number of slices left after a suspension.
const AFTER_A_STOP: u32 = 2;

/// The remaining time for one answer.
pub(super) struct Patience {
    slice: Duration,
    left: u32,
    uncounted: u32,
    began: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Patience {
    /// Creates a limit of `limit` from now.
    pub(super) fn new(limit: Duration) -> Self {
        let slice = limit / SLICES;
        Self {
            slice,
            left: SLICES,
            uncounted: 0,
            began: Instant::now(),
            sleep: Box::pin(sleep(slice)),
        }
    }

    /// Returns when the time is over. Cancel-safe: a new call continues where the last one stopped.
    pub(super) async fn over(&mut self) {
        while self.left > 0 {
            self.sleep.as_mut().await;
            let now = Instant::now();
            let took = now.duration_since(self.began);
            if took > self.slice.saturating_mul(2) + LATE && self.uncounted < MOST_UNCOUNTED {
                self.uncounted += 1;
                self.left = self.left.max(AFTER_A_STOP);
            } else {
                self.left -= 1;
            }
            self.began = now;
            self.sleep.as_mut().reset(now + self.slice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_wait_ends_after_its_limit() {
        let (began, limit) = (Instant::now(), Duration::from_millis(200));
        Patience::new(limit).over().await;
        assert!(began.elapsed() >= limit);
    }

    #[tokio::test]
    async fn suspended_time_is_not_counted() {
        let mut patience = Patience::new(Duration::from_millis(200));
        // Blocks the test's thread for longer than the whole limit.
        let still = || std::thread::sleep(Duration::from_millis(600));
        let answer = async {
            tokio::task::yield_now().await;
            still();
            // Data in the socket takes another few polls to become readable.
            sleep(Duration::from_millis(5)).await;
        };
        tokio::pin!(answer);
        tokio::select! {
            biased;
            () = patience.over() => panic!("the answer was there"),
            () = &mut answer => {}
        }
        patience.over().await;
    }
}
