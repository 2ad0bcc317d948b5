//! The arithmetic of rate limits, without a clock and without storage.
//!
//! A limit allows a burst of `burst` attempts and replenishes one per `every`. Its only state is one timestamp, the
//! *debt*: the time at which everything taken so far is replenished (the generic cell rate algorithm).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Highest number of attempts at once; zero refuses everything.
    pub burst: u32,
    /// Time in which one attempt is replenished.
    pub every: Duration,
}

/// The decision about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Allowed; store this debt.
    Allowed {
        /// When everything taken is replenished.
        debt: DateTime<Utc>,
    },
    /// Refused; the debt is unchanged.
    Refused {
        /// Time until an attempt is allowed, if no other is made before.
        retry_after: Duration,
    },
}

impl Rule {
    /// `burst` attempts at once, one replenished per `seconds`.
    pub const fn new(burst: u32, seconds: u64) -> Self {
        Self {
            burst,
            every: Duration::from_secs(seconds),
        }
    }

    /// The time in which the limit recovers completely; an attempt moves the debt at most this far ahead of now.
    fn window(self) -> TimeDelta {
        every(self)
            .checked_mul(i32::try_from(self.burst).unwrap_or(i32::MAX))
            .unwrap_or(MAX_WINDOW)
            .min(MAX_WINDOW)
    }

    /// Takes one attempt at `now` from a limit with this `debt` (`None`: never used).
    pub fn take(self, debt: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Verdict {
        let window = self.window();
        // A debt far beyond the window dates from before the clock was set back and is discarded. A small excess
        // (`SLIGHT_STEP`) is honoured, so that a jittering clock gives no client an advantage.
        let owed = debt.map_or(TimeDelta::zero(), |debt| debt - now).max(TimeDelta::zero());
        let owed = if owed > window + SLIGHT_STEP {
            TimeDelta::zero()
        } else {
            owed
        };
        let next = owed + every(self);
        if next > window {
            return Verdict::Refused {
                retry_after: (next - window).to_std().unwrap_or(self.every),
            };
        }
        Verdict::Allowed { debt: now + next }
    }

    /// The debt after an attempt is refunded (because it turned out to be legitimate).
    pub fn give_back(self, debt: DateTime<Utc>) -> DateTime<Utc> {
        debt - every(self)
    }
}

/// The largest clock step that counts as jitter.
const SLIGHT_STEP: TimeDelta = TimeDelta::seconds(5);

/// Longer than any rule in use; keeps all arithmetic far from overflow.
const MAX_WINDOW: TimeDelta = TimeDelta::days(366);

fn every(rule: Rule) -> TimeDelta {
    TimeDelta::from_std(rule.every).unwrap_or(MAX_WINDOW).min(MAX_WINDOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_000_000 + ms).unwrap()
    }

    #[test]
    fn burst_is_allowed_and_the_next_gets_a_retry_delay() {
        let rule = Rule::new(3, 10);
        let mut debt = None;
        for _ in 0..3 {
            let Verdict::Allowed { debt: next } = rule.take(debt, at(0)) else {
                panic!("refused within the burst")
            };
            debt = Some(next);
        }
        assert_eq!(
            rule.take(debt, at(0)),
            Verdict::Refused {
                retry_after: Duration::from_secs(10)
            }
        );
        assert_eq!(
            rule.take(debt, at(4_000)),
            Verdict::Refused {
                retry_after: Duration::from_secs(6)
            }
        );
        assert!(matches!(rule.take(debt, at(10_000)), Verdict::Allowed { .. }));
    }

    #[test]
    fn refunded_attempt_can_be_taken_again() {
        let rule = Rule::new(1, 60);
        let Verdict::Allowed { debt } = rule.take(None, at(0)) else {
            panic!("refused")
        };
        assert!(matches!(rule.take(Some(debt), at(0)), Verdict::Refused { .. }));
        assert!(matches!(
            rule.take(Some(rule.give_back(debt)), at(0)),
            Verdict::Allowed { .. }
        ));
    }

    #[test]
    fn limit_of_zero_refuses_everything() {
        assert!(matches!(Rule::new(0, 1).take(None, at(0)), Verdict::Refused { .. }));
    }

    proptest! {
        /// No interval admits more attempts than the burst plus those replenished during it.
        #[test]
        fn admits_at_most_burst_plus_replenished(
            burst in 1u32..8, every in 1u64..50, gaps in prop::collection::vec(0i64..60_000, 1..200),
        ) {
            let rule = Rule::new(burst, every);
            let (mut now, mut debt, mut passed) = (0i64, None, Vec::new());
            for gap in gaps {
                now += gap;
                if let Verdict::Allowed { debt: next } = rule.take(debt, at(now)) {
                    debt = Some(next);
                    passed.push(now);
                }
            }
            for (i, from) in passed.iter().enumerate() {
                for (j, to) in passed.iter().enumerate().skip(i) {
                    let back = (to - from) / (i64::try_from(every).unwrap() * 1000);
                    prop_assert!(i64::try_from(j - i).unwrap() < i64::from(burst) + back + 1);
                }
            }
        }

        /// A caller that waits for `retry_after` is admitted, and not a millisecond earlier.
        #[test]
        fn retry_after_is_sufficient_and_necessary(burst in 1u32..8, every in 1u64..100_000, debt in -1_000_000_000i64..1_000_000_000) {
            let rule = Rule::new(burst, every);
            if let Verdict::Refused { retry_after } = rule.take(Some(at(debt)), at(0)) {
                let later = at(0) + TimeDelta::from_std(retry_after).unwrap();
                let allowed = |now| matches!(rule.take(Some(at(debt)), now), Verdict::Allowed { .. });
                prop_assert!(allowed(later));
                prop_assert!(!allowed(later - TimeDelta::milliseconds(1)));
            }
        }

        /// However far the clock is set back, no caller waits until it has caught up.
        #[test]
        fn clock_set_back_does_not_extend_the_wait(burst in 1u32..8, every in 1u64..5_000, step in 0i64..1_000_000_000) {
            let rule = Rule::new(burst, every);
            let mut debt = None;
            for _ in 0..burst {
                let Verdict::Allowed { debt: next } = rule.take(debt, at(0)) else { panic!("refused within the burst") };
                debt = Some(next);
            }
            if let Verdict::Refused { retry_after } = rule.take(debt, at(-step)) {
                prop_assert!(retry_after <= Duration::from_secs(every + 5));
            }
        }

        #[test]
        fn no_rule_overflows(burst in any::<u32>(), every in any::<u64>(), debt in any::<i32>()) {
            let _verdict = Rule { burst, every: Duration::from_secs(every) }.take(Some(at(i64::from(debt))), at(0));
        }
    }
}
