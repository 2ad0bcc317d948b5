//! Circuit breaker for calls to G2A.
//!
//! After a number of consecutive failures every call fails at once, until a single probe is let through after a delay.
//! A refusal (4xx) is an answer and counts as success here. Pure: the caller passes the time and keeps the state under
//! a lock.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::BreakerConfig;

/// G2A's health as this process currently sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// State of the circuit breaker.
    pub state: BreakerState,
    /// Consecutive failures, while closed.
    pub failures: u32,
}

/// State of the circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls are sent.
    Closed,
    /// Calls fail at once.
    Open {
        /// Time until the next probe is let through; zero if it may be sent now.
        retry_after: Duration,
    },
    /// A probe is in flight; other calls fail at once.
    HalfOpen,
}

/// The result of a call for the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// G2A answered, including with a refusal.
    Answered,
    /// No connection, no complete answer, or 5xx.
    Failed,
    /// The caller cancelled the call; it says nothing about G2A.
    Abandoned,
}

/// A state change to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The breaker opened. Not repeated for each failed probe.
    Opened,
    /// The breaker closed.
    Closed,
}

/// Permission for one call. It belongs to the state that granted it, so late results of older calls change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    era: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen,
}

#[derive(Debug)]
pub(crate) struct Breaker {
    config: BreakerConfig,
    state: State,
    era: u64,
}

impl Breaker {
    pub(crate) fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: State::Closed { failures: 0 },
            era: 0,
        }
    }

    /// Returns the remaining time for which calls are refused, if any. Read-only, so it can be called before waiting
    /// for the budget.
    pub(crate) fn refuses(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { until } => Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero()),
            State::HalfOpen => Some(self.config.open_for),
        }
    }

    /// Admits a call.
    ///
    /// # Errors
    /// Returns the time until the next probe.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<Ticket, Duration> {
        if let Some(wait) = self.refuses(now) {
            return Err(wait);
        }
        if matches!(self.state, State::Open { .. }) {
            self.enter(State::HalfOpen);
        }
        Ok(Ticket { era: self.era })
    }

    /// Records the result of a call.
    pub(crate) fn finish(&mut self, ticket: Ticket, ending: Ending, now: Instant) -> Option<Change> {
        if ticket.era != self.era {
            return None;
        }
        match (self.state, ending) {
            (State::Closed { .. }, Ending::Answered) => {
                self.state = State::Closed { failures: 0 };
                None
            }
            (State::Closed { failures }, Ending::Failed) => {
                let failures = failures.saturating_add(1);
                if failures < self.config.failures {
                    self.state = State::Closed { failures };
                    return None;
                }
                self.enter(State::Open {
                    until: now + self.config.open_for,
                });
                Some(Change::Opened)
            }
            (State::HalfOpen, Ending::Answered) => {
                self.enter(State::Closed { failures: 0 });
                Some(Change::Closed)
            }
            (State::HalfOpen, Ending::Failed) => {
                self.enter(State::Open {
                    until: now + self.config.open_for,
                });
                None
            }
            (State::HalfOpen, Ending::Abandoned) => {
                self.enter(State::Open { until: now });
                None
            }
            (State::Closed { .. }, Ending::Abandoned) | (State::Open { .. }, _) => None,
        }
    }

    pub(crate) fn health(&self, now: Instant) -> Health {
        match self.state {
            State::Closed { failures } => Health {
                state: BreakerState::Closed,
                failures,
            },
            State::Open { until } => {
                let state = BreakerState::Open {
                    retry_after: until.saturating_duration_since(now),
                };
                Health {
                    state,
                    failures: self.config.failures,
                }
            }
            State::HalfOpen => Health {
                state: BreakerState::HalfOpen,
                failures: self.config.failures,
            },
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPEN_FOR: Duration = Duration::from_secs(10);

    fn breaker() -> (Breaker, Instant) {
        (
            Breaker::new(BreakerConfig {
                failures: 3,
                open_for: OPEN_FOR,
            }),
            Instant::now(),
        )
    }

    fn run(breaker: &mut Breaker, ending: Ending, now: Instant) -> Option<Change> {
        let ticket = breaker.admit(now).expect("let through");
        breaker.finish(ticket, ending, now)
    }

    fn opened() -> (Breaker, Instant) {
        let (mut breaker, now) = breaker();
        assert_eq!(run(&mut breaker, Ending::Failed, now), None);
        assert_eq!(run(&mut breaker, Ending::Failed, now), None);
        assert_eq!(run(&mut breaker, Ending::Failed, now), Some(Change::Opened));
        (breaker, now)
    }

    #[test]
    fn only_consecutive_failures_open_it() {
        let (mut breaker, now) = breaker();
        for _ in 0..10 {
            run(&mut breaker, Ending::Failed, now);
            run(&mut breaker, Ending::Failed, now);
            run(&mut breaker, Ending::Answered, now);
        }
        assert_eq!(
            breaker.health(now),
            Health {
                state: BreakerState::Closed,
                failures: 0
            }
        );
    }

    #[test]
    fn an_open_breaker_reports_the_time_until_the_next_probe() {
        let (mut breaker, now) = opened();
        assert_eq!(breaker.admit(now + Duration::from_secs(4)), Err(Duration::from_secs(6)));
        let health = breaker.health(now + Duration::from_secs(4));
        assert_eq!(
            health.state,
            BreakerState::Open {
                retry_after: Duration::from_secs(6)
            }
        );
    }

    #[test]
    fn a_half_open_breaker_admits_a_single_call() {
        let (mut breaker, now) = opened();
        let later = now + OPEN_FOR;
        let probe = breaker.admit(later).unwrap();
        assert_eq!(breaker.health(later).state, BreakerState::HalfOpen);
        assert!(breaker.admit(later).is_err());
        assert_eq!(breaker.finish(probe, Ending::Answered, later), Some(Change::Closed));
        assert!(breaker.admit(later).is_ok());
    }

    #[test]
    fn a_failed_probe_reopens_without_another_log_line() {
        let (mut breaker, now) = opened();
        let later = now + OPEN_FOR;
        assert_eq!(run(&mut breaker, Ending::Failed, later), None);
        assert_eq!(breaker.admit(later), Err(OPEN_FOR));
    }

    #[test]
    fn an_abandoned_probe_makes_room_for_the_next() {
        let (mut breaker, now) = opened();
        let later = now + OPEN_FOR;
        assert_eq!(run(&mut breaker, Ending::Abandoned, later), None);
        assert!(breaker.admit(later).is_ok());
    }

    #[test]
    fn late_results_from_before_opening_are_ignored() {
        let (mut breaker, now) = breaker();
        let slow = breaker.admit(now).unwrap();
        for _ in 0..3 {
            run(&mut breaker, Ending::Failed, now);
        }
        assert_eq!(breaker.finish(slow, Ending::Answered, now), None);
        assert!(breaker.admit(now).is_err());
    }

    proptest! {
        #[test]
        fn an_open_breaker_always_recovers_after_its_delay(
            steps in prop::collection::vec((0u64..4_000, 0u8..3), 0..100)
        ) {
            let (mut breaker, mut now) = breaker();
            for (pause, ending) in steps {
                now += Duration::from_millis(pause);
                if let Ok(ticket) = breaker.admit(now) {
                    let ending = [Ending::Answered, Ending::Failed, Ending::Abandoned][usize::from(ending)];
                    breaker.finish(ticket, ending, now);
                }
            }
            prop_assert!(breaker.admit(now + OPEN_FOR).is_ok());
        }
    }
}
