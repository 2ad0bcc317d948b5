//! Which faults went on when. Everything is judged against it: a refusal that has no fault is a breach.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::plan::{Fault, Lane};

/// A fault that went on, or goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    pub(crate) fault: Fault,
    /// The instance that it was about, for faults of one.
    pub(crate) instance: Option<usize>,
    pub(crate) from: Instant,
    /// When its cause was taken away.
    pub(crate) until: Option<Instant>,
    /// When the shop was as before.
    pub(crate) recovered: Option<Instant>,
}

/// All periods of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timeline(Arc<Mutex<Vec<Period>>>);

/// Names a period of a timeline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(usize);

impl Timeline {
    /// A fault begins.
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

    /// Its cause is gone.
    pub(crate) fn end(&self, mark: Mark) {
        if let Some(period) = self.lock().get_mut(mark.0) {
            period.until.get_or_insert_with(Instant::now);
        }
    }

    /// The shop is as before.
    pub(crate) fn recovered(&self, mark: Mark) {
        if let Some(period) = self.lock().get_mut(mark.0) {
            period.recovered.get_or_insert_with(Instant::now);
        }
    }

    /// What went on between two moments, or had ended less than `grace` before the first.
    pub(crate) fn between(&self, from: Instant, to: Instant, grace: Duration) -> Vec<Period> {
        self.lock()
            .iter()
            .filter(|period| period.from <= to && period.until.is_none_or(|until| until + grace >= from))
            .copied()
            .collect()
    }

    /// Whether a fault of this instance itself goes on, or went on since `since`.
    pub(crate) fn is_held_back(&self, instance: usize, since: Instant) -> bool {
        self.lock().iter().any(|period| {
            period.fault.lane() == Lane::Instance
                && period.instance == Some(instance)
                && period.until.is_none_or(|until| until > since)
        })
    }

    /// Everything.
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
    fn an_instance_is_held_back_by_its_own_faults_until_they_end() {
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
