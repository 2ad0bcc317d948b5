//! The periods in which faults were active. Every check refers to them: a refusal without a fault is a violation.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::plan::{Fault, Lane};

/// The period of a fault, past or current.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    pub(crate) fault: Fault,
    /// The affected instance, for faults of one instance.
    pub(crate) instance: Option<usize>,
    pub(crate) from: Instant,
    /// When its cause was removed.
    pub(crate) until: Option<Instant>,
    /// When the shop had recovered.
    pub(crate) recovered: Option<Instant>,
}

/// All periods of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timeline(Arc<Mutex<Vec<Period>>>);

/// Identifies a period of a timeline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(usize);

impl Timeline {
    /// Records the start of a fault.
    pub(crate) fn begin(&self, fault: Fault, instance: Option<usize>) -> Mark {
        let mut periods = self.lock();
        periods.push(Period {
            fault,
            instance,
            from: Instant::now(),
            until: None,
            recovered: None,
        });
        Mark(periods.len() - 1)
    }

    /// Records the removal of its cause.
    pub(crate) fn end(&self, mark: Mark) {
        if let Some(period) = self.lock().get_mut(mark.0) {
            period.until.get_or_insert_with(Instant::now);
        }
    }

    /// Records the recovery of the shop.
    pub(crate) fn recovered(&self, mark: Mark) {
        if let Some(period) = self.lock().get_mut(mark.0) {
            period.recovered.get_or_insert_with(Instant::now);
        }
    }

    /// The faults that were active between two times, or had ended less than `grace` before the first.
    pub(crate) fn between(&self, from: Instant, to: Instant, grace: Duration) -> Vec<Period> {
        self.lock()
            .iter()
            .filter(|period| period.from <= to && period.until.is_none_or(|until| until + grace >= from))
            .copied()
            .collect()
    }

    /// Whether a fault of this instance is active, or was at any time after `since`.
    pub(crate) fn is_held_back(&self, instance: usize, since: Instant) -> bool {
        self.lock().iter().any(|period| {
            period.fault.lane() == Lane::Instance
                && period.instance == Some(instance)
                && period.until.is_none_or(|until| until > since)
        })
    }

    /// All periods.
    pub(crate) fn all(&self) -> Vec<Period> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Period>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_is_held_back_until_its_own_faults_end() {
        let timeline = Timeline::default();
        let paused = timeline.begin(Fault::InstancePausedPastLeases, Some(1));
        timeline.begin(Fault::DatabaseStopped, None);
        let since = Instant::now();
        assert!(timeline.is_held_back(1, since) && !timeline.is_held_back(0, since));
        timeline.end(paused);
        assert!(timeline.is_held_back(1, since), "it went on then");
        assert!(!timeline.is_held_back(1, Instant::now()));
    }
}
