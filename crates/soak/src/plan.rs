//! The fault schedule, generated from the seed before anything starts: the same seed gives the same schedule.
//!
//! Each component that can fail has a lane with at most one fault at a time; lanes run in parallel, so that faults of
//! different components coincide. A lane draws its faults from a shuffled deck: each occurs once before any is
//! repeated. The plan uses no clock, no files and no processes.

use std::time::Duration;

use serde::Serialize;

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// An instance is killed (`kill -9`) and restarted.
    InstanceKilled,
    /// An instance is suspended (`SIGSTOP`) and resumed.
    InstancePaused,
    /// The same for longer than any lease lasts.
    InstancePausedPastLeases,
    /// An instance is terminated (`SIGTERM`) and restarted.
    InstanceTerminated,
    /// The log output of an instance is not read.
    LogUnread,
    /// Redis is killed and restarted, empty.
    RedisKilled,
    /// Redis accepts connections and does not respond.
    RedisFrozen,
    /// All keys in Redis are deleted.
    RedisFlushed,
    /// PostgreSQL is stopped gracefully and restarted.
    DatabaseStopped,
    /// PostgreSQL is killed (`kill -9`); its supervisor restarts it.
    DatabaseKilled,
    /// PostgreSQL does not answer, for whatever reason. Observed, never planned: it crashes by itself under a stepped clock
    /// now and then, and recovers slowly on a busy disk.
    DatabaseAway,
    /// An administrator terminates all connections to the database.
    ConnectionsCut,
    /// PostgreSQL and its backends are suspended (`SIGSTOP`).
    DatabaseFrozen,
    /// `default_transaction_read_only` is on.
    DatabaseReadOnly,
    /// PostgreSQL's disk is full.
    DatabaseDiskFull,
    /// The data folder of an instance is on a full disk.
    DataFolderFull,
    /// The database's clock steps back, and later forward again.
    ClockBack,
    /// The database's clock steps forward, and later back again.
    ClockForward,
    /// Another transaction holds a lock on the row of a game.
    GameRowLocked,
    /// Another transaction holds a lock on the row of a user.
    UserRowLocked,
    /// G2A responds late.
    SupplierSlow,
    /// G2A responds with status 500.
    SupplierFailing,
    /// G2A closes the connection before processing the request.
    SupplierRefusing,
    /// G2A processes the request and closes the connection without a response.
    SupplierDropping,
    /// G2A's responses are truncated.
    SupplierCutting,
    /// G2A's responses to requests for a key are unreadable.
    SupplierUnreadable,
    /// Keys become available some seconds after the payment.
    KeysLate,
    /// The mail server takes seconds per e-mail.
    MailSlow,
    /// The mail server rejects temporarily (`451`).
    MailRefusing,
    /// The mail server closes the connection after reading the e-mail.
    MailClosing,
}

/// The component that fails. A lane has at most one fault at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lane {
    /// One of the shop's processes.
    Instance,
    /// PostgreSQL.
    Database,
    /// Redis.
    Redis,
    /// G2A.
    Supplier,
    /// The mail server.
    Mail,
}

impl Lane {
    /// All lanes.
    pub(crate) const ALL: [Self; 5] = [Self::Instance, Self::Database, Self::Redis, Self::Supplier, Self::Mail];

    /// Shortest and longest pause between two faults, in milliseconds. The readiness checks need calm between faults.
    fn pause(self) -> (u64, u64) {
        match self {
            Self::Instance => (8_000, 20_000),
            Self::Database => (14_000, 25_000),
            Self::Redis | Self::Supplier | Self::Mail => (3_000, 12_000),
        }
    }
}

impl Fault {
    /// All faults.
    pub(crate) const ALL: [Self; 29] = [
        Self::InstanceKilled,
        Self::InstancePaused,
        Self::InstancePausedPastLeases,
        Self::InstanceTerminated,
        Self::LogUnread,
        Self::RedisKilled,
        Self::RedisFrozen,
        Self::RedisFlushed,
        Self::DatabaseStopped,
        Self::DatabaseKilled,
        Self::ConnectionsCut,
        Self::DatabaseFrozen,
        Self::DatabaseReadOnly,
        Self::DatabaseDiskFull,
        Self::DataFolderFull,
        Self::ClockBack,
        Self::ClockForward,
        Self::GameRowLocked,
        Self::UserRowLocked,
        Self::SupplierSlow,
        Self::SupplierFailing,
        Self::SupplierRefusing,
        Self::SupplierDropping,
        Self::SupplierCutting,
        Self::SupplierUnreadable,
        Self::KeysLate,
        Self::MailSlow,
        Self::MailRefusing,
        Self::MailClosing,
    ];

    /// The component that fails.
    pub(crate) fn lane(self) -> Lane {
        match self {
            Self::InstanceKilled
            | Self::InstancePaused
            | Self::InstancePausedPastLeases
            | Self::InstanceTerminated
            | Self::LogUnread
            | Self::DataFolderFull => Lane::Instance,
            Self::RedisKilled | Self::RedisFrozen | Self::RedisFlushed => Lane::Redis,
            Self::DatabaseStopped
            | Self::DatabaseKilled
            | Self::DatabaseAway
            | Self::ConnectionsCut
            | Self::DatabaseFrozen
            | Self::DatabaseReadOnly
            | Self::DatabaseDiskFull
            | Self::ClockBack
            | Self::ClockForward
            | Self::GameRowLocked
            | Self::UserRowLocked => Lane::Database,
            Self::SupplierSlow
            | Self::SupplierFailing
            | Self::SupplierRefusing
            | Self::SupplierDropping
            | Self::SupplierCutting
            | Self::SupplierUnreadable
            | Self::KeysLate => Lane::Supplier,
            Self::MailSlow | Self::MailRefusing | Self::MailClosing => Lane::Mail,
        }
    }

    /// Shortest and longest duration, in milliseconds.
    fn lasts(self) -> (u64, u64) {
        match self {
            Self::RedisFlushed | Self::ConnectionsCut | Self::DatabaseKilled | Self::DatabaseAway => (100, 100),
            Self::InstanceKilled | Self::InstanceTerminated => (200, 3_000),
            Self::InstancePausedPastLeases => (306_000, 330_000),
            Self::InstancePaused => (2_000, 15_000),
            Self::DatabaseStopped | Self::DatabaseFrozen | Self::DatabaseReadOnly | Self::DatabaseDiskFull => {
                (6_000, 14_000)
            }
            Self::GameRowLocked | Self::UserRowLocked => (3_000, 12_000),
            Self::ClockBack | Self::ClockForward => (4_000, 10_000),
            Self::LogUnread | Self::DataFolderFull => (6_000, 15_000),
            _ => (4_000, 12_000),
        }
    }
}

/// One fault of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    /// Start, in milliseconds after the start of the buyers.
    pub(crate) at_ms: u64,
    /// Duration, in milliseconds.
    pub(crate) lasts_ms: u64,
    /// The fault.
    pub(crate) fault: Fault,
    /// A random number for what the fault leaves open: which instance, which row, how slow.
    pub(crate) chance: u64,
}

impl Step {
    /// End, in milliseconds after the start of the buyers.
    pub(crate) fn ends_ms(&self) -> u64 {
        self.at_ms + self.lasts_ms
    }

    /// Duration.
    pub(crate) fn lasts(&self) -> Duration {
        Duration::from_millis(self.lasts_ms)
    }

    /// An index below `count`, from the step's random number.
    pub(crate) fn pick(&self, count: usize) -> usize {
        usize::try_from(self.chance % u64::try_from(count.max(1)).unwrap_or(1)).unwrap_or(0)
    }
}

/// Time for the buyers before the first fault, in milliseconds.
const WARM_UP: u64 = 4_000;
/// Time after the last fault, in milliseconds.
const COOL_DOWN: u64 = 10_000;

/// All steps of a run of `length`, by start time. Contains only `possible` faults.
pub(crate) fn plan(seed: u64, length: Duration, possible: &[Fault]) -> Vec<Step> {
    let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let end = length.saturating_sub(COOL_DOWN);
    let mut steps = Vec::new();
    for (number, lane) in (1_u64..).zip(Lane::ALL) {
        // Each lane has its own generator, so that faults impossible on this machine do not affect the other lanes.
        let mut dice = Dice::new(seed, number);
        let cards: Vec<Fault> = Fault::ALL
            .into_iter()
            .filter(|fault| fault.lane() == lane && possible.contains(fault))
            .collect();
        let mut deck = Vec::new();
        let mut left_out = false;
        let mut at = WARM_UP + dice.between((0, 6_000));
        while at < end && !cards.is_empty() {
            if deck.is_empty() {
                // Drawing again after an omission would make short faults more frequent than long ones.
                if left_out {
                    break;
                }
                deck.clone_from(&cards);
                dice.shuffle(&mut deck);
            }
            let Some(fault) = deck.pop() else { break };
            let (lasts_ms, chance) = (dice.between(fault.lasts()), dice.next());
            // A fault that does not fit is omitted; a shorter one may still fit.
            let step = Step {
                at_ms: at,
                lasts_ms,
                fault,
                chance,
            };
            if step.ends_ms() <= end {
                steps.push(step);
                at = step.ends_ms() + dice.between(lane.pause());
            } else {
                left_out = true;
            }
        }
    }
    steps.sort_by_key(|step| (step.at_ms, step.fault));
    steps
}

/// A pseudo-random generator, reproducible on every machine and independent of library versions.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// A generator for one purpose of a seed.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut dice = Self(seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93));
        dice.next();
        dice
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number between `least` and `most`, both inclusive.
    pub(crate) fn between(&mut self, (least, most): (u64, u64)) -> u64 {
        least + self.next() % (most.saturating_sub(least) + 1)
    }

    /// A random element.
    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(all.len()).ok().filter(|count| *count > 0)?;
        all.get(usize::try_from(self.next() % count).ok()?)
    }

    /// True with a probability of `percent`.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            let most = u64::try_from(last).unwrap_or(0);
            all.swap(last, usize::try_from(self.between((0, most))).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn some_faults() -> impl Strategy<Value = Vec<Fault>> {
        proptest::sample::subsequence(Fault::ALL.to_vec(), 0..=Fault::ALL.len())
    }

    proptest! {
        #[test]
        fn same_seed_gives_the_same_schedule(seed: u64, minutes in 1_u64..90, possible in some_faults()) {
            let length = Duration::from_mins(minutes);
            prop_assert_eq!(plan(seed, length, &possible), plan(seed, length, &possible));
        }

        #[test]
        fn steps_are_ordered_possible_and_within_the_run(seed: u64, minutes in 0_u64..90, possible in some_faults()) {
            let length = Duration::from_mins(minutes);
            let steps = plan(seed, length, &possible);
            prop_assert!(steps.is_sorted_by_key(|step| step.at_ms));
            for step in &steps {
                prop_assert!(possible.contains(&step.fault));
                prop_assert!(step.at_ms >= WARM_UP && step.ends_ms() + COOL_DOWN <= minutes * 60_000, "{step:?}");
                let (least, most) = step.fault.lasts();
                prop_assert!((least..=most).contains(&step.lasts_ms), "{step:?}");
            }
        }

        #[test]
        fn faults_of_a_lane_are_separated_by_a_pause(seed: u64, minutes in 1_u64..90) {
            let steps = plan(seed, Duration::from_mins(minutes), &Fault::ALL);
            for lane in Lane::ALL {
                let own: Vec<_> = steps.iter().filter(|step| step.fault.lane() == lane).collect();
                for two in own.windows(2) {
                    prop_assert!(two[0].ends_ms() + lane.pause().0 <= two[1].at_ms, "{two:?}");
                }
            }
        }

        #[test]
        fn an_hour_has_every_fault_with_even_counts_per_lane(seed: u64) {
            let steps = plan(seed, Duration::from_hours(1), &Fault::ALL);
            let kinds: BTreeSet<Fault> = steps.iter().map(|step| step.fault).collect();
            prop_assert_eq!(kinds.len(), Fault::ALL.len());
            for lane in Lane::ALL {
                let counts: Vec<usize> = Fault::ALL.into_iter().filter(|fault| fault.lane() == lane)
                    .map(|fault| steps.iter().filter(|step| step.fault == fault).count()).collect();
                // The last round may be incomplete, without its longest faults.
                prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{lane:?}: {counts:?}");
            }
        }

        #[test]
        fn impossible_faults_do_not_affect_other_lanes(seed: u64) {
            let length = Duration::from_mins(10);
            let without: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| fault.lane() != Lane::Database).collect();
            let all = plan(seed, length, &Fault::ALL);
            let rest: Vec<Step> = all.into_iter().filter(|step| step.fault.lane() != Lane::Database).collect();
            prop_assert_eq!(plan(seed, length, &without), rest);
        }
    }

    #[test]
    fn different_seeds_give_different_schedules() {
        let plans: BTreeSet<String> = (0..50)
            .map(|seed| format!("{:?}", plan(seed, Duration::from_mins(2), &Fault::ALL)))
            .collect();
        assert_eq!(plans.len(), 50);
    }

    #[test]
    fn two_minutes_have_faults_in_every_lane() {
        for seed in 0..100 {
            let steps = plan(seed, Duration::from_mins(2), &Fault::ALL);
            for lane in Lane::ALL {
                assert!(
                    steps.iter().any(|step| step.fault.lane() == lane),
                    "seed {seed}: none in {lane:?}"
                );
            }
        }
    }

    #[test]
    fn every_kind_is_listed_once() {
        let kinds: BTreeSet<Fault> = Fault::ALL.into_iter().collect();
        assert_eq!(kinds.len(), Fault::ALL.len());
    }
}
