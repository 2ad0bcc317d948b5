//! How long an answer is waited for: measured in time in which this process ran.
//!
//! A process that was stopped (a frozen virtual machine, `SIGSTOP`, a suspended laptop) finds on waking that every
//! deadline is over, and the answer in its socket unread. What was stopped is not counted, so that the answer is read
//! first: for a key it is the only one that there will ever be.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// A wait is counted in so many slices.
const SLICES: u32 = 20;
/// A slice that took longer than itself by this and its own length was not slept through but stopped in.
const LATE: Duration = Duration::from_millis(250);
/// Slices that may go uncounted. A machine that never runs on time still comes to an end.
const MOST_UNCOUNTED: u32 = 200;
/// After a stop there is at least so much left, in slices.
const AFTER_A_STOP: u32 = 2;

/// What is left of the time for one answer.
pub(super) struct Patience {
    slice: Duration,
    left: u32,
    uncounted: u32,
    began: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Patience {
    /// Waits for `limit` from now on.
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

    /// Comes back when the time is over. May be dropped and called again; it goes on where it was.
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
    async fn it_lasts_as_long_as_it_was_told() {
        let (began, limit) = (Instant::now(), Duration::from_millis(200));
        Patience::new(limit).over().await;
        assert!(began.elapsed() >= limit);
    }

    #[tokio::test]
    async fn time_in_which_the_process_stood_still_is_not_counted() {
        let mut patience = Patience::new(Duration::from_millis(200));
        // The thread that drives this test stands still for longer than the whole limit.
        let still = || std::thread::sleep(Duration::from_millis(600));
        let answer = async {
            tokio::task::yield_now().await;
            still();
            // What lies in the socket takes another few turns to come up.
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
