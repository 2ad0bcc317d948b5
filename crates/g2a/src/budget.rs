//! The request budget: G2A allows 600 calls a minute and answers 429 beyond that; all processes share the allowance.
//!
//! A token bucket with integer arithmetic. Its capacity is small (a fortieth of the limit) and its refill rate is the
//! limit minus the capacity. The grants in any window of 60 s are at most the bucket's content plus the refill, so they
//! never exceed the limit. The catalogue may only use the level above a reserve, so an order never waits behind it.
//!
//! [`take`] is pure: [`LocalBudget`] runs it under a mutex for one process, and the shared budget runs it on a database
//! row. The caller passes the time and must always use the same clock for the same bucket.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Level units per call: a refill of `n` calls a minute is then exactly `n` units a millisecond.
pub const UNITS_PER_CALL: i64 = 60_000;

/// Maximum pause after a 429. If the supplier asks for more, it is called again after this time and may answer 429
/// again.
pub const MAX_PENALTY: Duration = Duration::from_mins(5);

/// Tolerated backward step of the clock, in milliseconds: a caller may have waited for another that read the clock
/// later. A larger step means that the clock was set back.
const CLOCK_WAS_SET_MS: i64 = 5_000;

/// The purpose of a call, as far as the budget distinguishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallClass {
    /// Product lists: many calls that can wait.
    Catalogue,
    /// Creating, paying, checking and fetching an order: few calls that a customer waits for.
    Order,
}

/// Why no call may be made now.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// The storage of the shared budget is unreachable.
    #[error("the shared request budget cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No call became available within [`Config::budget_timeout`](crate::Config::budget_timeout).
    #[error("no call became free in the request budget within {waited:?}")]
    TimedOut {
        /// Time that the call waited.
        waited: Duration,
    },
}

/// The return type of [`Budget`] methods: a boxed future, so that the trait works as `dyn Budget`.
pub type BudgetFuture<'a> = Pin<Box<dyn Future<Output = Result<(), BudgetError>> + Send + 'a>>;

/// Grants calls to G2A. All users of the same credentials share one budget.
pub trait Budget: Send + Sync {
    /// Waits until a call of this class may be made, and counts it. Dropping the future while it waits costs nothing.
    ///
    /// The client limits the wait.
    fn acquire(&self, class: CallClass) -> BudgetFuture<'_>;

    /// Blocks all calls for `wait` (at most [`MAX_PENALTY`]) after a 429. Of several penalties the latest end applies.
    fn penalise(&self, wait: Duration) -> BudgetFuture<'_>;
}

/// No limit: for measurements against a simulator, never against G2A.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unlimited;

impl Budget for Unlimited {
    fn acquire(&self, _class: CallClass) -> BudgetFuture<'_> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn penalise(&self, _wait: Duration) -> BudgetFuture<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The sizes of a bucket, derived from the configured limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    capacity: u32,
    reserve: u32,
    refill_per_minute: u32,
}

/// The limit is too small for a bucket: fewer than four calls a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request budget needs at least 4 calls a minute")]
pub struct LimitTooSmall;

impl Limits {
    /// Sizes for at most `limit` calls in any 60 s. For G2A's limit of 600: a burst of 15, 10 of them for orders, and
    /// 585 a minute.
    ///
    /// From a limit of 40 a minute the catalogue alone reaches at least 0.95 of it.
    ///
    /// # Errors
    /// Returns [`LimitTooSmall`] for a limit below 4.
    pub fn per_minute(limit: u32) -> Result<Self, LimitTooSmall> {
        if limit < 4 {
            return Err(LimitTooSmall);
        }
        let capacity = (limit / 40).max(2);
        Ok(Self {
            capacity,
            reserve: (capacity * 2 / 3).max(1),
            refill_per_minute: limit - capacity,
        })
    }

    /// The burst: calls that are available at once after an idle period.
    pub fn capacity(self) -> u32 {
        self.capacity
    }

    /// The part of the capacity that is reserved for orders.
    pub fn reserve(self) -> u32 {
        self.reserve
    }

    /// The steady rate in calls per minute.
    pub fn refill_per_minute(self) -> u32 {
        self.refill_per_minute
    }

    fn capacity_units(self) -> i64 {
        i64::from(self.capacity).saturating_mul(UNITS_PER_CALL)
    }
}

/// A bucket at some time. Three integers, so that it fits into a database row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketState {
    /// The content, in units of [`UNITS_PER_CALL`] per call.
    pub level: i64,
    /// The time of [`level`](Self::level), in milliseconds of the bucket's clock.
    pub updated_at_ms: i64,
    /// The end of a block of all calls, in milliseconds of the bucket's clock.
    pub blocked_until_ms: i64,
}

impl BucketState {
    /// Creates an empty bucket at `now_ms`: a process that restarts repeatedly must not earn a burst each time.
    pub fn empty(now_ms: i64) -> Self {
        Self {
            level: 0,
            updated_at_ms: now_ms,
            blocked_until_ms: now_ms,
        }
    }

    /// Returns the bucket with the refill until `now_ms` added.
    fn at(self, now_ms: i64, limits: Limits) -> Self {
        let elapsed = now_ms.saturating_sub(self.updated_at_ms);
        // A clock slightly behind another process's does not move the bucket back, or the difference would be credited
        // twice. A clock that was set back does, and a block then keeps its remaining duration.
        let (updated_at_ms, blocked_until_ms) = if elapsed < -CLOCK_WAS_SET_MS {
            let pause = self.blocked_until_ms.saturating_sub(self.updated_at_ms);
            (now_ms, now_ms.saturating_add(pause))
        } else {
            (self.updated_at_ms.max(now_ms), self.blocked_until_ms)
        };
        let refilled = elapsed.max(0).saturating_mul(i64::from(limits.refill_per_minute));
        Self {
            level: self.level.saturating_add(refilled).min(limits.capacity_units()),
            updated_at_ms,
            blocked_until_ms: blocked_until_ms.min(now_ms.saturating_add(millis(MAX_PENALTY))),
        }
    }
}

/// Takes one call from the bucket and returns the new state for storage.
///
/// A failed attempt needs no storage. Several waiters may get the same wait; each tries again.
///
/// # Errors
/// Returns the time to wait before the next attempt, at least one millisecond.
pub fn take(state: BucketState, now_ms: i64, class: CallClass, limits: Limits) -> Result<BucketState, Duration> {
    let state = state.at(now_ms, limits);
    if state.blocked_until_ms > now_ms {
        return Err(wait(state.blocked_until_ms.saturating_sub(now_ms)));
    }
    let kept_back = match class {
        CallClass::Catalogue => i64::from(limits.reserve).saturating_mul(UNITS_PER_CALL),
        CallClass::Order => 0,
    };
    let level = state.level.saturating_sub(UNITS_PER_CALL);
    if level >= kept_back {
        return Ok(BucketState { level, ..state });
    }
    let missing = kept_back.saturating_sub(level);
    let refill = i64::from(limits.refill_per_minute).max(1);
    let until_refilled = missing.saturating_add(refill - 1) / refill;
    Err(wait(
        until_refilled.saturating_add(state.updated_at_ms.saturating_sub(now_ms).max(0)),
    ))
}

/// Blocks all calls for `pause` after a 429, at most for [`MAX_PENALTY`].
#[must_use]
pub fn penalise(state: BucketState, now_ms: i64, pause: Duration) -> BucketState {
    let until = now_ms.saturating_add(millis(pause.min(MAX_PENALTY)));
    BucketState {
        blocked_until_ms: state.blocked_until_ms.max(until),
        ..state
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn wait(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0).max(1))
}

/// A budget for one process: for a program that is the only user of its credentials, and for tests.
#[derive(Debug)]
pub struct LocalBudget {
    limits: Limits,
    started: Instant,
    state: Mutex<BucketState>,
}

impl LocalBudget {
    /// Creates a budget that is empty now.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            started: Instant::now(),
            state: Mutex::new(BucketState::empty(0)),
        }
    }

    fn now_ms(&self) -> i64 {
        millis(self.started.elapsed())
    }

    fn try_take(&self, class: CallClass) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = take(*state, self.now_ms(), class, self.limits)?;
        Ok(())
    }
}

impl Budget for LocalBudget {
    fn acquire(&self, class: CallClass) -> BudgetFuture<'_> {
        Box::pin(async move {
            while let Err(wait) = self.try_take(class) {
                tokio::time::sleep(wait).await;
            }
            Ok(())
        })
    }

    fn penalise(&self, wait: Duration) -> BudgetFuture<'_> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            *state = penalise(*state, self.now_ms(), wait);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(per_minute: u32) -> Limits {
        Limits::per_minute(per_minute).unwrap()
    }

    /// Times at which a caller without pauses is granted calls within `for_ms`.
    fn greedy(limits: Limits, class: CallClass, mut state: BucketState, for_ms: i64) -> Vec<i64> {
        let (mut now, mut granted) = (state.updated_at_ms, Vec::new());
        let end = now + for_ms;
        while now < end {
            match take(state, now, class, limits) {
                Ok(next) => {
                    state = next;
                    granted.push(now);
                }
                Err(wait) => now += millis(wait),
            }
        }
        granted
    }

    fn most_in_a_minute(granted: &[i64]) -> usize {
        let mut first = 0;
        let mut most = 0;
        for (last, at) in granted.iter().enumerate() {
            while at - granted[first] > 60_000 {
                first += 1;
            }
            most = most.max(last - first + 1);
        }
        most
    }

    #[test]
    fn the_documented_limit_yields_the_documented_sizes() {
        let sizes = limits(600);
        assert_eq!(
            (sizes.capacity(), sizes.reserve(), sizes.refill_per_minute()),
            (15, 10, 585)
        );
        assert_eq!(Limits::per_minute(3), Err(LimitTooSmall));
    }

    #[test]
    fn a_new_bucket_grants_nothing_at_once() {
        assert!(take(BucketState::empty(5), 5, CallClass::Order, limits(600)).is_err());
    }

    #[test]
    fn orders_are_granted_while_the_catalogue_uses_its_maximum() {
        let sizes = limits(600);
        let mut state = BucketState::empty(0);
        let mut catalogue = 0;
        for now in 0..60_000 {
            while let Ok(next) = take(state, now, CallClass::Catalogue, sizes) {
                state = next;
                catalogue += 1;
            }
            if now >= 2_000 && now % 500 == 0 {
                state = take(state, now, CallClass::Order, sizes).expect("an order waits for nobody");
            }
        }
        assert!(catalogue > 400, "{catalogue}");
    }

    #[test]
    fn orders_may_use_the_whole_budget() {
        let full = BucketState {
            level: 15 * UNITS_PER_CALL,
            updated_at_ms: 0,
            blocked_until_ms: 0,
        };
        let mut state = full;
        for _ in 0..15 {
            state = take(state, 0, CallClass::Order, limits(600)).unwrap();
        }
        assert_eq!(state.level, 0);
        assert_eq!(
            take(state, 0, CallClass::Order, limits(600)),
            Err(Duration::from_millis(103))
        );
    }

    #[test]
    fn all_calls_are_blocked_until_the_pause_after_a_429_ends() {
        let sizes = limits(600);
        let state = penalise(BucketState::empty(0), 60_000, Duration::from_secs(7));
        let state = penalise(state, 60_001, Duration::from_secs(1));
        for class in [CallClass::Catalogue, CallClass::Order] {
            assert_eq!(take(state, 66_000, class, sizes), Err(Duration::from_secs(1)));
            assert!(take(state, 67_000, class, sizes).is_ok());
        }
    }

    #[test]
    fn a_pause_is_capped_at_five_minutes() {
        let state = penalise(BucketState::empty(0), 0, Duration::MAX);
        assert!(take(state, 300_000, CallClass::Order, limits(600)).is_ok());
        let stored_wrongly = BucketState {
            blocked_until_ms: i64::MAX,
            ..state
        };
        assert_eq!(take(stored_wrongly, 0, CallClass::Order, limits(600)), Err(MAX_PENALTY));
    }

    #[test]
    fn a_clock_set_back_an_hour_does_not_block_calls() {
        let state = BucketState {
            level: 0,
            updated_at_ms: 3_600_000,
            blocked_until_ms: 0,
        };
        assert_eq!(
            take(state, 0, CallClass::Order, limits(600)),
            Err(Duration::from_millis(103))
        );
        let refilling = state.at(0, limits(600));
        assert!(take(refilling, 103, CallClass::Order, limits(600)).is_ok());
    }

    #[test]
    fn slightly_different_clocks_earn_no_extra_calls() {
        let sizes = limits(600);
        let mut state = BucketState::empty(0);
        let mut granted = 0;
        for now in 0..60_000 {
            for clock in [now, now + 100] {
                if let Ok(next) = take(state, clock, CallClass::Order, sizes) {
                    state = next;
                    granted += 1;
                }
            }
        }
        assert!(granted <= 600, "{granted}");
    }

    #[tokio::test]
    async fn a_waiting_call_is_granted_after_a_refill() {
        let budget = LocalBudget::new(limits(60_000));
        for _ in 0..5 {
            budget.acquire(CallClass::Order).await.unwrap();
        }
        assert!(budget.started.elapsed() >= Duration::from_millis(5));
    }

    proptest! {
        #[test]
        fn no_minute_exceeds_the_limit(
            per_minute in 4u32..1_000,
            steps in prop::collection::vec((0i64..3_000, 0u8..30, any::<bool>()), 1..200),
        ) {
            let sizes = limits(per_minute);
            let mut state = BucketState { level: sizes.capacity_units(), updated_at_ms: 0, blocked_until_ms: 0 };
            let (mut now, mut granted) = (0, Vec::new());
            for (pause, tries, order) in steps {
                now += pause;
                for _ in 0..tries {
                    let class = if order { CallClass::Order } else { CallClass::Catalogue };
                    if let Ok(next) = take(state, now, class, sizes) {
                        state = next;
                        granted.push(now);
                    }
                }
            }
            prop_assert!(most_in_a_minute(&granted) <= usize::try_from(per_minute).unwrap());
        }

        /// For any sequence of clock steps, calls resume soon and each step earns at most one capacity.
        #[test]
        fn clock_steps_neither_block_calls_nor_multiply_them(
            per_minute in 40u32..1_000,
            mut steps in prop::collection::vec((1_000i64..40_000, -4_000_000i64..4_000_000), 1..6),
        ) {
            let sizes = limits(per_minute);
            let (mut state, mut real, mut set) = (BucketState::empty(1_000_000_000), 0_i64, 1_000_000_000_i64);
            let (mut granted, mut last) = (Vec::new(), 0_i64);
            steps.push((40_000, 0));
            let count = steps.len();
            // The possible cost of a tolerated step back, plus one call's refill per step.
            let longest = CLOCK_WAS_SET_MS + 1_600 * i64::try_from(count + 1).unwrap();
            for (pause, step) in steps {
                let end = real + pause;
                while real < end {
                    match take(state, real + set, CallClass::Order, sizes) {
                        Ok(next) => {
                            state = next;
                            prop_assert!(real - last <= longest, "nothing for {} ms", real - last);
                            last = real;
                            granted.push(real);
                        }
                        Err(wait) => {
                            // A caller that keeps a bucket by an adjustable clock does this too, as the shared budget
                            // does.
                            if state.updated_at_ms - (real + set) > CLOCK_WAS_SET_MS {
                                state = state.at(real + set, sizes);
                            }
                            real += millis(wait).min(end - real);
                        }
                    }
                }
                set += step;
            }
            let most = usize::try_from(per_minute + u32::try_from(count).unwrap() * sizes.capacity()).unwrap();
            prop_assert!(most_in_a_minute(&granted) <= most);
        }

        /// A pause requested by G2A keeps its duration when the clock is set back during it.
        #[test]
        fn a_pause_keeps_its_duration_across_clock_steps(pause in 1i64..300, step in 6_000i64..10_000_000) {
            let sizes = limits(600);
            let now = 1_000_000_000;
            let full = BucketState { level: sizes.capacity_units(), updated_at_ms: now, blocked_until_ms: now };
            let state = penalise(full, now, Duration::from_secs(u64::try_from(pause).unwrap()));
            let wait = take(state, now - step, CallClass::Order, sizes).unwrap_err();
            prop_assert_eq!(millis(wait), pause * 1_000);
        }

        #[test]
        fn maximum_use_stays_within_the_limit_and_the_catalogue_comes_close(per_minute in 40u32..2_000) {
            let sizes = limits(per_minute);
            let full = BucketState { level: sizes.capacity_units(), updated_at_ms: 0, blocked_until_ms: 0 };
            for class in [CallClass::Order, CallClass::Catalogue] {
                let granted = greedy(sizes, class, full, 180_000);
                prop_assert!(most_in_a_minute(&granted) <= usize::try_from(per_minute).unwrap());
            }
            let calls = greedy(sizes, CallClass::Catalogue, BucketState::empty(0), 600_000).len();
            prop_assert!(calls * 100 >= usize::try_from(per_minute).unwrap() * 10 * 95 - 100 * 10, "{calls}");
        }

        #[test]
        fn an_order_is_granted_at_once_beside_the_catalogue_alone(
            per_minute in 40u32..2_000, quiet in 4_000i64..20_000,
        ) {
            let sizes = limits(per_minute);
            let mut state = BucketState::empty(0);
            for now in 0..quiet {
                while let Ok(next) = take(state, now, CallClass::Catalogue, sizes) {
                    state = next;
                }
            }
            prop_assert!(take(state, quiet, CallClass::Order, sizes).is_ok());
        }

        #[test]
        fn arithmetic_handles_any_stored_state(
            level: i64, updated_at_ms: i64, blocked_until_ms: i64, now: i64, per_minute in 4u32.., order: bool,
        ) {
            let class = if order { CallClass::Order } else { CallClass::Catalogue };
            let state = BucketState { level, updated_at_ms, blocked_until_ms };
            match take(state, now, class, limits(per_minute)) {
                Ok(next) => prop_assert!(next.level >= 0 && next.level < limits(per_minute).capacity_units()),
                Err(wait) => prop_assert!(wait >= Duration::from_millis(1)),
            }
            let _unused = penalise(state, now, Duration::from_millis(updated_at_ms.unsigned_abs()));
        }
    }
}
