//! What the process knows of itself: its version, its settings, and what `lockstep doctor` finds.
//!
//! A diagnosis reads every row of some tables, so one runs at a time, beside the requests; its result is kept in memory.
//! The checks of the first day are few and quick. They are repeated while the page is open: an item is done because it is
//! checked, and open again when its check fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use lockstep_auth::Admin;
use lockstep_domain::language::Sentence;
use lockstep_store::Result;

use crate::BackOffice;

/// The least time between two diagnoses: each reads the whole audit log.
const APART: TimeDelta = TimeDelta::seconds(30);
/// For how long the checks of the first day count.
const FRESH: TimeDelta = TimeDelta::minutes(5);
/// How long a page waits for them when none have been made yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// It passed.
    Well,
    /// A warning: nothing is broken.
    Note,
    /// It failed.
    Wrong,
}

/// What a check of `lockstep doctor` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was checked, as `lockstep doctor` names it.
    pub what: &'static str,
    /// How it ended.
    pub state: CheckState,
    /// What was seen.
    pub seen: Sentence,
    /// What to do.
    pub remedy: Option<Sentence>,
}

/// What a shop needs before it sells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FirstStep {
    /// An account at G2A that answers.
    Supplier,
    /// A payment provider that answers.
    Payments,
    /// A mail server that lets the shop in.
    Mail,
    /// An address that customers can reach.
    Address,
    /// Who runs the shop, and its terms.
    Legal,
    /// What is added to G2A's price.
    Prices,
    /// The second factor of the member of staff who asks.
    SecondFactor,
    /// A backup that is not old.
    Backup,
}

impl FirstStep {
    /// Its name in the keys of texts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Supplier => "supplier",
            Self::Payments => "payments",
            Self::Mail => "mail",
            Self::Address => "address",
            Self::Legal => "legal",
            Self::Prices => "prices",
            Self::SecondFactor => "second_factor",
            Self::Backup => "backup",
        }
    }
}

/// What the checks of the first day found.
pub type FirstSteps = Vec<(FirstStep, Finding)>;

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingInForce {
    /// The environment variable.
    pub name: String,
    /// The value, with secrets masked; `None` if there is none.
    pub value: Option<String>,
    /// Where it comes from: `flag`, `environment`, `file` or `default`.
    pub source: &'static str,
    /// What applies without a value, in words.
    pub default: Option<String>,
}

/// The process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Version of the program.
    pub version: &'static str,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Whether it runs in production.
    pub production: bool,
}

/// What the process can say of itself.
pub trait Operation: Send + Sync {
    /// The process.
    fn process(&self) -> ProcessInfo;

    /// The settings in force, as `lockstep config` shows them.
    fn settings(&self) -> Vec<SettingInForce>;

    /// Everything that `lockstep doctor` checks, in its order, and as the text that it prints. Takes seconds to minutes.
    fn examine(&self) -> BoxFuture<'static, (Vec<Finding>, String)>;

    /// The checks of the first day that are about the process and what it is connected to. Takes a few seconds at most.
    fn first_day(&self) -> BoxFuture<'static, FirstSteps>;
}

/// A diagnosis that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// What it found.
    pub findings: Vec<Finding>,
    /// The same as text.
    pub text: String,
}

/// Versions, and since when the process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The process; `None` in one that does not know itself.
    pub process: Option<ProcessInfo>,
    /// Number of the last migration.
    pub schema: i64,
    /// Number of migrations that are missing.
    pub pending: usize,
    /// Version of PostgreSQL.
    pub postgres: String,
}

/// What is kept of checks.
#[derive(Debug, Default)]
struct Kept {
    is_running: bool,
    last: Option<Diagnosis>,
    is_checking: bool,
    first_day: Option<(DateTime<Utc>, FirstSteps)>,
}

/// The process and its checks.
#[derive(Clone, Default)]
pub(crate) struct Checkups {
    operation: Option<Arc<dyn Operation>>,
    kept: Arc<Mutex<Kept>>,
    /// Tells that the checks of the first day have ended.
    checked: Arc<tokio::sync::Notify>,
}

impl std::fmt::Debug for Checkups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Checkups")
    }
}

impl Checkups {
    pub(crate) fn of(operation: Arc<dyn Operation>) -> Self {
        Self {
            operation: Some(operation),
            ..Self::default()
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> T {
        look(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Ends a check also when its task fails.
struct Ends<F: FnMut()>(F);

impl<F: FnMut()> Drop for Ends<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl BackOffice {
    /// The settings in force, as `lockstep config` shows them; none in a process that does not know itself.
    pub fn settings_in_force(&self, _by: &Admin) -> Vec<SettingInForce> {
        self.checkups
            .operation
            .as_ref()
            .map(|own| own.settings())
            .unwrap_or_default()
    }

    /// Versions of the program, its schema and PostgreSQL.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn versions(&self, _by: &Admin) -> Result<Versions> {
        let status = self.store.migration_status().await?;
        Ok(Versions {
            process: self.checkups.operation.as_ref().map(|own| own.process()),
            schema: status.applied.last().copied().unwrap_or_default(),
            pending: status.pending.len(),
            postgres: self.store.server_version().await?,
        })
    }

    /// The last diagnosis that this process has made, and whether one is running.
    pub fn diagnosis(&self, _by: &Admin) -> (Option<Diagnosis>, bool) {
        self.checkups.with(|kept| (kept.last.clone(), kept.is_running))
    }

    /// Begins a diagnosis, unless one is running or has ended less than `APART` ago. It changes nothing.
    pub fn diagnose(&self, _by: &Admin, clock: &lockstep_clock::Clock) {
        let Some(operation) = self.checkups.operation.clone() else {
            return;
        };
        let now = clock.now();
        let began = self.checkups.with(|kept| {
            let is_early = kept.last.as_ref().is_some_and(|last| now - last.at < APART);
            !is_early && !std::mem::replace(&mut kept.is_running, true)
        });
        if !began {
            return;
        }
        let (checkups, clock) = (self.checkups.clone(), clock.clone());
        tokio::spawn(async move {
            let _ends = Ends(|| checkups.with(|kept| kept.is_running = false));
            let (findings, text) = operation.examine().await;
            let at = clock.now();
            checkups.with(|kept| kept.last = Some(Diagnosis { at, findings, text }));
        });
    }

    /// What the first day lacks, as far as the process knows: checked a few minutes ago at most, or now. Empty while the
    /// first checks take long.
    pub async fn first_steps(&self, _by: &Admin, clock: &lockstep_clock::Clock) -> FirstSteps {
        let Some(operation) = self.checkups.operation.clone() else {
            return Vec::new();
        };
        let now = clock.now();
        let ended = self.checkups.checked.notified();
        let (known, begins) = self.checkups.with(|kept| {
            let is_fresh = kept.first_day.as_ref().is_some_and(|(at, _)| now - *at < FRESH);
            let begins = !is_fresh && !kept.is_checking;
            kept.is_checking |= begins;
            (kept.first_day.clone(), begins)
        });
        if begins {
            let (checkups, clock) = (self.checkups.clone(), clock.clone());
            tokio::spawn(async move {
                let _ends = Ends(|| {
                    checkups.with(|kept| kept.is_checking = false);
                    checkups.checked.notify_waiters();
                });
                let found = operation.first_day().await;
                let at = clock.now();
                checkups.with(|kept| kept.first_day = Some((at, found)));
            });
        }
        if let Some((_, known)) = known {
            return known;
        }
        let _ended = tokio::time::timeout(PATIENCE, ended).await;
        self.checkups
            .with(|kept| kept.first_day.clone())
            .map(|(_, found)| found)
            .unwrap_or_default()
    }

    /// Whether the process can say anything of itself.
    pub fn knows_itself(&self) -> bool {
        self.checkups.operation.is_some()
    }

    /// Whether the caller's own account has an authenticator.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn has_second_factor(&self, by: &Admin) -> Result<bool> {
        lockstep_store::admin::staff::has_second_factor(&self.store, by.caller().user()).await
    }

    /// Forgets the checks of the first day: the next look makes them anew.
    pub fn forget_first_steps(&self, _by: &Admin) {
        self.checkups.with(|kept| kept.first_day = None);
    }
}
