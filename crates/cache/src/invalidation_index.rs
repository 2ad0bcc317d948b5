//! The index of the invalidation log in this process, and the decision whether a cached entry may be served.
//!
//! `poll the log → [this] → may this entry be served?`
//!
//! Invariants that the proof in `docs/consistency.md` relies on:
//! - every invalidation that is visible to the last poll and not to [`IndexState::base`] is in the tag maps;
//! - the results of a poll are in the maps before the poll's time is published ([`InvalidationIndex::known_at`]);
//! - the time of a poll is taken before its statement is sent.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use lockstep_store::Snapshot;
use lockstep_store::invalidation::LogDelta;

use crate::clock;
use crate::entry::{Entry, Proof, identity_hash, tag_hash};

/// Tags in one generation of the map; when it is full, the older generation is dropped. 64 Ki tags take about 5 MB.
const TAGS_A_GENERATION: usize = 64 * 1024;
/// Transactions stored individually for each tag.
const NEWEST: usize = 4;

/// Why an entry is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The last poll of the log is older than the lease.
    Lease,
    /// A transaction that the entry does not include invalidated one of its tags.
    Tag,
    /// The entry is older than the history of the tag maps.
    Horizon,
    /// The entry comes from another database or an unknown one.
    Identity,
}

/// The transactions that invalidated one tag.
#[derive(Debug, Clone, Copy, Default)]
struct TagInvalidations {
    /// The newest transactions, descending; unused slots are 0.
    newest: [u64; NEWEST],
    /// The newest transaction that was displaced from `newest`.
    floor: u64,
}

impl TagInvalidations {
    fn add(&mut self, xid: u64) {
        let Some(place) = self.newest.iter().position(|known| *known <= xid) else {
            self.floor = self.floor.max(xid);
            return;
        };
        if self.newest[place] == xid {
            return;
        }
        self.floor = self.floor.max(self.newest[NEWEST - 1]);
        self.newest.copy_within(place..NEWEST - 1, place + 1);
        self.newest[place] = xid;
    }

    fn allow(&self, stamp: &Snapshot) -> bool {
        (self.floor == 0 || stamp.xmin > self.floor) && self.newest.iter().all(|xid| *xid == 0 || stamp.sees(*xid))
    }
}

/// Whether `later` sees everything that `earlier` sees.
pub(crate) fn covers(later: &Snapshot, earlier: &Snapshot) -> bool {
    later.xmax >= earlier.xmax && later.running.iter().all(|xid| !earlier.sees(*xid))
}

type Tags = HashMap<u64, TagInvalidations, foldhash::fast::RandomState>;

#[derive(Debug)]
struct IndexState {
    /// Hash of the database's identity; 0 before the first poll.
    identity: u64,
    /// The log's pruning horizon: transactions below this number are no longer in the log.
    floor: u64,
    /// An entry must see everything that this snapshot sees, because the tag maps only cover later transactions.
    base: Snapshot,
    /// Invalidations that `young_base` sees and `base` does not.
    old: Tags,
    /// Invalidations that `young_base` does not see.
    young: Tags,
    young_base: Snapshot,
}

/// The index of the log, shared by all readers of this process.
#[derive(Debug)]
pub(crate) struct InvalidationIndex {
    facts: RwLock<IndexState>,
    /// Number of changes of `facts`; changes only while `facts` is locked for writing.
    generation: AtomicU64,
    /// Start of the last successful poll ([`clock::now`]); 0 before the first.
    known_at: AtomicU64,
    lease: u64,
    tags_a_generation: usize,
}

impl InvalidationIndex {
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            tags_a_generation: TAGS_A_GENERATION,
            facts: RwLock::new(IndexState {
                identity: 0,
                floor: 0,
                base: Snapshot::ORIGIN,
                old: Tags::default(),
                young: Tags::default(),
                young_base: Snapshot::ORIGIN,
            }),
            generation: AtomicU64::new(1),
            known_at: AtomicU64::new(0),
            lease: clock::nanos(lease),
        }
    }

    /// Start of the last successful poll ([`clock::now`]).
    pub(crate) fn known_at(&self) -> u64 {
        self.known_at.load(Ordering::Acquire)
    }

    /// Whether the last poll is recent enough at `now` to serve entries.
    pub(crate) fn lease_is_live(&self, now: u64) -> bool {
        let known_at = self.known_at();
        known_at != 0 && now.saturating_sub(known_at) <= self.lease
    }

    /// The identity hash that entries must have; 0 before the first poll.
    pub(crate) fn identity(&self) -> u64 {
        self.read().identity
    }

    /// Checks whether `entry` may be served at `now`.
    ///
    /// It reads the time of the last poll first. That time is published after the poll's results, so every later
    /// comparison includes them.
    pub(crate) fn prove(&self, entry: &Entry, now: u64) -> Result<(), Refusal> {
        if !self.lease_is_live(now) {
            return Err(Refusal::Lease);
        }
        if entry.checked.load(Ordering::Relaxed) == self.generation.load(Ordering::Acquire) {
            return Ok(());
        }
        let generation = self.check(&entry.proof)?;
        entry.checked.store(generation, Ordering::Relaxed);
        Ok(())
    }

    /// Checks a proof against the index. Returns the generation of the index that confirms it, or the reason for
    /// refusal.
    pub(crate) fn check(&self, proof: &Proof) -> Result<u64, Refusal> {
        let facts = self.read();
        let generation = self.generation.load(Ordering::Relaxed);
        if facts.identity == 0 || proof.identity != facts.identity {
            return Err(Refusal::Identity);
        }
        if proof.stamp.xmin < facts.floor || !covers(&proof.stamp, &facts.base) {
            return Err(Refusal::Horizon);
        }
        for generation in [&facts.young, &facts.old] {
            if generation.is_empty() {
                continue;
            }
            for tag in &proof.tags {
                if generation.get(tag).is_some_and(|marks| !marks.allow(&proof.stamp)) {
                    return Err(Refusal::Tag);
                }
            }
        }
        Ok(generation)
    }

    /// Adds the results of a poll that started at `began` and covers what became visible since the previous poll or,
    /// with `anew`, everything.
    pub(crate) fn learn(&self, look: &LogDelta, began: u64, anew: bool) -> bool {
        let mut facts = self.write();
        let changed = anew || !look.complete || !look.news.is_empty() || look.floor > facts.floor;
        if anew {
            facts.identity = identity_hash(&look.identity);
            facts.floor = 0;
            facts.base = Snapshot::ORIGIN;
            facts.young_base = Snapshot::ORIGIN;
            facts.old.clear();
            facts.young.clear();
        }
        facts.floor = facts.floor.max(look.floor);
        if look.complete {
            for news in &look.news {
                for tag in &news.tags {
                    match facts.young.entry(tag_hash(tag)) {
                        Slot::Occupied(mut slot) => slot.get_mut().add(news.xid),
                        Slot::Vacant(slot) => slot.insert(TagInvalidations::default()).add(news.xid),
                    }
                }
            }
            if facts.young.len() > self.tags_a_generation {
                facts.old = std::mem::take(&mut facts.young);
                facts.base = std::mem::replace(&mut facts.young_base, look.snapshot.clone());
            }
        } else {
            // Too many changes to index by tag: only values that see all of them stay valid.
            facts.old.clear();
            facts.young.clear();
            facts.base = look.snapshot.clone();
            facts.young_base = look.snapshot.clone();
        }
        if changed {
            self.generation.fetch_add(1, Ordering::Release);
        }
        drop(facts);
        self.known_at.fetch_max(began, Ordering::AcqRel);
        changed
    }

    fn read(&self) -> RwLockReadGuard<'_, IndexState> {
        self.facts.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, IndexState> {
        self.facts.write().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn indexed_tags(&self) -> usize {
        let facts = self.read();
        facts.old.len() + facts.young.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_store::invalidation::Invalidation;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;

    const DATABASE: &str = "one";
    const MOST_ROWS: usize = 6;

    /// A model of PostgreSQL for the protocol: transaction numbers are assigned in order, transactions end in any
    /// order, and a log row becomes visible with its transaction.
    #[derive(Default)]
    struct Database {
        next: u64,
        running: Vec<(u64, Vec<u8>)>,
        /// Committed and not pruned.
        log: Vec<(u64, Vec<u8>)>,
        /// All committed transactions, pruned or not: the reference.
        history: Vec<(u64, Vec<u8>)>,
        floor: u64,
    }

    impl Database {
        fn snapshot(&self) -> Snapshot {
            let mut running: Vec<u64> = self.running.iter().map(|(xid, _)| *xid).collect();
            running.sort_unstable();
            Snapshot {
                xmin: running.first().copied().unwrap_or(self.next),
                xmax: self.next,
                running,
            }
        }

        fn look(&self, last: &Snapshot) -> LogDelta {
            let news: Vec<Invalidation> = self
                .log
                .iter()
                .filter(|(xid, _)| *xid >= last.xmin && !last.sees(*xid))
                .map(|(xid, tags)| Invalidation {
                    xid: *xid,
                    tags: tags.iter().map(u8::to_string).collect(),
                })
                .collect();
            let complete = news.len() <= MOST_ROWS;
            LogDelta {
                snapshot: self.snapshot(),
                news: if complete { news } else { Vec::new() },
                complete,
                identity: DATABASE.into(),
                floor: self.floor,
                foreign: false,
            }
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Begin(Vec<u8>),
        Commit(prop::sample::Index),
        Abort(prop::sample::Index),
        Load(Vec<u8>),
        Poll,
        /// Removes log rows up to this one, whether polled or not.
        Prune(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        let tags = || prop::collection::vec(0_u8..5, 1..4);
        prop_oneof![
            4 => tags().prop_map(Step::Begin),
            4 => any::<prop::sample::Index>().prop_map(Step::Commit),
            1 => any::<prop::sample::Index>().prop_map(Step::Abort),
            4 => tags().prop_map(Step::Load),
            3 => Just(Step::Poll),
            1 => any::<prop::sample::Index>().prop_map(Step::Prune),
        ]
    }

    /// Runs a history and returns the entries that were accepted although they lack a known change. Entries carry what
    /// `stamped` makes of the snapshot in which they were read.
    fn wrongly_accepted(
        steps: Vec<Step>,
        tags_a_generation: usize,
        stamped: impl Fn(&Snapshot) -> Snapshot,
    ) -> Vec<String> {
        let mut index = InvalidationIndex::new(Duration::from_millis(250));
        index.tags_a_generation = tags_a_generation;
        let mut database = Database {
            next: 3,
            ..Database::default()
        };
        let mut last = Snapshot::ORIGIN;
        let mut anew = true;
        let mut copies: Vec<(Proof, Snapshot, Vec<u8>)> = Vec::new();
        let mut wrong = Vec::new();
        for step in steps {
            match step {
                Step::Begin(tags) => {
                    database.running.push((database.next, tags));
                    database.next += 1;
                }
                Step::Commit(which) if !database.running.is_empty() => {
                    let done = database.running.remove(which.index(database.running.len()));
                    database.log.push(done.clone());
                    database.history.push(done);
                }
                Step::Abort(which) if !database.running.is_empty() => {
                    database.running.remove(which.index(database.running.len()));
                }
                Step::Load(tags) => {
                    let seen = database.snapshot();
                    let proof = Proof {
                        stamp: stamped(&seen),
                        tags: tags.iter().map(|tag| tag_hash(&tag.to_string())).collect(),
                        identity: identity_hash(DATABASE),
                        repeatable: true,
                    };
                    copies.push((proof, seen, tags));
                }
                Step::Poll => {
                    let look = database.look(&last);
                    index.learn(&look, 1, anew);
                    (last, anew) = (look.snapshot, false);
                }
                Step::Prune(which) if !database.log.is_empty() => {
                    let gone: Vec<_> = database.log.drain(..=which.index(database.log.len())).collect();
                    let newest = gone.iter().map(|(xid, _)| xid + 1).max().unwrap_or(0);
                    database.floor = database.floor.max(newest);
                }
                Step::Commit(_) | Step::Abort(_) | Step::Prune(_) => {}
            }
            for (proof, seen, tags) in &copies {
                let misses = |(xid, changed): &&(u64, Vec<u8>)| {
                    last.sees(*xid) && !seen.sees(*xid) && changed.iter().any(|tag| tags.contains(tag))
                };
                if let (Ok(_), Some(missed)) = (index.check(proof), database.history.iter().find(misses)) {
                    wrong.push(format!("{proof:?} lacks {missed:?}, known since {last}"));
                }
            }
        }
        wrong
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn entries_that_lack_a_known_change_are_refused(
            steps in prop::collection::vec(step(), 1..120),
            tags_a_generation in prop_oneof![Just(1_usize), Just(2), Just(4), Just(1000)],
        ) {
            prop_assert_eq!(wrongly_accepted(steps, tags_a_generation, Snapshot::clone), Vec::<String>::new());
        }

        #[test]
        fn marks_refuse_stamps_that_lack_a_transaction(
            xids in prop::collection::vec(3_u64..60, 0..20),
            (xmin, mut offsets) in (3_u64..60, prop::collection::btree_set(0_u64..20, 0..5)),
        ) {
            let running: Vec<u64> = std::mem::take(&mut offsets).into_iter().map(|offset| xmin + offset).collect();
            let stamp = Snapshot { xmin, xmax: running.last().map_or(xmin, |last| last + 1), running };
            let mut marks = TagInvalidations::default();
            for xid in &xids {
                marks.add(*xid);
            }
            if marks.allow(&stamp) {
                prop_assert!(xids.iter().all(|xid| stamp.sees(*xid)));
            }
            // The converse holds while no transaction was displaced.
            let distinct: std::collections::BTreeSet<_> = xids.iter().collect();
            if distinct.len() <= NEWEST && xids.iter().all(|xid| stamp.sees(*xid)) {
                prop_assert!(marks.allow(&stamp));
            }
        }
    }

    #[test]
    fn the_model_detects_stamps_that_forget_running_transactions() {
        let forgetful = |seen: &Snapshot| Snapshot {
            xmin: seen.xmax,
            xmax: seen.xmax,
            running: Vec::new(),
        };
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let strategy = prop::collection::vec(step(), 60..120);
        let found = (0..500).any(|_| {
            let steps = strategy.new_tree(&mut runner).unwrap().current();
            !wrongly_accepted(steps, 1000, forgetful).is_empty()
        });
        assert!(found);
    }

    fn look(snapshot: &str, news: &[(u64, &[&str])]) -> LogDelta {
        LogDelta {
            snapshot: snapshot.parse().unwrap(),
            news: news
                .iter()
                .map(|(xid, tags)| Invalidation {
                    xid: *xid,
                    tags: tags.iter().map(ToString::to_string).collect(),
                })
                .collect(),
            complete: true,
            identity: DATABASE.into(),
            floor: 0,
            foreign: false,
        }
    }

    fn proof(stamp: &str, tag: &str) -> Proof {
        Proof {
            stamp: stamp.parse().unwrap(),
            tags: [tag_hash(tag)].into(),
            identity: identity_hash(DATABASE),
            repeatable: true,
        }
    }

    #[test]
    fn only_the_invalidated_tag_is_refused() {
        let index = InvalidationIndex::new(Duration::from_secs(1));
        assert_eq!(
            index.check(&proof("10:10:", "a")),
            Err(Refusal::Identity),
            "nothing is known yet"
        );
        index.learn(&look("12:12:", &[(11, &["a"])]), 1, true);
        assert_eq!(index.check(&proof("11:11:", "a")), Err(Refusal::Tag));
        assert_eq!(
            index.check(&proof("11:13:11", "a")),
            Err(Refusal::Tag),
            "it was still running"
        );
        assert!(index.check(&proof("12:12:", "a")).is_ok());
        assert!(index.check(&proof("10:10:", "b")).is_ok());
    }

    #[test]
    fn a_value_of_another_database_is_refused() {
        let index = InvalidationIndex::new(Duration::from_secs(1));
        index.learn(&look("12:12:", &[]), 1, true);
        let mut other = proof("12:12:", "a");
        other.identity = identity_hash("another");
        assert_eq!(index.check(&other), Err(Refusal::Identity));
    }

    #[test]
    fn entries_older_than_the_pruned_log_are_refused() {
        let index = InvalidationIndex::new(Duration::from_secs(1));
        let mut pruned = look("30:30:", &[]);
        pruned.floor = 20;
        index.learn(&pruned, 1, true);
        assert_eq!(index.check(&proof("19:19:", "a")), Err(Refusal::Horizon));
        assert!(index.check(&proof("20:20:", "a")).is_ok());
    }

    #[test]
    fn an_incomplete_poll_refuses_entries_that_lack_any_of_it() {
        let index = InvalidationIndex::new(Duration::from_secs(1));
        index.learn(&look("12:12:", &[]), 1, true);
        let mut flood = look("20:30:20", &[]);
        flood.complete = false;
        index.learn(&flood, 1, false);
        assert_eq!(index.check(&proof("20:25:20", "a")), Err(Refusal::Horizon));
        assert_eq!(index.check(&proof("20:30:20,25", "a")), Err(Refusal::Horizon));
        assert!(index.check(&proof("20:30:20", "a")).is_ok());
        assert!(index.check(&proof("31:31:", "a")).is_ok());
    }

    #[test]
    fn the_lease_expires_without_polls() {
        let index = InvalidationIndex::new(Duration::from_nanos(250));
        assert!(!index.lease_is_live(1), "nothing was seen yet");
        index.learn(&look("12:12:", &[]), 1_000, true);
        assert!(index.lease_is_live(1_000) && index.lease_is_live(1_250));
        assert!(!index.lease_is_live(1_251));
    }

    #[test]
    fn the_index_is_bounded() {
        let mut index = InvalidationIndex::new(Duration::from_secs(1));
        index.tags_a_generation = 100;
        for xid in 10..2_000_u64 {
            let tag = format!("t{xid}");
            index.learn(
                &look(&format!("{0}:{0}:", xid + 1), &[(xid, &[tag.as_str()])]),
                xid,
                xid == 10,
            );
        }
        assert!(index.indexed_tags() <= 202, "{}", index.indexed_tags());
        assert_eq!(index.check(&proof("15:15:", "t20")), Err(Refusal::Horizon));
        assert!(index.check(&proof("2000:2000:", "t20")).is_ok());
    }
}
