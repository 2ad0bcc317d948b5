//! The purchase saga: each order unit becomes one order, one payment and one key at G2A, or it is refunded.
//!
//! `store.order_units → [this] ⇄ g2a → store.game_keys, transactions`
//!
//! For every call to G2A, the intent is committed before the call and the result after it. After a crash at any point
//! the next worker knows what may have happened (`docs/purchase.md`).
//!
//! - `rules` decides what follows from an outcome, and `reading` maps G2A's answers to those outcomes.
//! - `unit` runs one unit's steps, and `holding` renews its lease meanwhile.
//! - `fetch` reads the key, `spool` keeps it on disk until the database has it, and `gate` checks that the disk takes
//!   writes.
//! - This module claims units that are due and dispatches them.

pub mod aside;
mod fetch;
mod gate;
mod holding;
mod reading;
mod reconcile;
pub mod rules;
mod spool;
mod unit;

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockstep_clock::Random;
use lockstep_domain::Money;
use lockstep_domain::backoff::exponential;
use lockstep_domain::ids::{KeyId, UnitId};
use lockstep_domain::price::Pricing;
use lockstep_domain::secret::Secret;
use lockstep_failpoint::failpoint;
use lockstep_g2a::Client;
use lockstep_store::clock::{self, ClockWatch, Step};
use lockstep_store::fulfilment::unreadable::Patience;
use lockstep_store::fulfilment::{self as records, EmailSettings, Unit};
use lockstep_store::{Store, StoreError};
use lockstep_vault::Keys;
use rand::Rng as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use gate::Gate;

pub use gate::machine;
pub use reconcile::{Difference, Remedy, reconcile};
pub use spool::{Resealed, SealedFiles, Spool};

/// Interval between checks for waits that start in the future.
const CHECK_WAITS: Duration = Duration::from_mins(1);

/// Settings of the purchase saga. The defaults fit G2A.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most that a unit's cost may exceed the shop's price for it, in EUR (`G2A_ALLOWED_LOSS`).
    pub allowed_loss: Money,
    /// How a price is corrected from what G2A charges.
    pub pricing: Pricing,
    /// Maximum number of units that this process works on at once (`LOCKSTEP_WORKERS`).
    pub parallel: usize,
    /// Lifetime of a lease. A worker renews its leases every third of this.
    pub lease: Duration,
    /// How long work in progress, and a key, wait for an unavailable database. After that another worker may claim the
    /// unit, and the key stays in the spool.
    pub patience: Duration,
    /// Age at which a sent request can no longer arrive at G2A.
    pub request_lifetime: Duration,
    /// How long G2A reserves an unpaid order.
    pub reservation: Duration,
    /// How long a lost key may still turn up in the spool of a stopped worker.
    pub lost_grace: Duration,
    /// How long a unit waits for staff to decide about an answer without a readable key before it is compensated
    /// (`LOCKSTEP_UNREADABLE_MINUTES`).
    pub unreadable_grace: Duration,
    /// When answers without a readable key stop purchases of their game.
    pub unreadable: Patience,
    /// Maximum number of lost keys per unit that are bought again.
    pub replacements: u32,
    /// Maximum number of attempts for a product that G2A refuses or charges too much for.
    pub refused_tries: u32,
    /// Maximum number of attempts for an order while G2A fails.
    pub unsure_tries: u32,
    /// Shortest and longest wait between attempts.
    pub backoff: (Duration, Duration),
    /// Interval between purchase attempts while purchases are stopped for lack of funds or access.
    pub alarm_retry: Duration,
    /// How long after its release the shop waits for a preorder (`LOCKSTEP_PREORDER_DAYS`).
    pub preorder_patience: Duration,
    /// Interval at which the worker looks for due units when nothing wakes it.
    pub poll: Duration,
    /// Shortest interval between trial writes to the spool while there are units to buy.
    pub probe_every: Duration,
    /// E-mails contain the keys, not only a link.
    pub keys_in_emails: bool,
    /// The source of random waits. The system's by default.
    pub random: Random,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allowed_loss: Money::ZERO,
            pricing: Pricing::default(),
            parallel: 8,
            lease: Duration::from_mins(1),
            patience: Duration::from_mins(5),
            request_lifetime: Duration::from_mins(1),
            reservation: Duration::from_mins(30),
            lost_grace: Duration::from_mins(1),
            unreadable_grace: Duration::from_hours(1),
            unreadable: Patience {
                orders: 3,
                within: Duration::from_hours(24),
                stop: Duration::from_hours(24),
            },
            replacements: 1,
            refused_tries: 3,
            unsure_tries: 300,
            backoff: (Duration::from_secs(2), Duration::from_mins(5)),
            alarm_retry: Duration::from_mins(5),
            preorder_patience: Duration::from_hours(24 * 7),
            poll: Duration::from_secs(1),
            probe_every: Duration::from_secs(1),
            keys_in_emails: false,
            random: Random::system(),
        }
    }
}

/// Buys the units of placed orders. Cheap to clone.
#[derive(Clone)]
pub struct Fulfilment(Arc<Inner>);

struct Inner {
    store: Store,
    client: Client,
    keys: Keys,
    spool: Spool,
    gate: tokio::sync::Mutex<Gate>,
    machine: String,
    dead: Vec<uuid::Uuid>,
    emails: EmailSettings,
    settings: Settings,
    /// Units that this process works on, regardless of their leases.
    in_hand: Mutex<HashSet<UnitId>>,
    /// How many of these are finished here and wait for the database to accept their release.
    handing_back: AtomicUsize,
    /// Number of keys being read.
    reading: AtomicUsize,
    /// Signals that the record of an answer failed and the spool still has it. Its unit finds it there, unless another
    /// worker takes the unit first.
    unrecorded: Notify,
    clock: ClockWatch,
    /// Triggers a renewal of all leases.
    renew: Notify,
}

/// Counts one in the counter until it is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one(of: &'a AtomicUsize) -> Self {
        of.fetch_add(1, Ordering::Relaxed);
        Self(of)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Work in progress at G2A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InFlight {
    /// Units in progress.
    pub units: usize,
    /// Keys being read.
    pub keys: usize,
}

impl std::fmt::Debug for Fulfilment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fulfilment")
            .field("spool", &self.0.spool)
            .finish_non_exhaustive()
    }
}

/// What e-mails may contain under these settings.
pub fn email_settings(keys: &Keys, keys_in_emails: bool) -> EmailSettings {
    let keys = keys.clone();
    let open = move |id: KeyId, sealed: &[u8]| {
        let plain = keys.open(&records::keys::place(id), sealed).ok()?;
        String::from_utf8(plain).ok().map(Secret::new)
    };
    EmailSettings {
        with_keys: keys_in_emails.then(|| Arc::new(open) as records::KeyText),
    }
}

impl Fulfilment {
    /// Opens the spool in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(store: Store, client: Client, keys: Keys, folder: &Path, settings: Settings) -> io::Result<Self> {
        let (spool, dead) = Spool::open(folder, keys.clone())?;
        Ok(Self(Arc::new(Inner {
            emails: email_settings(&keys, settings.keys_in_emails),
            store,
            client,
            keys,
            spool,
            gate: tokio::sync::Mutex::default(),
            machine: machine(),
            dead,
            settings,
            in_hand: Mutex::default(),
            handing_back: AtomicUsize::new(0),
            reading: AtomicUsize::new(0),
            unrecorded: Notify::new(),
            clock: ClockWatch::default(),
            renew: Notify::new(),
        })))
    }

    /// Returns the work in progress.
    pub fn under_way(&self) -> InFlight {
        InFlight {
            units: self.in_hand().len(),
            keys: self.0.reading.load(Ordering::Relaxed),
        }
    }

    fn in_hand(&self) -> MutexGuard<'_, HashSet<UnitId>> {
        self.0.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Buys units until `stop` is cancelled, then drains the units in progress to their next safe state.
    pub async fn run(&self, stop: CancellationToken) {
        if stop.run_until_cancelled(self.recover()).await.is_none() {
            return;
        }
        let replaying = tokio::spawn({
            let (this, stop) = (self.clone(), stop.clone());
            async move { stop.run_until_cancelled(this.replay_unrecorded()).await }
        });
        let mut commits = self.0.store.commits();
        let mut tasks: JoinSet<()> = JoinSet::new();
        let mut is_reported = false;
        let mut next_check = Instant::now();
        while !stop.is_cancelled() {
            let dispatched = match self.check_clock(&mut next_check).await {
                Ok(()) => self.dispatch(&mut tasks, &stop).await,
                Err(error) => Err(error),
            };
            let wait = match dispatched {
                Ok(wait) => {
                    is_reported = false;
                    wait
                }
                Err(error) => {
                    if !is_reported {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "buying waits for the database"
                        );
                        is_reported = true;
                    }
                    self.0.settings.poll
                }
            };
            let idle = async {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    // A commit may have placed an order. The short wait batches commits that arrive together.
                    _ = commits.changed() => tokio::time::sleep(Duration::from_millis(10)).await,
                    Some(_) = tasks.join_next() => {}
                }
            };
            if stop.run_until_cancelled(idle).await.is_none() {
                break;
            }
        }
        while tasks.join_next().await.is_some() {}
        if let Err(failure) = replaying.await {
            tracing::error!(%failure, "the task that records answers of the spool failed");
        }
    }

    /// Takes over what dead processes left: their keys first, then their units.
    ///
    /// Retries until it succeeds.
    pub async fn recover(&self) {
        loop {
            match self.try_recover().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "recovery waits for the database"
                    );
                    tokio::time::sleep(self.0.settings.poll).await;
                }
            }
        }
    }

    async fn try_recover(&self) -> Result<(), StoreError> {
        failpoint!("recover.spool.before");
        self.replay(None).await?;
        self.take_up_aside().await?;
        failpoint!("recover.spool.after");
        self.release(&self.0.dead).await
    }

    /// Records the answers whose record failed before. One task of its own does this, so that locked rows take no place
    /// from units.
    async fn replay_unrecorded(&self) {
        loop {
            self.0.unrecorded.notified().await;
            while let Err(error) = self.replay(None).await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "answers in the spool wait for the database"
                );
                tokio::time::sleep(self.0.settings.poll).await;
            }
        }
    }

    /// Releases the units of dead workers.
    async fn release(&self, dead: &[uuid::Uuid]) -> Result<(), StoreError> {
        for worker in dead {
            let freed = records::release_worker(&self.0.store, *worker).await?;
            if freed > 0 {
                tracing::info!(freed, "resumed {freed} unit(s) of a worker that ended");
            }
            failpoint!("recover.released");
        }
        Ok(())
    }

    /// Checks whether the database's clock was set. Periodically, and after a step back, waits that start in the future
    /// are moved to now.
    async fn check_clock(&self, next_check: &mut Instant) -> Result<(), StoreError> {
        self.detect_clock_step().await?;
        if Instant::now() >= *next_check {
            *next_check = Instant::now() + CHECK_WAITS;
            self.resume_waits().await?;
        }
        Ok(())
    }

    async fn detect_clock_step(&self) -> Result<(), StoreError> {
        match self.0.clock.look(&self.0.store).await? {
            None => return Ok(()),
            Some(Step::Back(by)) => tracing::warn!(
                seconds = by.as_secs(),
                "the database's clock was set back by {} s; waits continue from now",
                by.as_secs()
            ),
            Some(Step::Forward(by)) => tracing::warn!(
                seconds = by.as_secs(),
                "the database's clock was set forward by {} s, or this machine was suspended; no decision uses an age for {} s",
                by.as_secs(),
                self.0.settings.request_lifetime.as_secs()
            ),
        }
        metrics::counter!("lockstep_database_clock_steps_total").increment(1);
        self.0.renew.notify_waiters();
        self.resume_waits().await
    }

    async fn resume_waits(&self) -> Result<(), StoreError> {
        let moved = clock::set_back(&self.0.store, self.0.settings.alarm_retry).await?;
        if !moved.is_empty() {
            tracing::warn!(
                units = moved.units,
                others = moved.others,
                "restarted waits that began in the future: {} order units, {} others",
                moved.units,
                moved.others
            );
        }
        Ok(())
    }

    /// How much longer ages cannot be trusted because the database's clock was set; `None` when they can.
    pub(crate) async fn ages_are_doubtful(&self) -> Result<Option<Duration>, StoreError> {
        self.detect_clock_step().await?;
        let lifetime = self.0.settings.request_lifetime;
        Ok(self
            .0
            .clock
            .since_step()
            .and_then(|since| lifetime.checked_sub(since))
            .filter(|left| !left.is_zero()))
    }

    async fn claim(&self, most: u32) -> Result<Vec<Unit>, StoreError> {
        let mine: Vec<UnitId> = self.in_hand().iter().copied().collect();
        records::claim(&self.0.store, self.0.spool.worker(), most, self.0.settings.lease, &mine).await
    }

    /// Claims due units, spawns a task for each, and returns the time until the next unit may be due.
    async fn dispatch(&self, tasks: &mut JoinSet<()>, stop: &CancellationToken) -> Result<Duration, StoreError> {
        let inner = &self.0;
        failpoint!("claim_units.events");
        if records::events::has_due(&inner.store).await? {
            records::events::apply_due(&inner.store).await?;
            failpoint!("claim_units.events.applied");
        }
        while tasks.try_join_next().is_some() {}
        // A unit that only waits for its release does not count against the limit.
        let working = |tasks: &JoinSet<()>| tasks.len().saturating_sub(inner.handing_back.load(Ordering::Relaxed));
        let free = inner.settings.parallel.saturating_sub(working(tasks));
        if free == 0 || !self.may_buy(inner.settings.probe_every.max(gate::IDLE)).await {
            return Ok(inner.settings.poll);
        }
        let dead = self.newly_dead().await;
        if !dead.is_empty() {
            self.replay(None).await?;
            self.release(&dead).await?;
        }
        // Reading the next due time does not write; only claiming does.
        let due = records::next_due(&inner.store).await?;
        if due != Some(Duration::ZERO) {
            return Ok(due.map_or(inner.settings.poll, |due| {
                due.clamp(Duration::from_millis(1), inner.settings.poll)
            }));
        }
        if !self.may_buy(inner.settings.probe_every).await {
            return Ok(inner.settings.poll);
        }
        failpoint!("claim_units.claim.before");
        let most = u32::try_from(free).unwrap_or(u32::MAX);
        let units = self.claim(most).await?;
        failpoint!("claim_units.claim.after");
        // Another worker claimed the units first, or took the last free place.
        let wait = if units.is_empty() {
            Duration::from_millis(20)
        } else {
            Duration::ZERO
        };
        for unit in units {
            let (this, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move { this.drive(unit, &stop).await });
        }
        Ok(if working(tasks) >= inner.settings.parallel {
            inner.settings.poll
        } else {
            wait
        })
    }

    /// Runs due units until none is left and returns how many were claimed. For tests and for commands that need one
    /// pass.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn drain(&self) -> Result<usize, StoreError> {
        let stop = CancellationToken::new();
        let mut count = 0;
        loop {
            records::events::apply_due(&self.0.store).await?;
            if !self.may_buy(self.0.settings.probe_every).await {
                return Ok(count);
            }
            let most = u32::try_from(self.0.settings.parallel).unwrap_or(u32::MAX);
            let units = self.claim(most).await?;
            if units.is_empty() {
                return Ok(count);
            }
            count += units.len();
            let mut tasks = JoinSet::new();
            for unit in units {
                let (this, stop) = (self.clone(), stop.clone());
                tasks.spawn(async move { this.drive(unit, &stop).await });
            }
            while tasks.join_next().await.is_some() {}
        }
    }

    /// Exponential backoff with a cap, reduced at random by up to a quarter.
    fn backoff(&self, attempts: u32) -> Duration {
        let (base, cap) = self.0.settings.backoff;
        let full = exponential(base, attempts, cap);
        full.mul_f64(self.0.settings.random.rng().random_range(0.75..=1.0))
    }
}
