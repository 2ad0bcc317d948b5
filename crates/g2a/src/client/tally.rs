//! Counts requests for people; monitors have the metrics.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Number of durations that are kept.
const KEPT: usize = 100;

/// Counts of requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls {
    /// Requests that were sent.
    pub requests: u64,
    /// Those with a complete answer that reports success.
    pub succeeded: u64,
    /// The others: refused, broken off, or without an answer.
    pub failed: u64,
    /// Repetitions of a failed call.
    pub retried: u64,
    /// Durations of the latest hundred requests in milliseconds, oldest first.
    pub latency_ms: Vec<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    succeeded: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    latest: Mutex<VecDeque<u32>>,
}

impl Tally {
    /// Counts a request that was sent.
    pub(super) fn count(&self, success: bool, took: Duration) {
        let counter = if success { &self.succeeded } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() >= KEPT {
            latest.pop_front();
        }
        latest.push_back(u32::try_from(took.as_millis()).unwrap_or(u32::MAX));
    }

    /// Counts the decision to repeat a call.
    pub(super) fn repeat(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn calls(&self) -> Calls {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (succeeded, failed) = (
            self.succeeded.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        );
        Calls {
            requests: succeeded.saturating_add(failed),
            succeeded,
            failed,
            retried: self.retried.load(Ordering::Relaxed),
            latency_ms: latest.iter().copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_durations_are_kept() {
        let tally = Tally::default();
        for ms in 0..250 {
            tally.count(ms % 5 > 0, Duration::from_millis(ms));
        }
        tally.repeat();
        let calls = tally.calls();
        assert_eq!(
            (calls.requests, calls.succeeded, calls.failed, calls.retried),
            (250, 200, 50, 1)
        );
        assert_eq!(calls.latency_ms, (150..250).collect::<Vec<u32>>());
    }
}
