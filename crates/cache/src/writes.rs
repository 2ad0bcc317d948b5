//! Whether Redis accepts writes. A Redis that is full, a replica, or lacks the user's permission answers every read and
//! refuses every write. The start and the end of such a period are logged once each, and no values are sent in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock;
use crate::status::RedisWrites;

/// Time without a refusal after which writes are sent again.
const CALM: Duration = Duration::from_secs(1);
/// The same if the previous refusal ended a short time ago: a Redis at its memory limit accepts one write and refuses
/// the next, and each change must not be logged.
const CALM_AFTER_A_RELAPSE: Duration = Duration::from_mins(1);
/// Time without scripts after one was refused.
const SCRIPTS_AGAIN: Duration = Duration::from_mins(1);

/// What is known about writes.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    /// Mirror of `state.refused` for lock-free reads.
    refused: AtomicBool,
    /// Removals are refused; a user may lack the permission.
    drops_refused: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    refused: Option<(DateTime<Utc>, String)>,
    /// Since when every attempt was accepted ([`clock::now`]); 0: the last one was refused.
    taken_since: u64,
    /// When the last refusal ended; 0: never.
    ended: u64,
    calm: Duration,
    /// When scripts are tried again after a refusal ([`clock::now`]); 0: they are accepted.
    scripts_at: u64,
}

impl Writes {
    /// Whether writes may be sent.
    pub(crate) fn are_taken(&self) -> bool {
        !self.refused.load(Ordering::Acquire)
    }

    /// The state for operators.
    pub(crate) fn status(&self) -> RedisWrites {
        let state = self.state();
        match &state.refused {
            Some((since, reason)) => RedisWrites::Refused {
                since: *since,
                reason: reason.clone(),
            },
            None if state.scripts_at != 0 => RedisWrites::WithoutScripts,
            None => RedisWrites::Taken,
        }
    }

    /// Records a write that was refused at the time `at`.
    pub(crate) fn refuse(&self, reason: &str, at: DateTime<Utc>) {
        let mut state = self.state();
        state.taken_since = 0;
        if state.refused.is_some() {
            return;
        }
        let relapse = state.ended != 0 && clock::now() - state.ended < clock::nanos(CALM_AFTER_A_RELAPSE);
        state.calm = if relapse { CALM_AFTER_A_RELAPSE } else { CALM };
        state.refused = Some((at, reason.to_owned()));
        self.refused.store(true, Ordering::Release);
        tracing::warn!(
            "Redis refuses writes: {reason}; each process caches in memory only until it accepts them again"
        );
    }

    /// Records a write that was accepted at the time `at`; returns whether it ends a refusal.
    pub(crate) fn take(&self, at: DateTime<Utc>) -> bool {
        if self.are_taken() {
            return false;
        }
        let now = clock::now();
        let mut state = self.state();
        if state.taken_since == 0 {
            state.taken_since = now;
        }
        if now - state.taken_since < clock::nanos(state.calm) {
            return false;
        }
        let Some((since, _)) = state.refused.take() else {
            return false;
        };
        state.ended = now;
        self.refused.store(false, Ordering::Release);
        let seconds = (at - since).num_seconds();
        tracing::warn!(seconds, "Redis accepts writes again, after {seconds} s");
        true
    }

    /// Whether to try a script.
    pub(crate) fn scripts_are_tried(&self) -> bool {
        let at = self.state().scripts_at;
        at == 0 || clock::now() >= at
    }

    /// Records that a script was refused and the same write without a script was accepted.
    pub(crate) fn refuse_scripts(&self, reason: &str) {
        let again = clock::now() + clock::nanos(SCRIPTS_AGAIN);
        let first = std::mem::replace(&mut self.state().scripts_at, again) == 0;
        if first {
            tracing::warn!(
                "Redis refuses scripts: {reason}; values are written without (the user needs the rights of EVALSHA and SCRIPT LOAD)"
            );
        }
    }

    /// Records an accepted script.
    pub(crate) fn take_scripts(&self) {
        let refused = std::mem::take(&mut self.state().scripts_at) != 0;
        if refused {
            tracing::warn!("Redis accepts scripts again");
        }
    }

    /// Records a refused removal.
    pub(crate) fn refuse_drops(&self, reason: &str) {
        if !self.drops_refused.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                "Redis does not remove stale values: {reason}; readers refuse them (the user needs the rights of UNLINK, ZCARD, \
                 ZRANGE and ZREM)"
            );
        }
    }

    /// Records an accepted removal.
    pub(crate) fn take_drops(&self) {
        if self.drops_refused.swap(false, Ordering::AcqRel) {
            tracing::warn!("Redis removes stale values again");
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_ends_after_a_period_without_another() {
        let writes = Writes::default();
        assert!(writes.are_taken());
        writes.refuse("full", DateTime::UNIX_EPOCH);
        assert!(!writes.are_taken());
        assert!(!writes.take(DateTime::UNIX_EPOCH), "one write is no proof");
        writes.state().taken_since = clock::now().saturating_sub(clock::nanos(CALM));
        assert!(writes.take(DateTime::UNIX_EPOCH));
        assert!(writes.are_taken());
        assert_eq!(writes.status(), RedisWrites::Taken);
    }

    #[test]
    fn a_repeated_refusal_requires_a_longer_calm_period() {
        let writes = Writes::default();
        writes.state().ended = clock::now();
        writes.refuse("full", DateTime::UNIX_EPOCH);
        writes.state().taken_since = clock::now().saturating_sub(clock::nanos(CALM));
        assert!(!writes.take(DateTime::UNIX_EPOCH));
        assert!(!writes.are_taken());
    }
}
