//! Settings that have to be equal in all processes of one shop, and the check that they are.
//!
//! Each process records its settings in the database: plain values, and keyed hashes of secrets. The key of these
//! hashes is `LOCKSTEP_KEY_SECRET`, so that an attacker who has only the database cannot test a guess. A process that
//! starts beside others with different settings is refused, and the error names the setting. Settings that only have to
//! be equal *at one time* (the mark-up, for example) may change when no other process runs; the secret that stored keys
//! are sealed with may not, unless the one in use is on the list.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use lockstep_domain::language::Sentence;
use lockstep_store::fulfilment::keys;
use lockstep_store::instances::{self, Instance, LEASE, Running};
use lockstep_store::{Store, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::{Config, PaymentProvider, Supplier};
use crate::secrets::Secrets;
use crate::words::{english, say};

/// How often a process records that it runs.
const RENEW: Duration = Duration::from_secs(3);
/// How often a starting process checks whether one that differs still runs.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The setting that seals stored keys.
const KEY_SECRET: &str = "LOCKSTEP_KEY_SECRET";
/// Number of stored keys that are opened to test whether a secret is the one in use.
const SAMPLE: u32 = 20;

/// A setting that has to be equal in all processes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    name: &'static str,
    /// The values that other processes may have recorded; the first is the one that this process records.
    accepted: Vec<String>,
    /// Whether the value is a hash, which is not shown.
    is_secret: bool,
}

impl Setting {
    fn plain(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            accepted: vec![value.into()],
            is_secret: false,
        }
    }
}

/// The settings of this process; without `secrets`, only the plain ones.
fn settings(config: &Config, secrets: Option<&Secrets>) -> Vec<Setting> {
    let pricing = &config.pricing;
    let basis = serde_json::to_value(pricing.basis).ok();
    let basis = basis.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    let mut all = vec![
        Setting::plain(
            "LOCKSTEP_ENV",
            if config.production { "production" } else { "development" },
        ),
        Setting::plain("G2A_MARKUP_PERCENT", pricing.markup_percent.normalize().to_string()),
        Setting::plain("G2A_PRICE_BASIS", basis),
        Setting::plain("G2A_ALLOWED_LOSS", config.fulfilment.allowed_loss.to_string()),
        Setting::plain("LOCKSTEP_REPLACEMENT_BUDGET", config.replacement_budget.to_string()),
        Setting::plain(
            "LOCKSTEP_PREORDER_DAYS",
            (config.fulfilment.preorder_patience.as_secs() / 86_400).to_string(),
        ),
        Setting::plain("LOCKSTEP_CART_MAX_COPIES", config.cart_limits.per_line.to_string()),
        Setting::plain("LOCKSTEP_CART_MAX_LINES", config.cart_limits.lines.to_string()),
        Setting::plain("LOCKSTEP_TIME_ZONE", config.time_zone.as_str()),
        // They decide which reductions cached answers show.
        Setting::plain("LOCKSTEP_COUNTRY", config.duties.country.as_deref().unwrap_or("none")),
        Setting::plain(
            "LOCKSTEP_DUTIES_OFF",
            config
                .duties
                .off
                .iter()
                .map(|duty| duty.as_str())
                .collect::<Vec<_>>()
                .join(","),
        ),
        Setting::plain(
            "STRIPE_SECRET_KEY",
            provider(
                (config.payments.in_use())
                    .find(|provider| !matches!(provider, PaymentProvider::Mollie { .. }))
                    .unwrap_or(&PaymentProvider::None),
            ),
        ),
        Setting::plain(
            "MOLLIE_API_KEY",
            provider(
                (config.payments.in_use())
                    .find(|provider| matches!(provider, PaymentProvider::Mollie { .. }))
                    .unwrap_or(&PaymentProvider::None),
            ),
        ),
        Setting::plain(
            "G2A_API_URL",
            match &config.supplier {
                Supplier::Account { url, .. } | Supplier::Stored { url, .. } => url,
                Supplier::Sandbox => "the built-in sandbox",
            },
        ),
    ];
    if matches!(config.supplier, Supplier::Stored { .. }) {
        all.push(Setting::plain("G2A_API_HASH", "database"));
    }
    if let Some(secrets) = secrets {
        let hashed = |name: &'static str, value: &str| Setting {
            name,
            accepted: secrets.marks(name, value),
            is_secret: true,
        };
        all.push(hashed(KEY_SECRET, ""));
        for (name, value) in secrets.to_compare() {
            all.push(hashed(name, value));
        }
        // The account without its password, which G2A may replace at any time.
        if let Supplier::Account { auth, .. } = &config.supplier {
            match auth {
                lockstep_g2a::Auth::Hash { api_hash, email, .. } => {
                    all.push(hashed("G2A_API_HASH", api_hash.expose()));
                    all.push(hashed("G2A_API_EMAIL", email));
                }
                lockstep_g2a::Auth::OAuth { client_id, .. } => all.push(hashed("G2A_API_HASH", client_id.expose())),
            }
        }
    }
    all
}

/// The payment provider; two keys of one account count as equal.
fn provider(provider: &PaymentProvider) -> String {
    match provider {
        PaymentProvider::Stripe {
            api_url, secret_key, ..
        } => {
            let mode = if secret_key.expose().contains("_live_") {
                "live"
            } else {
                "test"
            };
            format!("{api_url}, {mode}")
        }
        PaymentProvider::Mollie { api_url, api_key, .. } => {
            let mode = if api_key.expose().starts_with("live_") {
                "live"
            } else {
                "test"
            };
            format!("{api_url}, {mode}")
        }
        PaymentProvider::Test => "the built-in test provider".into(),
        PaymentProvider::None => "nobody".into(),
    }
}

/// The settings in which another process differs, in words.
fn differences(ours: &[Setting], other: &Running) -> Vec<Sentence> {
    let theirs = &other.instance.settings;
    let differs = |setting: &&Setting| {
        theirs
            .get(setting.name)
            .is_some_and(|value| !setting.accepted.contains(value))
    };
    let in_words = |setting: &Setting| {
        let name = &other.instance.name;
        match (setting.is_secret, theirs.get(setting.name)) {
            (false, Some(value)) => {
                let ours = setting.accepted.first().map_or("", String::as_str);
                say!("doctor.instances.here", setting.name, ours, value, name)
            }
            _ => say!("doctor.instances.other", setting.name, name),
        }
    };
    // With another secret every hash differs, so the other hashes reveal nothing.
    let other_secret = ours
        .iter()
        .filter(|setting| setting.name == KEY_SECRET)
        .any(|setting| differs(&setting));
    ours.iter()
        .filter(|setting| !(other_secret && setting.is_secret && setting.name != KEY_SECRET))
        .filter(differs)
        .map(in_words)
        .collect()
}

/// The entry of this process among the running ones.
pub(crate) struct Membership {
    store: Store,
    instance: Arc<Instance>,
    settings: Arc<Vec<Setting>>,
}

/// The result of an attempt to join.
enum Attempt {
    Begun,
    /// The secret that currently seals keys is not on the list.
    OtherSecret,
    /// A process with different settings was seen recently.
    Differs(Vec<(Uuid, DateTime<Utc>, Vec<Sentence>)>),
}

/// Joins the running processes.
///
/// A killed process still counts as running for a while: if one differs, this waits for up to twice [`LEASE`] to see
/// whether it is alive.
///
/// # Errors
/// If settings differ; the error names them and the remedy.
pub(crate) async fn join(config: &Config, secrets: &Secrets, store: &Store) -> Result<Membership> {
    let settings = Arc::new(settings(config, Some(secrets)));
    let recorded = settings
        .iter()
        .filter_map(|setting| Some((setting.name.to_owned(), setting.accepted.first()?.clone())));
    let instance = Arc::new(Instance {
        id: Uuid::new_v4(),
        name: name_of_this_process(),
        settings: recorded.collect(),
    });
    if !config.accept_lost_keys {
        refuse_keys_of_another(secrets, store).await?;
    }
    let began = Instant::now();
    let mut first_seen: HashMap<Uuid, DateTime<Utc>> = HashMap::new();
    loop {
        let others = match begin(store, &instance, &settings, config.accept_lost_keys)
            .await
            .context("looking at other instances")?
        {
            Attempt::Begun => break,
            Attempt::OtherSecret => bail!(english(&OTHER_SECRET.into())),
            Attempt::Differs(others) => others,
        };
        let alive = others
            .iter()
            .find(|(id, seen_at, _)| *first_seen.entry(*id).or_insert(*seen_at) < *seen_at);
        if let Some((.., differences)) = alive {
            bail!("{}; {CURE}", in_words(differences));
        }
        if began.elapsed() > 2 * LEASE {
            let all = others.iter().flat_map(|(.., differences)| differences);
            let all: BTreeSet<String> = all.map(english).collect();
            bail!("{}; {CURE}", Vec::from_iter(all).join("; "));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(Membership {
        store: store.clone(),
        instance,
        settings,
    })
}

const CURE: &str = "all instances of a shop need the same; set it here as it is there, or stop the others first";

const OTHER_SECRET: &str = "doctor.instances.other_secret";

fn in_words(differences: &[Sentence]) -> String {
    let words: Vec<String> = differences.iter().map(english).collect();
    words.join("; ")
}

async fn begin(
    store: &Store,
    instance: &Arc<Instance>,
    settings: &Arc<Vec<Setting>>,
    accept_lost_keys: bool,
) -> Result<Attempt, StoreError> {
    store
        .tx("instances.begin", |tx| {
            let (instance, settings) = (Arc::clone(instance), Arc::clone(settings));
            Box::pin(async move {
                instances::one_at_a_time(tx).await?;
                let marks = settings.iter().find(|setting| setting.name == KEY_SECRET);
                let marks = marks.map(|setting| setting.accepted.as_slice()).unwrap_or_default();
                if !accept_lost_keys
                    && let Some(in_use) = instances::key_secret(tx).await?
                    && !marks.contains(&in_use)
                    && instances::something_is_sealed(tx).await?
                {
                    return Ok(Attempt::OtherSecret);
                }
                let others: Vec<_> = instances::others(tx, instance.id)
                    .await?
                    .into_iter()
                    .map(|other| (other.instance.id, other.seen_at, differences(&settings, &other)))
                    .filter(|(.., differences)| !differences.is_empty())
                    .collect();
                if !others.is_empty() {
                    return Ok(Attempt::Differs(others));
                }
                if let Some(first) = marks.first() {
                    instances::set_key_secret(tx, first).await?;
                }
                instances::announce(tx, &instance).await?;
                Ok::<_, StoreError>(Attempt::Begun)
            })
        })
        .await
}

/// For databases older than the recorded mark of the secret: tests a sample of stored keys.
async fn refuse_keys_of_another(secrets: &Secrets, store: &Store) -> Result<()> {
    let known = store
        .tx("instances.known", |tx| Box::pin(instances::key_secret(tx)))
        .await?;
    if known.is_some() {
        return Ok(());
    }
    let sample = keys::page(store, None, SAMPLE).await.context("reading keys")?;
    let opens = |(id, sealed): &(_, Vec<u8>)| secrets.keys.open(&keys::place(*id), sealed).is_ok();
    if !sample.is_empty() && !sample.iter().any(opens) {
        bail!(english(&OTHER_SECRET.into()));
    }
    Ok(())
}

impl Membership {
    /// Records that this process runs until `stop` is cancelled, and logs an error when another process differs: one
    /// whose list of secrets has a new one in front may start, and this process cannot open what that one seals.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        let mut every = tokio::time::interval(RENEW);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut logged = Vec::new();
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            match self.renew().await {
                Ok(differences) if differences != logged => {
                    for difference in &differences {
                        tracing::error!("{difference}; {CURE}");
                    }
                    logged = differences;
                }
                Ok(_) => {}
                // The database's users report that it is unavailable.
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "this process could not be registered as running"
                ),
            }
        }
        if let Err(error) = instances::withdraw(&self.store, self.instance.id).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "this process could not be deregistered"
            );
        }
    }

    async fn renew(&self) -> Result<Vec<String>, StoreError> {
        let others = self
            .store
            .tx("instances.renew", |tx| {
                let instance = Arc::clone(&self.instance);
                Box::pin(async move {
                    instances::announce(tx, &instance).await?;
                    instances::others(tx, instance.id).await
                })
            })
            .await?;
        Ok(others
            .iter()
            .flat_map(|other| differences(&self.settings, other))
            .map(|difference| english(&difference))
            .collect())
    }
}

/// Compares this configuration with the running processes: how many run, and in what they differ. Secrets are compared
/// if they exist; none are generated.
pub(crate) async fn compare(config: &Config, store: &Store) -> Result<(usize, Vec<Sentence>)> {
    let secrets = Secrets::known(config)?;
    let settings = settings(config, secrets.as_ref());
    let marks = settings.iter().find(|setting| setting.name == KEY_SECRET);
    let (others, in_use, sealed) = store
        .tx("instances.compare", |tx| {
            Box::pin(async move {
                Ok::<_, StoreError>((
                    instances::others(tx, Uuid::nil()).await?,
                    instances::key_secret(tx).await?,
                    instances::something_is_sealed(tx).await?,
                ))
            })
        })
        .await?;
    let mut found: Vec<Sentence> = others.iter().flat_map(|other| differences(&settings, other)).collect();
    for (a, other) in others.iter().enumerate() {
        for third in &others[a + 1..] {
            found.extend(between(&other.instance, &third.instance));
        }
    }
    if sealed
        && let (Some(marks), Some(in_use)) = (marks, in_use)
        && !marks.accepted.contains(&in_use)
    {
        found.push(OTHER_SECRET.into());
    }
    Ok((others.len(), found))
}

/// The plain settings in which two other processes differ. Hashes of secrets are left out: a list that is being changed
/// makes them differ, and only a process with the secret can judge that.
fn between(one: &Instance, two: &Instance) -> Vec<Sentence> {
    let plain = |instance: &Instance| -> BTreeMap<String, String> {
        let is_plain = |value: &String| !is_mark(value);
        instance
            .settings
            .iter()
            .filter(|(_, value)| is_plain(value))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect()
    };
    let theirs = plain(two);
    plain(one)
        .into_iter()
        .filter_map(|(name, value)| {
            let other = theirs.get(&name).filter(|other| **other != value)?;
            Some(say!("doctor.instances.between", name, value, one.name, other, two.name))
        })
        .collect()
}

fn is_mark(value: &str) -> bool {
    value.len() == 32 && value.bytes().all(|letter| letter.is_ascii_hexdigit())
}

/// Refuses work that running processes would undo, for commands that do not stay. Needs no secret.
pub(crate) async fn refuse_to_differ(config: &Config, store: &Store) -> Result<()> {
    let settings = settings(config, None);
    let others = store
        .tx("instances.others", |tx| Box::pin(instances::others(tx, Uuid::nil())))
        .await?;
    let found: Vec<Sentence> = others.iter().flat_map(|other| differences(&settings, other)).collect();
    if !found.is_empty() {
        bail!("{}; {CURE}", in_words(&found));
    }
    Ok(())
}

/// Makes this process's secret the one that seals keys from now on.
pub(crate) async fn accept_key_secret(secrets: &Secrets, store: &Store) -> Result<()> {
    let mark = secrets.marks(KEY_SECRET, "").into_iter().next().unwrap_or_default();
    store
        .tx("instances.accept", |tx| {
            let mark = mark.clone();
            Box::pin(async move { instances::set_key_secret(tx, &mark).await })
        })
        .await?;
    Ok(())
}

fn name_of_this_process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "this machine" } else { host };
    format!("{host} (process {})", std::process::id())
}
