//! The purchase saga: one unit of an order becomes one order at G2A, one payment and one key, or the money back.
//!
//! `store.order_units → [this] ⇄ g2a → store.game_keys, transactions`
//!
//! Every call to G2A has its intent committed before and its result after it, so that whatever dies in between, the
//! next worker knows what may have happened (`docs/purchase.md`). `rules` decides, `reading` tells the rules what G2A
//! said, `unit` takes one unit as far as it goes, `holding` holds it meanwhile, `fetch` reads the key, `spool` keeps it on
//! the way, `gate` says whether it could, and this module finds work and gives it out.

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

use lockstep_domain::Money;
use lockstep_domain::ids::{KeyId, UnitId};
use lockstep_domain::price::Pricing;
use lockstep_domain::secret::Secret;
use lockstep_g2a::Client;
use lockstep_store::clock::{self, ClockWatch, Step};
use lockstep_store::fulfilment::unreadable::Patience;
use lockstep_store::fulfilment::{self as records, Letters, Unit};
use lockstep_store::{Store, StoreError, failpoint};
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

/// How often waits are looked at that began in the future.
const CHECK_WAITS: Duration = Duration::from_mins(1);

/// How buying goes about it. The defaults fit G2A.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What a copy may cost above what the shop asked for it, EUR (`G2A_ALLOWED_LOSS`).
    pub allowed_loss: Money,
    /// How a list price is corrected from what G2A asked.
    pub pricing: Pricing,
    /// Units in hand at once in this process (`LOCKSTEP_WORKERS`).
    pub parallel: usize,
    /// How long a unit is held without a sign of life. Whoever works on it gives one every third of this.
    pub lease: Duration,
    /// How long work in hand, and a key, wait for a database that is away. After that a unit belongs to whoever takes it
    /// up, and the key lies in the spool.
    pub patience: Duration,
    /// After this time no request that was sent can arrive at G2A any more.
    pub request_lifetime: Duration,
    /// How long G2A holds an unpaid order.
    pub reservation: Duration,
    /// How long a lost key may still turn up in the spool of a worker that is down.
    pub lost_grace: Duration,
    /// How long a copy waits for a person to decide about an answer without a readable key before it is made good
    /// (`LOCKSTEP_UNREADABLE_MINUTES`).
    pub unreadable_grace: Duration,
    /// When answers without a readable key stop the buying of their game.
    pub unreadable: Patience,
    /// Lost keys of one copy that are bought again.
    pub replacements: u32,
    /// Attempts at a product that G2A refuses or asks too much for.
    pub refused_tries: u32,
    /// Attempts at an order while G2A is not well.
    pub unsure_tries: u32,
    /// First and longest wait between attempts.
    pub backoff: (Duration, Duration),
    /// How often buying is tried while it is stopped for want of funds or access.
    pub alarm_retry: Duration,
    /// How long after its release a preorder is waited for (`LOCKSTEP_PREORDER_DAYS`).
    pub preorder_patience: Duration,
    /// How often work is looked for without being woken.
    pub poll: Duration,
    /// The spool is written to, for trial, this often at the most while there is something to buy.
    pub probe_every: Duration,
    /// Letters carry keys themselves, not only a link.
    pub keys_in_letters: bool,
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
            keys_in_letters: false,
        }
    }
}

/// Buys what was sold. Cheap to clone.
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
    letters: Letters,
    settings: Settings,
    /// Units in hand, whatever their leases say.
    in_hand: Mutex<HashSet<UnitId>>,
    /// Of these, units on which nobody works any more and which the database has not taken back yet.
    handing_back: AtomicUsize,
    /// Keys that are being read.
    reading: AtomicUsize,
    clock: ClockWatch,
    /// Leases are renewed now.
    renew: Notify,
}

/// Counts something for as long as it lives.
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

/// What is under way at G2A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnderWay {
    /// Copies in hand.
    pub units: usize,
    /// Keys that are being read.
    pub keys: usize,
}

impl std::fmt::Debug for Fulfilment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fulfilment")
            .field("spool", &self.0.spool)
            .finish_non_exhaustive()
    }
}

/// What letters may say under these settings.
pub fn letters(keys: &Keys, keys_in_letters: bool) -> Letters {
    let keys = keys.clone();
    let open = move |id: KeyId, sealed: &[u8]| {
        let plain = keys.open(&records::keys::place(id), sealed).ok()?;
        String::from_utf8(plain).ok().map(Secret::new)
    };
    Letters {
        with_keys: keys_in_letters.then(|| Arc::new(open) as records::KeyText),
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
            letters: letters(&keys, settings.keys_in_letters),
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
            clock: ClockWatch::default(),
            renew: Notify::new(),
        })))
    }

    /// What is under way now.
    pub fn under_way(&self) -> UnderWay {
        UnderWay {
            units: self.in_hand().len(),
            keys: self.0.reading.load(Ordering::Relaxed),
        }
    }

    fn in_hand(&self) -> MutexGuard<'_, HashSet<UnitId>> {
        self.0.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Buys until it is told to stop, and then until what is in hand has come to a place where it can rest.
    pub async fn run(&self, stop: CancellationToken) {
        if stop.run_until_cancelled(self.recover()).await.is_none() {
            return;
        }
        let mut commits = self.0.store.commits();
        let mut hands: JoinSet<()> = JoinSet::new();
        let mut told_away = false;
        let mut next_check = Instant::now();
        while !stop.is_cancelled() {
            let given = match self.keep_time(&mut next_check).await {
                Ok(()) => self.give_out(&mut hands, &stop).await,
                Err(error) => Err(error),
            };
            let wait = match given {
                Ok(wait) => {
                    told_away = false;
                    wait
                }
                Err(error) => {
                    if !told_away {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "buying waits for the database"
                        );
                        told_away = true;
                    }
                    self.0.settings.poll
                }
            };
            let idle = async {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    // Woken by a commit: an order may have been placed. The wait gathers what comes together.
                    _ = commits.changed() => tokio::time::sleep(Duration::from_millis(10)).await,
                    Some(_) = hands.join_next() => {}
                }
            };
            if stop.run_until_cancelled(idle).await.is_none() {
                break;
            }
        }
        while hands.join_next().await.is_some() {}
    }

    /// Takes up what processes that are dead have left: keys first, then their units.
    ///
    /// Tries until it succeeds.
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

    /// Frees what workers had in hand that are dead.
    async fn release(&self, dead: &[uuid::Uuid]) -> Result<(), StoreError> {
        for worker in dead {
            let freed = records::release_worker(&self.0.store, *worker).await?;
            if freed > 0 {
                tracing::info!(freed, "took up {freed} unit(s) that a worker had left");
            }
            failpoint!("recover.released");
        }
        Ok(())
    }

    /// Looks whether the database's clock was set. What waits must not wait for a time that has been, so now and then, and
    /// after a step back, it is made to go on.
    async fn keep_time(&self, next_check: &mut Instant) -> Result<(), StoreError> {
        self.look_at_clock().await?;
        if Instant::now() >= *next_check {
            *next_check = Instant::now() + CHECK_WAITS;
            self.go_on_after_step().await?;
        }
        Ok(())
    }

    async fn look_at_clock(&self) -> Result<(), StoreError> {
        match self.0.clock.look(&self.0.store).await? {
            None => return Ok(()),
            Some(Step::Back(by)) => tracing::warn!(
                seconds = by.as_secs(),
                "the database's clock was set back by {} s; what waits goes on from now",
                by.as_secs()
            ),
            Some(Step::Forward(by)) => tracing::warn!(
                seconds = by.as_secs(),
                "the database's clock was set forward by {} s, or this machine slept; nothing is decided by its age for {} s",
                by.as_secs(),
                self.0.settings.request_lifetime.as_secs()
            ),
        }
        metrics::counter!("database_clock_steps_total").increment(1);
        self.0.renew.notify_waiters();
        self.go_on_after_step().await
    }

    async fn go_on_after_step(&self) -> Result<(), StoreError> {
        let moved = clock::set_back(&self.0.store, self.0.settings.alarm_retry).await?;
        if !moved.is_empty() {
            tracing::warn!(
                units = moved.units,
                others = moved.others,
                "waits that had begun in the future begin now: {} copies of orders, {} others",
                moved.units,
                moved.others
            );
        }
        Ok(())
    }

    /// How long ages are not to be believed yet, because the database's clock was set.
    pub(crate) async fn ages_are_doubtful(&self) -> Result<Option<Duration>, StoreError> {
        self.look_at_clock().await?;
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

    /// Claims units that are due and puts each into a task; returns how long nothing will be due.
    async fn give_out(&self, hands: &mut JoinSet<()>, stop: &CancellationToken) -> Result<Duration, StoreError> {
        let inner = &self.0;
        failpoint!("give_out.events");
        if records::events::has_due(&inner.store).await? {
            records::events::apply_due(&inner.store).await?;
            failpoint!("give_out.events.applied");
        }
        while hands.try_join_next().is_some() {}
        // A unit that only waits to be handed back keeps no other waiting.
        let working = |hands: &JoinSet<()>| hands.len().saturating_sub(inner.handing_back.load(Ordering::Relaxed));
        let free = inner.settings.parallel.saturating_sub(working(hands));
        if free == 0 || !self.may_buy(inner.settings.probe_every.max(gate::IDLE)).await {
            return Ok(inner.settings.poll);
        }
        let dead = self.newly_dead().await;
        if !dead.is_empty() {
            self.replay(None).await?;
            self.release(&dead).await?;
        }
        // Asking costs nothing; only claiming writes.
        let due = records::next_due(&inner.store).await?;
        if due != Some(Duration::ZERO) {
            return Ok(due.map_or(inner.settings.poll, |due| {
                due.clamp(Duration::from_millis(1), inner.settings.poll)
            }));
        }
        if !self.may_buy(inner.settings.probe_every).await {
            return Ok(inner.settings.poll);
        }
        failpoint!("give_out.claim.before");
        let most = u32::try_from(free).unwrap_or(u32::MAX);
        let units = self.claim(most).await?;
        failpoint!("give_out.claim.after");
        // Someone else was quicker, or took the last place.
        let wait = if units.is_empty() {
            Duration::from_millis(20)
        } else {
            Duration::ZERO
        };
        for unit in units {
            let (this, stop) = (self.clone(), stop.clone());
            hands.spawn(async move { this.drive(unit, &stop).await });
        }
        Ok(if working(hands) >= inner.settings.parallel {
            inner.settings.poll
        } else {
            wait
        })
    }

    /// Works on everything that is due until nothing is, and returns how many units were taken up. For tests and for
    /// commands that want one pass.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn work_off(&self) -> Result<usize, StoreError> {
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
            let mut hands = JoinSet::new();
            for unit in units {
                let (this, stop) = (self.clone(), stop.clone());
                hands.spawn(async move { this.drive(unit, &stop).await });
            }
            while hands.join_next().await.is_some() {}
        }
    }

    /// A wait that doubles with every attempt, up to the longest, shortened at random by up to a quarter.
    fn backoff(&self, attempts: u32) -> Duration {
        let (base, cap) = self.0.settings.backoff;
        let full = base.saturating_mul(1_u32 << attempts.min(16)).min(cap);
        full.mul_f64(rand::rng().random_range(0.75..=1.0))
    }
}
