//! What goes wrong and when, drawn from the seed before anything starts: the same seed, the same schedule.
//!
//! Each part that can break has a lane, in which one fault at a time goes on; lanes run beside each other, so that
//! faults of different parts meet. A lane deals its faults like cards: each once, in an order of its own, before any
//! comes again. The plan knows no clock, no files and no processes.

use std::time::Duration;

use serde::Serialize;

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// An instance is killed (`kill -9`) and started again.
    InstanceKilled,
    /// An instance stands still (`SIGSTOP`) and goes on.
    InstancePaused,
    /// The same for longer than any lease lasts.
    InstancePausedPastLeases,
    /// An instance is told to end (`SIGTERM`), and started again.
    InstanceTerminated,
    /// Nobody reads what an instance logs.
    LogUnread,
    /// Redis is killed and started again, empty.
    RedisKilled,
    /// Redis accepts connections and answers nothing.
    RedisFrozen,
    /// Everything in Redis is deleted.
    RedisFlushed,
    /// PostgreSQL is stopped in good order and started again.
    DatabaseStopped,
    /// PostgreSQL is killed (`kill -9`); its keeper starts it again.
    DatabaseKilled,
    /// All connections to the database are ended by an administrator.
    ConnectionsCut,
    /// PostgreSQL and its backends stand still (`SIGSTOP`).
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
    /// Somebody holds the row of a game.
    GameRowLocked,
    /// Somebody holds the row of a user.
    UserRowLocked,
    /// G2A answers late.
    SupplierSlow,
    /// G2A answers 500.
    SupplierFailing,
    /// G2A closes the connection without having done anything.
    SupplierRefusing,
    /// G2A does what it is asked, and closes the connection without an answer.
    SupplierDropping,
    /// G2A's answers end in the middle.
    SupplierCutting,
    /// G2A's answers to the question for a key cannot be read.
    SupplierUnreadable,
    /// Keys are ready some seconds after the payment.
    KeysLate,
    /// The mail server takes seconds for an e-mail.
    MailSlow,
    /// The mail server refuses for now (`451`).
    MailRefusing,
    /// The mail server closes connections after it has read the e-mail.
    MailClosing,
}

/// What breaks. One fault at a time goes on in a lane.
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

    /// Shortest and longest time between the end of one fault and the beginning of the next, in milliseconds. What
    /// readiness is judged by needs calm between two faults.
    fn pause(self) -> (u64, u64) {
        match self {
            Self::Instance => (8_000, 20_000),
            Self::Database => (14_000, 25_000),
            Self::Redis | Self::Supplier | Self::Mail => (3_000, 12_000),
        }
    }
}

impl Fault {
    /// All kinds.
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

    /// Which part breaks.
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

    /// Shortest and longest time that it lasts, in milliseconds.
    fn lasts(self) -> (u64, u64) {
        match self {
            Self::RedisFlushed | Self::ConnectionsCut | Self::DatabaseKilled => (100, 100),
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
    /// When it begins, milliseconds after the buyers do.
    pub(crate) at_ms: u64,
    /// How long it lasts, milliseconds.
    pub(crate) lasts_ms: u64,
    /// What goes wrong.
    pub(crate) fault: Fault,
    /// For what the kind leaves open: which instance, which row, how slow.
    pub(crate) chance: u64,
}

impl Step {
    /// When it ends, milliseconds after the buyers begin.
    pub(crate) fn ends_ms(&self) -> u64 {
        self.at_ms + self.lasts_ms
    }

    /// How long it lasts.
    pub(crate) fn lasts(&self) -> Duration {
        Duration::from_millis(self.lasts_ms)
    }

    /// One of `count` things, by the step's own chance.
    pub(crate) fn pick(&self, count: usize) -> usize {
        usize::try_from(self.chance % u64::try_from(count.max(1)).unwrap_or(1)).unwrap_or(0)
    }
}

/// Buyers have so long before the first fault, milliseconds.
const WARM_UP: u64 = 4_000;
/// And so long after the last, milliseconds.
const COOL_DOWN: u64 = 10_000;

/// Every step of a run of `length`, by time of its beginning. Only `possible` faults are in it.
pub(crate) fn plan(seed: u64, length: Duration, possible: &[Fault]) -> Vec<Step> {
    let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let end = length.saturating_sub(COOL_DOWN);
    let mut steps = Vec::new();
    for (number, lane) in (1_u64..).zip(Lane::ALL) {
        // Each lane has dice of its own, so that what one machine cannot do changes nothing in the other lanes.
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
                // A deal after one with a card left out would give short faults more often than long ones.
                if left_out {
                    break;
                }
                deck.clone_from(&cards);
                dice.shuffle(&mut deck);
            }
            let Some(fault) = deck.pop() else { break };
            let (lasts_ms, chance) = (dice.between(fault.lasts()), dice.next());
            // What does not fit any more is left out; a shorter one may still.
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

/// Numbers that look random and are the same for the same seed, on every machine and with every version of a library.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice for one use of a seed.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut dice = Self(seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93));
        dice.next();
        dice
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From the first to the last, both included.
    pub(crate) fn between(&mut self, (least, most): (u64, u64)) -> u64 {
        least + self.next() % (most.saturating_sub(least) + 1)
    }

    /// One of these.
    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(all.len()).ok().filter(|count| *count > 0)?;
        all.get(usize::try_from(self.next() % count).ok()?)
    }

    /// True `percent` times in a hundred.
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
        fn the_same_seed_is_the_same_schedule(seed: u64, minutes in 1_u64..90, possible in some_faults()) {
            let length = Duration::from_mins(minutes);
            prop_assert_eq!(plan(seed, length, &possible), plan(seed, length, &possible));
        }

        #[test]
        fn steps_are_in_order_fit_into_the_run_and_are_possible(seed: u64, minutes in 0_u64..90, possible in some_faults()) {
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
        fn a_lane_has_one_fault_at_a_time_and_calm_in_between(seed: u64, minutes in 1_u64..90) {
            let steps = plan(seed, Duration::from_mins(minutes), &Fault::ALL);
            for lane in Lane::ALL {
                let own: Vec<_> = steps.iter().filter(|step| step.fault.lane() == lane).collect();
                for two in own.windows(2) {
                    prop_assert!(two[0].ends_ms() + lane.pause().0 <= two[1].at_ms, "{two:?}");
                }
            }
        }

        #[test]
        fn an_hour_has_every_kind_and_none_much_more_often_than_others_of_its_lane(seed: u64) {
            let steps = plan(seed, Duration::from_hours(1), &Fault::ALL);
            let kinds: BTreeSet<Fault> = steps.iter().map(|step| step.fault).collect();
            prop_assert_eq!(kinds.len(), Fault::ALL.len());
            for lane in Lane::ALL {
                let counts: Vec<usize> = Fault::ALL.into_iter().filter(|fault| fault.lane() == lane)
                    .map(|fault| steps.iter().filter(|step| step.fault == fault).count()).collect();
                // The last deal may be broken off, and its longest cards left out.
                prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{lane:?}: {counts:?}");
            }
        }

        #[test]
        fn what_a_machine_cannot_do_changes_nothing_in_other_lanes(seed: u64) {
            let length = Duration::from_mins(10);
            let without: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| fault.lane() != Lane::Database).collect();
            let all = plan(seed, length, &Fault::ALL);
            let rest: Vec<Step> = all.into_iter().filter(|step| step.fault.lane() != Lane::Database).collect();
            prop_assert_eq!(plan(seed, length, &without), rest);
        }
    }

    #[test]
    fn different_seeds_are_different_schedules() {
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
