//! The connection to G2A: a real account, of the configuration or of staff, or the built-in sandbox if none is configured.

mod access;
pub(crate) mod accounts;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use lockstep_domain::Secret;
use lockstep_g2a::{Auth, Client, Limits};
use lockstep_g2a_sandbox::{Config as SandboxConfig, Credentials, Sandbox};
use lockstep_store::Store;
use lockstep_store::admin::g2a_settings;
use lockstep_sync::{Context, Settings, StoreBudget};

use crate::config::{Config, Supplier as Configured};
use crate::secrets::Secrets;
pub(crate) use access::Access;
use accounts::{Accounts, Origin};

/// Changes of price and stock per second in the sandbox of `lockstep serve`.
const DRIFT_PER_SECOND: u32 = 2;

/// Number of made-up games in the sandbox of `lockstep serve`.
const GAMES: u64 = 12_000;

/// A client of G2A, and the sandbox behind it if it talks to one.
pub(crate) struct Supplier {
    pub(crate) client: Client,
    /// Describes where the supplier is, for people.
    pub(crate) place: String,
    pub(crate) is_sandbox: bool,
    /// Where G2A is.
    pub(crate) url: String,
    /// Where the credentials came from when it was connected.
    pub(crate) origin: Origin,
    /// The limits of the request budget.
    pub(crate) limits: Limits,
    sandbox: Option<(Sandbox, PathBuf)>,
}

impl Supplier {
    /// Connects with the configured account or the one of staff; without an address, joins the sandbox of a running store or
    /// starts one.
    pub(crate) async fn connect(config: &Config, store: &Store) -> Result<Self> {
        let limits = limits(config)?;
        let budget = Arc::new(StoreBudget::new(store.clone(), limits));
        let (url, sandbox) = match &config.supplier {
            Configured::Account { url, .. } | Configured::Stored { url, .. } => (url.clone(), None),
            Configured::Sandbox => {
                let address_file = config.sandbox_address_file();
                if let Some(url) = running_sandbox(&address_file).await {
                    (url, None)
                } else {
                    let sandbox = start_sandbox(config, &address_file).await?;
                    (sandbox.base_url(), Some((sandbox, address_file)))
                }
            }
        };
        if let Ok(Some(secrets)) = Secrets::known(config) {
            store.seal_mail_with(secrets.keys);
        }
        // Without an answer of the database, a process that stays learns of them a second later. Until then units whose order
        // belongs to an account that is not known wait.
        let stored = g2a_settings::list(store).await.unwrap_or_default();
        let accounts = Accounts::of(config, &url, &stored);
        let is_sandbox = matches!(config.supplier, Configured::Sandbox);
        let place = if is_sandbox {
            format!("the built-in sandbox at {url}")
        } else {
            url.clone()
        };
        let mut settings = lockstep_g2a::Config::new(url.clone(), accounts.current.clone());
        settings.key_timeout = config.key_timeout.unwrap_or(settings.key_timeout);
        settings.clock = config.clock.clone();
        settings.random = config.random.clone();
        let client = Client::new(settings, budget).context("G2A")?;
        client
            .set_accounts(accounts.current.as_ref(), &accounts.others)
            .context("G2A")?;
        Ok(Self {
            client,
            place,
            is_sandbox,
            url,
            origin: accounts.origin,
            limits,
            sandbox,
        })
    }

    /// The context of a synchronisation with this supplier.
    pub(crate) fn context(&self, config: &Config, store: &Store) -> Context {
        let settings = Settings {
            pricing: config.pricing,
            calls_per_minute: config.rate_per_minute,
            ..Settings::default()
        };
        Context::new(store.clone(), self.client.clone(), settings, config.clock.clone())
    }

    /// Stops the sandbox, if this process runs it.
    pub(crate) async fn close(self) {
        if let Some((sandbox, address_file)) = self.sandbox {
            drop(std::fs::remove_file(address_file));
            sandbox.shutdown().await;
        }
    }
}

/// The limits of the request budget.
pub(crate) fn limits(config: &Config) -> Result<Limits> {
    Limits::per_minute(config.rate_per_minute).map_err(|error| anyhow!("G2A_RATE_PER_MINUTE: {error}"))
}

fn sandbox_auth() -> Auth {
    let Credentials { hash, email, secret } = Credentials::default();
    Auth::Hash {
        api_hash: Secret::new(hash),
        email,
        secret: Secret::new(secret),
    }
}

async fn start_sandbox(config: &Config, address_file: &Path) -> Result<Sandbox> {
    let sandbox = Sandbox::start(SandboxConfig {
        catalogue: lockstep_g2a_sandbox::Catalogue::Generated { count: GAMES, seed: 1 },
        knobs: lockstep_g2a_sandbox::Knobs {
            rate_per_minute: config.rate_per_minute,
            // The listed price is charged, so that the demo sells. `g2a-sandbox` alone keeps the stricter basis.
            charge_basis: lockstep_g2a_sandbox::PriceBasis::MinPrice,
            ..Default::default()
        },
        drift_per_second: DRIFT_PER_SECOND,
        ..SandboxConfig::default()
    })
    .await
    .context("starting the G2A sandbox")?;
    // Commands that run beside the store find its sandbox by this file, which is replaced atomically.
    let partial = address_file.with_extension(format!("{}.part", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir_all(&config.data_dir)
        .and_then(|()| std::fs::write(&partial, sandbox.base_url()))
        .and_then(|()| std::fs::rename(&partial, address_file))
        .with_context(|| format!("cannot write {}", address_file.display()))?;
    Ok(sandbox)
}

/// Address of a sandbox that a running store wrote to its data folder, if something listens there.
pub(crate) async fn running_sandbox(address_file: &Path) -> Option<String> {
    let url = std::fs::read_to_string(address_file).ok()?;
    let address = url.strip_prefix("http://")?.split('/').next()?.to_owned();
    let connecting = tokio::net::TcpStream::connect(address);
    tokio::time::timeout(Duration::from_millis(500), connecting)
        .await
        .ok()?
        .ok()?;
    Some(url)
}
