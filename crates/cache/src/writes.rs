//! Whether Redis takes what is written to it. One that is full, a replica, or out of a user's rights answers every read
//! and refuses every write: that is told once when it begins and once when it ends, and meanwhile nothing is sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock;
use crate::status::RedisWrites;

/// Writes have to be taken for so long before they are sent again.
const CALM: Duration = Duration::from_secs(1);
/// The same when the last end was a short time ago: a Redis at the edge of its memory takes one write and refuses the
/// next, and should not be told of each time.
const CALM_AFTER_A_RELAPSE: Duration = Duration::from_mins(1);
/// How long scripts are left out after one was refused.
const SCRIPTS_AGAIN: Duration = Duration::from_mins(1);

/// What is known of writes.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    /// Repeats `state.refused`, for those who read answers.
    refused: AtomicBool,
    /// Keys cannot be removed, which a user may have no right to.
    drops_refused: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    refused: Option<(DateTime<Utc>, String)>,
    /// Since when every attempt was taken ([`clock::now`]); 0: the last one was refused.
    taken_since: u64,
    /// When a refusal last ended; 0: never.
    ended: u64,
    calm: Duration,
    /// Scripts are refused, and are tried again then ([`clock::now`]); 0: they are taken.
    scripts_at: u64,
}

impl Writes {
    /// Writes may be sent.
    pub(crate) fn are_taken(&self) -> bool {
        !self.refused.load(Ordering::Acquire)
    }

    /// For people.
    pub(crate) fn told(&self) -> RedisWrites {
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

    /// A write was refused.
    pub(crate) fn refuse(&self, reason: &str) {
        let mut state = self.state();
        state.taken_since = 0;
        if state.refused.is_some() {
            return;
        }
        let relapse = state.ended != 0 && clock::now() - state.ended < clock::nanos(CALM_AFTER_A_RELAPSE);
        state.calm = if relapse { CALM_AFTER_A_RELAPSE } else { CALM };
        state.refused = Some((Utc::now(), reason.to_owned()));
        self.refused.store(true, Ordering::Release);
        tracing::warn!(
            "Redis refuses writes: {reason}; each process keeps its answers to itself until it takes them again"
        );
    }

    /// A write was taken. Whether that ends a refusal.
    pub(crate) fn take(&self) -> bool {
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
        let seconds = (Utc::now() - since).num_seconds();
        tracing::warn!(seconds, "Redis takes writes again, after {seconds} s");
        true
    }

    /// Whether a script is worth sending.
    pub(crate) fn scripts_are_tried(&self) -> bool {
        let at = self.state().scripts_at;
        at == 0 || clock::now() >= at
    }

    /// A script was refused, and the same write without one was taken.
    pub(crate) fn refuse_scripts(&self, reason: &str) {
        let again = clock::now() + clock::nanos(SCRIPTS_AGAIN);
        let first = std::mem::replace(&mut self.state().scripts_at, again) == 0;
        if first {
            tracing::warn!(
                "Redis takes no scripts: {reason}; answers are written without (the user needs the rights of EVALSHA and SCRIPT LOAD)"
            );
        }
    }

    /// A script was taken.
    pub(crate) fn take_scripts(&self) {
        let refused = std::mem::take(&mut self.state().scripts_at) != 0;
        if refused {
            tracing::warn!("Redis takes scripts again");
        }
    }

    /// Removing keys was refused.
    pub(crate) fn refuse_drops(&self, reason: &str) {
        if !self.drops_refused.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                "Redis does not remove untrue answers: {reason}; readers refuse them (the user needs the rights of UNLINK, ZCARD, \
                 ZRANGE and ZREM)"
            );
        }
    }

    /// Keys were removed.
    pub(crate) fn take_drops(&self) {
        if self.drops_refused.swap(false, Ordering::AcqRel) {
            tracing::warn!("Redis removes untrue answers again");
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
    fn a_refusal_ends_only_after_a_time_without_another() {
        let writes = Writes::default();
        assert!(writes.are_taken());
        writes.refuse("full");
        assert!(!writes.are_taken());
        assert!(!writes.take(), "one write is no proof");
        writes.state().taken_since = clock::now().saturating_sub(clock::nanos(CALM));
        assert!(writes.take());
        assert!(writes.are_taken());
        assert_eq!(writes.told(), RedisWrites::Taken);
    }

    #[test]
    fn a_redis_at_the_edge_of_its_memory_has_to_be_calm_for_longer() {
        let writes = Writes::default();
        writes.state().ended = clock::now();
        writes.refuse("full");
        writes.state().taken_since = clock::now().saturating_sub(clock::nanos(CALM));
        assert!(!writes.take());
        assert!(!writes.are_taken());
    }
}
