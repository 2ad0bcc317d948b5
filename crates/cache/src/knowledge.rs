//! What this process knows of the invalidation log, and what follows from it for a copy.
//!
//! `look at the log → [this] → may this copy be served?`
//!
//! Invariants, on which the proof in `docs/consistency.md` stands:
//! - every invalidation that the last look could see and [`Facts::base`] could not is in the tag maps;
//! - what a look brought is in the maps before the look's time is published ([`Knowledge::known_at`]);
//! - the time of a look is taken before its statement is sent.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use lockstep_store::Snapshot;
use lockstep_store::invalidation::Look;

use crate::clock;
use crate::config::Mutant;
use crate::entry::{Entry, Proof, identity_hash, tag_hash};

/// Tags in one generation of the map, after which the older generation is forgotten: 64 thousand take some 5 MB.
const TAGS_A_GENERATION: usize = 64 * 1024;
/// Transactions remembered one by one for each tag.
const NEWEST: usize = 4;

/// Why a copy is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The log has not been seen for longer than the lease.
    Lease,
    /// A tag was invalidated by a transaction that the copy has not seen.
    Tag,
    /// The copy is older than what the tags remember.
    Horizon,
    /// The copy was read from another database, or it is not known which.
    Identity,
}

/// The transactions that made one tag untrue.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    /// The newest of them, descending; 0 where there are fewer.
    newest: [u64; NEWEST],
    /// The newest one that had to make room.
    floor: u64,
}

impl Marks {
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

    fn allow(&self, stamp: &Snapshot, mutant: Mutant) -> bool {
        (self.floor == 0 || stamp.xmin > self.floor)
            && self.newest.iter().all(|xid| *xid == 0 || sees(stamp, *xid, mutant))
    }
}

fn sees(stamp: &Snapshot, xid: u64, mutant: Mutant) -> bool {
    if mutant.forgets_running() {
        return xid < stamp.xmax;
    }
    stamp.sees(xid)
}

/// Whether everything that `earlier` sees is seen by `later` too.
pub(crate) fn covers(later: &Snapshot, earlier: &Snapshot) -> bool {
    later.xmax >= earlier.xmax && later.running.iter().all(|xid| !earlier.sees(*xid))
}

type Tags = HashMap<u64, Marks, foldhash::fast::RandomState>;

#[derive(Debug)]
struct Facts {
    /// Which database; 0 before the first look.
    identity: u64,
    /// The janitor's: the log has forgotten transactions below this number.
    floor: u64,
    /// A copy has to see everything that this snapshot sees, because the tags remember only what came later.
    base: Snapshot,
    /// Invalidations that `base` does not see and `young_base` does.
    old: Tags,
    /// Invalidations that `young_base` does not see.
    young: Tags,
    young_base: Snapshot,
}

/// What this process knows of the log.
#[derive(Debug)]
pub(crate) struct Knowledge {
    facts: RwLock<Facts>,
    /// Counts the changes of `facts`; changed only while they are locked for writing.
    generation: AtomicU64,
    /// When the last look that succeeded began ([`clock::now`]); 0 before the first.
    known_at: AtomicU64,
    lease: u64,
    mutant: Mutant,
}

impl Knowledge {
    pub(crate) fn new(lease: Duration, mutant: Mutant) -> Self {
        Self {
            facts: RwLock::new(Facts {
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
            mutant,
        }
    }

    /// When the last look began.
    pub(crate) fn known_at(&self) -> u64 {
        self.known_at.load(Ordering::Acquire)
    }

    /// Whether the log was seen lately enough at `now` to serve copies.
    pub(crate) fn lease_is_live(&self, now: u64) -> bool {
        let known_at = self.known_at();
        known_at != 0 && (now.saturating_sub(known_at) <= self.lease || self.mutant.has_no_lease())
    }

    /// The database that copies have to come from; 0 before the first look.
    pub(crate) fn identity(&self) -> u64 {
        self.read().identity
    }

    /// Whether `entry` may be served at `now`.
    ///
    /// The time of the last look is read first. It was published after what the look brought, so whatever is compared
    /// afterwards contains that.
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

    /// Whether nothing that is known speaks against a value; the generation of the knowledge that says so.
    pub(crate) fn check(&self, proof: &Proof) -> Result<u64, Refusal> {
        let facts = self.read();
        let generation = self.generation.load(Ordering::Relaxed);
        if self.mutant.believes_everything() {
            return Ok(generation);
        }
        if facts.identity == 0 || proof.identity != facts.identity {
            return Err(Refusal::Identity);
        }
        if proof.stamp.xmin < facts.floor || (!covers(&proof.stamp, &facts.base) && !self.mutant.forgets_running()) {
            return Err(Refusal::Horizon);
        }
        for generation in [&facts.young, &facts.old] {
            if generation.is_empty() {
                continue;
            }
            for tag in &proof.tags {
                if generation
                    .get(tag)
                    .is_some_and(|marks| !marks.allow(&proof.stamp, self.mutant))
                {
                    return Err(Refusal::Tag);
                }
            }
        }
        Ok(generation)
    }

    /// Takes in a look that began at `began` and asked for what had become visible since the look before it, or, with
    /// `anew`, for everything.
    pub(crate) fn learn(&self, look: &Look, began: u64, anew: bool) -> bool {
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
                        Slot::Vacant(slot) => slot.insert(Marks::default()).add(news.xid),
                    }
                }
            }
            if facts.young.len() > TAGS_A_GENERATION {
                facts.old = std::mem::take(&mut facts.young);
                facts.base = std::mem::replace(&mut facts.young_base, look.snapshot.clone());
            }
        } else {
            // Too much has happened to remember it tag by tag: only what has seen all of it is believed.
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

    fn read(&self) -> RwLockReadGuard<'_, Facts> {
        self.facts.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Facts> {
        self.facts.write().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn remembered(&self) -> usize {
        let facts = self.read();
        facts.old.len() + facts.young.len()
    }
}
