//! How often something may be tried: the arithmetic of rate limits, without a clock and without storage.
//!
//! A limit lets `burst` attempts through at once and gives one back every `every`. All that has to be remembered is one
//! moment, the *debt*: when everything taken so far will have been given back (the generic cell rate algorithm).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Attempts that may come at once; zero refuses everything.
    pub burst: u32,
    /// One attempt is given back in this time.
    pub every: Duration,
}

/// Whether an attempt may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes; remember this debt.
    Allowed {
        /// When everything taken will have been given back.
        debt: DateTime<Utc>,
    },
    /// Not now; the debt stays as it was.
    Refused {
        /// When an attempt will be let through, if nobody else takes it.
        retry_after: Duration,
    },
}

impl Rule {
    /// `burst` attempts at once, one back every `seconds`.
    pub const fn new(burst: u32, seconds: u64) -> Self {
        Self {
            burst,
            every: Duration::from_secs(seconds),
        }
    }

    /// The time in which a limit recovers completely; no attempt takes the debt further away than this.
    fn window(self) -> TimeDelta {
        every(self)
            .checked_mul(i32::try_from(self.burst).unwrap_or(i32::MAX))
            .unwrap_or(MAX_WINDOW)
            .min(MAX_WINDOW)
    }

    /// Takes one attempt at `now` from a limit with this `debt` (`None`: never used).
    pub fn take(self, debt: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Verdict {
        let window = self.window();
        // No attempt leads beyond the window: such a debt is of another time, before the clock was set back. A few seconds
        // of that are waited for, so that nobody gains by a clock that trembles.
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

    /// The debt after an attempt taken before is given back (it turned out to be a rightful one).
    pub fn give_back(self, debt: DateTime<Utc>) -> DateTime<Utc> {
        debt - every(self)
    }
}

/// A clock set back by more than this is noticed.
const SLIGHT_STEP: TimeDelta = TimeDelta::seconds(5);

/// No rule of ours is longer; keeps all arithmetic far from overflow.
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
    fn a_burst_passes_and_the_next_is_told_when_to_come_back() {
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
    fn an_attempt_given_back_can_be_taken_again() {
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
    fn a_limit_of_zero_lets_nothing_through() {
        assert!(matches!(Rule::new(0, 1).take(None, at(0)), Verdict::Refused { .. }));
    }

    proptest! {
        /// In any stretch of time no more passes than the burst and what was given back during it.
        #[test]
        fn never_more_than_burst_plus_what_came_back(
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

        /// Whoever waits as long as told is let through, and not a millisecond earlier.
        #[test]
        fn waiting_as_told_is_enough_and_needed(burst in 1u32..8, every in 1u64..100_000, debt in -1_000_000_000i64..1_000_000_000) {
            let rule = Rule::new(burst, every);
            if let Verdict::Refused { retry_after } = rule.take(Some(at(debt)), at(0)) {
                let later = at(0) + TimeDelta::from_std(retry_after).unwrap();
                let allowed = |now| matches!(rule.take(Some(at(debt)), now), Verdict::Allowed { .. });
                prop_assert!(allowed(later));
                prop_assert!(!allowed(later - TimeDelta::milliseconds(1)));
            }
        }

        /// Whatever the clock was set back by, nobody waits for it to come round again.
        #[test]
        fn a_clock_that_is_set_back_keeps_nobody_waiting(burst in 1u32..8, every in 1u64..5_000, step in 0i64..1_000_000_000) {
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
