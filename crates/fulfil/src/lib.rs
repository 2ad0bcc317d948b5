//! The purchase saga: one unit of an order becomes one order at G2A, one payment and one key, or the money back.
//!
//! `store.order_units → [this] ⇄ g2a → store.game_keys, transactions`
//!
//! Every call to G2A has its intent committed before and its result after it, so that whatever dies in between, the
//! next worker knows what may have happened (`docs/purchase.md`). `rules` decides, `reading` tells the rules what G2A
//! said, `unit` takes one unit as far as it goes, `fetch` reads the key, `spool` keeps it on the way, `gate` says whether
//! it could, and this module finds work and gives it out.

pub mod aside;
mod fetch;
mod gate;
mod reading;
mod reconcile;
pub mod rules;
mod spool;
mod unit;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lockstep_domain::Money;
use lockstep_domain::ids::KeyId;
use lockstep_domain::price::Pricing;
use lockstep_domain::secret::Secret;
use lockstep_g2a::Client;
use lockstep_store::fulfilment::unreadable::Patience;
use lockstep_store::fulfilment::{self as records, Letters};
use lockstep_store::{Store, StoreError, failpoint};
use lockstep_vault::Keys;
use rand::Rng as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use gate::Gate;

pub use gate::machine;
pub use reconcile::{Difference, Remedy, reconcile};
pub use spool::Spool;

/// How buying goes about it. The defaults fit G2A.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What a copy may cost above what the shop asked for it, EUR (`G2A_ALLOWED_LOSS`).
    pub allowed_loss: Money,
    /// How a list price is corrected from what G2A asked.
    pub pricing: Pricing,
    /// Units in hand at once in this process (`LOCKSTEP_WORKERS`).
    pub parallel: usize,
    /// How long a unit is held without a sign of life. Longer than the longest call with its wait for the budget.
    pub lease: Duration,
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
            lease: Duration::from_mins(5),
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
        })))
    }

    /// Buys until it is told to stop, and then until what is in hand has come to a place where it can rest.
    pub async fn run(&self, stop: CancellationToken) {
        if stop.run_until_cancelled(self.recover()).await.is_none() {
            return;
        }
        let mut commits = self.0.store.commits();
        let mut hands: JoinSet<()> = JoinSet::new();
        let mut told_away = false;
        while !stop.is_cancelled() {
            let wait = match self.give_out(&mut hands, &stop).await {
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

    /// Claims units that are due and puts each into a task; returns how long nothing will be due.
    async fn give_out(&self, hands: &mut JoinSet<()>, stop: &CancellationToken) -> Result<Duration, StoreError> {
        let inner = &self.0;
        failpoint!("give_out.events");
        if records::events::has_due(&inner.store).await? {
            records::events::apply_due(&inner.store).await?;
            failpoint!("give_out.events.applied");
        }
        while hands.try_join_next().is_some() {}
        let free = inner.settings.parallel.saturating_sub(hands.len());
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
        let units = records::claim(&inner.store, inner.spool.worker(), most, inner.settings.lease).await?;
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
        Ok(if hands.len() >= inner.settings.parallel {
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
            let units = records::claim(&self.0.store, self.0.spool.worker(), most, self.0.settings.lease).await?;
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
