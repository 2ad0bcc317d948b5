//! `lockstep serve` and its halves `web` and `worker`: opens everything in order, runs until SIGINT or SIGTERM, and
//! closes everything in reverse order.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lockstep_admin::BackOffice;
use lockstep_api::{ApiState, SupplierState, SupplierStatus};
use lockstep_auth::Keys;
use lockstep_auth::password::HashSettings;
use lockstep_cache::Cache;
use lockstep_domain::Secret;
use lockstep_fulfilment::Fulfilment;
use lockstep_mail::{EmailBranding, EmailTransport, EmailWorker, Sending, SmtpAddress};
use lockstep_payments::{Limits, Payments, Provider, Relay, Stripe, StripeConfig, TestProvider};
use lockstep_shop::Shop;
use lockstep_store::{Store, pools};
use lockstep_web::Supply;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::commands;
use crate::config::{Config, Metrics, PaymentProvider, Supplier as ConfiguredSupplier};
use crate::database::{Database, Use, demand_store};
use crate::secrets::Secrets;
use crate::shutdown::{Shutdown, Tasks};
use crate::starting::when_there;
use crate::startup_gate::StartupGate;
use crate::supplier::Supplier;
use crate::{accounts, clock, figures, instances, listen, logging, schedule, supply, sweeping};

/// The parts of the store that this process runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    /// Pages and API.
    pub(crate) web: bool,
    /// Synchronisation, stock checks, cache upkeep.
    pub(crate) work: bool,
}

/// Timeout of calls to the payment provider; the shopper is then told that it is unavailable, before the request itself
/// times out.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(7);
/// Approximate maximum size of the picture cache in the data folder, in bytes.
const PICTURE_BYTES: u64 = 1024 * 1024 * 1024;

/// How often writes to the database are checked, and how long an answer may take.
const DATABASE_WATCH: Duration = Duration::from_secs(1);
const DATABASE_PATIENCE: Duration = Duration::from_secs(2);

/// Runs the store until SIGINT or SIGTERM. Exits with 0 if all work in flight ended or was yielded, and with 1 if
/// something was aborted, which the log names.
pub(crate) async fn run(config: &Config, parts: Parts) -> Result<ExitCode> {
    // Listen first: an address that is taken should not cost the start of a database.
    let listener = if parts.web {
        let listener = tokio::net::TcpListener::bind(config.bind).await;
        Some(
            listener
                .with_context(|| format!("cannot listen on {}; choose another address with --bind", config.bind))?,
        )
    } else {
        None
    };
    let metrics = figures::recorder()?;
    figures::register_rare_events();
    let figures = figures::bind(config.metrics).await?;
    let closing = Shutdown::new(config.shutdown, config.drain);
    let stop = closing.stop.clone();
    let signals = tokio::spawn(closing.clone().watch_signals());
    // Requests before the store is open are answered with that.
    let (gate, connections) = (StartupGate::default(), TaskTracker::new());
    let serving = listener.map(|listener| {
        let (router, doors, connections) = (gate.router(), closing.doors.clone(), connections.clone());
        tokio::spawn(async move {
            listen::serve(listener, router, listen::Limits::of_system(), doors, &connections).await;
        })
    });

    if !(parts.web && parts.work) {
        demand_store(config)?;
    }
    // From here on requests are counted, also while the database is away.
    let tasks = Tasks::default();
    tasks.spawn("metrics", keep_metrics_small(metrics.clone(), stop.clone()));
    let database = Database::open(config, Use::Own).await?;
    let Some(()) = stop
        .run_until_cancelled(migrate_when_there(&database))
        .await
        .transpose()?
    else {
        closing.close("the database", database.close()).await;
        return Ok(ended(&closing));
    };
    if config.is_demo() {
        let made = stop.run_until_cancelled(when_there(&database.store, async || {
            commands::promo::make_for_demo(&database.store).await
        }));
        made.await.transpose()?;
    }
    let cache_config = lockstep_cache::Config {
        redis_url: config.redis_url.clone(),
        key_prefix: config.redis_prefix.clone(),
        clock: config.clock.clone(),
        random: config.random.clone(),
        ..lockstep_cache::Config::default()
    };
    cache_config.check().context("REDIS_URL")?;
    let cache = Cache::start(database.store.clone(), cache_config).await;

    let secrets = Secrets::open(config, &database.store).await?;
    if config.accept_lost_keys {
        tracing::warn!(
            "started with --accept-lost-keys: what was sealed with a lost secret stays unreadable; leave the flag out next time"
        );
    }
    let Some(membership) = stop
        .run_until_cancelled(when_there(&database.store, async || {
            instances::join(config, &secrets, &database.store).await
        }))
        .await
        .transpose()?
    else {
        closing.close("the cache", cache.shutdown()).await;
        closing.close("the database", database.close()).await;
        return Ok(ended(&closing));
    };
    let (keys, keys_of_codes) = (secrets.keys.clone(), secrets.keys.clone());
    let shop = open_shop(config, secrets, &database.store, &cache)?;
    // An open stream of order events would delay shutdown.
    let watched = (shop.clone(), closing.doors.clone());
    tokio::spawn(async move {
        watched.1.cancelled().await;
        watched.0.close();
    });

    let mut buying = None;
    if let Some(listener) = figures {
        tasks.spawn("figures", figures::serve(listener, metrics.clone(), stop.clone()));
    }
    tasks.spawn(
        "figures of e-mails",
        figures::watch_mail(database.store.clone(), config.clock.clone(), stop.clone()),
    );
    tasks.spawn("settings", membership.keep(stop.clone()));
    tasks.spawn("log", log_dropped_lines(stop.clone()));
    tasks.spawn("database", watch_database(database.store.clone(), stop.clone()));
    let (supply_told, supply) = watch::channel(Supply::default());
    tasks.spawn(
        "supply",
        supply::keep(database.store.clone(), config.clock.clone(), supply_told, stop.clone()),
    );
    let mut supplier = None;
    if parts.work {
        let work = database.store.for_work();
        let connected = Supplier::connect(config, &work).await?;
        if connected.is_sandbox {
            tracing::warn!(
                "no G2A account is configured: buying from {}; set G2A_API_URL and the credentials to connect yours",
                connected.place
            );
        }
        let syncing = database.store.apart(pools::SYNC);
        let context = connected.context(config, &syncing);
        tasks.spawn(
            "progress",
            supply::publish(cache.clone(), context.progress(), stop.clone()),
        );
        tasks.spawn(
            "synchronisation",
            schedule::work(syncing, context, config.clock.clone(), stop.clone()),
        );
        tasks.spawn("sweeping", sweeping::keep(work.clone(), stop.clone()));
        let fulfilment = Fulfilment::open(
            work.clone(),
            connected.client.clone(),
            keys,
            &config.spool_folder(),
            lockstep_fulfilment::Settings {
                random: config.random.clone(),
                ..config.fulfilment.clone()
            },
        )
        .with_context(|| format!("cannot use the spool for keys in {}", config.spool_folder().display()))?;
        // It ends by itself at the next step at which it can yield.
        let (buyer, until) = (fulfilment.clone(), stop.clone());
        buying = Some((fulfilment, tokio::spawn(async move { buyer.run(until).await })));
        let (payments, until) = (shop.payments().with_store(work.clone()), stop.clone());
        tasks.spawn("payments", async move { payments.run(until).await });
        let sending = Sending::over(config.mail_connections);
        let random = config.random.clone();
        let codes = Arc::new(move |user| lockstep_auth::verification_code(&keys_of_codes, user, &random));
        let email_worker = EmailWorker::new(work, delivery(config)?, email_branding(config), sending, codes);
        let until = stop.clone();
        tasks.spawn("e-mail", async move { email_worker.run(until).await });
        tasks.spawn(
            "evictor",
            lockstep_cache::evictor::run(database.store.clone(), cache.clone(), stop.clone()),
        );
        supplier = Some(connected);
    }
    tasks.spawn(
        "clock",
        clock::watch(
            database.store.clone(),
            config.clock.clone(),
            supplier.as_ref().map(|supplier| supplier.client.clone()),
            stop.clone(),
        ),
    );
    if let Some(serving) = serving {
        let is_sandbox = matches!(config.supplier, ConfiguredSupplier::Sandbox);
        let (state_told, supplier_state) = watch::channel(SupplierStatus {
            state: SupplierState::Ok,
            since: config.clock.now(),
        });
        tasks.spawn(
            "supplier's state",
            supply::judge(
                database.store.clone(),
                config.clock.clone(),
                is_sandbox,
                state_told,
                stop.clone(),
            ),
        );
        let api = lockstep_api::router(ApiState {
            shop: shop.clone(),
            office: BackOffice::new(database.store.clone()),
            settings: Arc::new(lockstep_api::Settings {
                production: config.production,
                cors_origins: config.cors_origins.clone(),
                trusted_proxies: config.trusted_proxies,
                webhook_secret: config.webhook_secret.clone(),
                public_url: config.public_url.clone(),
                serves_metrics: config.metrics == Metrics::Pages,
                ..lockstep_api::Settings::default()
            }),
            metrics: Arc::new(move || metrics.render()),
            supplier: supplier_state,
            closing: stop.clone(),
        });
        let web = lockstep_web::router(lockstep_web::Parts {
            shop,
            supply,
            settings: lockstep_web::Settings {
                production: config.production,
                shop_name: config.shop_name.clone(),
                operator: config.operator.clone(),
                public_url: config.public_url.clone(),
                sandbox: is_sandbox,
                pictures: lockstep_web::PictureSettings {
                    folder: config.data_dir.join("pictures"),
                    most_bytes: PICTURE_BYTES,
                    trusts_private_addresses: false,
                },
                trusted_proxies: config.trusted_proxies,
            },
        });
        gate.open(api.merge(web));
        tracing::info!(
            "the store is open at {} (API: {}/api/docs/)",
            config.public_url,
            config.public_url
        );
        let serving = async {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the HTTP server task failed");
            }
        };
        closing
            .bound(serving, || {
                format!("{} connection(s) with a request", connections.len())
            })
            .await;
    } else {
        tracing::info!("working on {}", database.place);
        stop.cancelled().await;
    }

    closing.begin();
    closing.bound(tasks.wait(), || tasks.names()).await;
    if let Some((fulfilment, running)) = buying {
        let ended = async {
            if let Err(error) = running.await {
                tracing::error!(%error, "the fulfilment task failed");
            }
        };
        let what = || {
            let now = fulfilment.under_way();
            format!(
                "buying (units in progress: {}, keys being read: {})",
                now.units, now.keys
            )
        };
        closing.bound(ended, what).await;
    }
    closing.close("the cache", cache.shutdown()).await;
    if let Some(supplier) = supplier {
        closing.close("the sandbox", supplier.close()).await;
    }
    closing.close("the database", database.close()).await;
    signals.abort();
    Ok(ended(&closing))
}

fn ended(closing: &Shutdown) -> ExitCode {
    if closing.was_cut() {
        return ExitCode::FAILURE;
    }
    tracing::info!("closed");
    ExitCode::SUCCESS
}

/// The use cases of shoppers on this database.
fn open_shop(config: &Config, secrets: Secrets, store: &Store, cache: &Cache) -> Result<Shop> {
    let keys = secrets.keys.clone();
    let payments = payments(config, store, &keys)?;
    let auth = accounts::open_with(config, store, secrets, HashSettings::default())?;
    Ok(Shop::new(lockstep_shop::Parts {
        store: store.clone(),
        cache: cache.clone(),
        auth,
        keys,
        payments,
        cart_limits: config.cart_limits,
        protected_markup: (!config.promo_below_cost).then_some(config.pricing.markup_percent),
        clock: config.clock.clone(),
        random: config.random.clone(),
    }))
}

/// The payment service.
fn payments(config: &Config, store: &Store, keys: &Keys) -> Result<Payments> {
    let settings = &config.payments;
    let provider: Option<Box<dyn Provider>> = match &settings.provider {
        PaymentProvider::Stripe {
            api_url,
            secret_key,
            webhook_secrets,
        } => Some(Box::new(Stripe::new(StripeConfig {
            api_url: api_url.clone(),
            secret_key: secret_key.clone(),
            webhook_secrets: webhook_secrets.clone(),
            product: format!("Balance at {}", config.shop_name),
            return_url: settings.return_url.clone(),
            timeout: PROVIDER_TIMEOUT,
        })?)),
        PaymentProvider::Test => {
            tracing::warn!("no payment provider is configured: top-ups are paid on a test page, no money moves");
            // All processes of a store have the same key, and so the same secret.
            let secret = hex::encode(keys.hash("payments.test", &[]));
            Some(Box::new(TestProvider::new(
                Secret::new(secret),
                format!("{}/test-payment", config.public_url),
                settings.return_url.clone(),
                config.clock.clone(),
                config.random.clone(),
            )))
        }
        PaymentProvider::None => {
            tracing::warn!("no payment provider is configured: top-ups are disabled; set STRIPE_SECRET_KEY");
            None
        }
    };
    let relay = (!settings.relay_secrets.is_empty()).then(|| Relay {
        secrets: settings.relay_secrets.clone(),
    });
    Ok(Payments::new(store.clone(), provider, relay, Limits::default()))
}

/// Where e-mails go: to the mail server, or into the data folder.
fn delivery(config: &Config) -> Result<EmailTransport> {
    let weakness = (config.smtp_url.as_deref())
        .and_then(|url| SmtpAddress::parse(url).ok())
        .and_then(|address| address.weakness());
    if let Some(weakness) = weakness.filter(|_| config.production) {
        tracing::warn!("SMTP_URL: {weakness}");
    }
    Ok(match &config.smtp_url {
        Some(url) => EmailTransport::smtp(url, &config.mail_from, config.mail_connections)?,
        None => EmailTransport::folder(config.data_dir.join("mail"), &config.mail_from)?,
    })
}

fn email_branding(config: &Config) -> EmailBranding {
    EmailBranding {
        shop: config.shop_name.clone(),
        public_url: config.public_url.clone(),
    }
}

/// Periodically folds recorded samples into the histograms; without it they would accumulate until the next scrape.
async fn keep_metrics_small(metrics: PrometheusHandle, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(5));
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        metrics.run_upkeep();
    }
}

/// Periodically logs how many lines of the log were dropped.
async fn log_dropped_lines(stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        logging::tell_dropped();
    }
}

/// Periodically checks that the database accepts writes, so that the log and the metric report an outage without a
/// request to `/readyz`, and connections are renewed as soon as it recovers.
async fn watch_database(store: Store, stop: CancellationToken) {
    let mut every = tokio::time::interval(DATABASE_WATCH);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        let asked = stop.run_until_cancelled(tokio::time::timeout(DATABASE_PATIENCE, store.ping()));
        let Some(asked) = asked.await else { break };
        let writable = matches!(asked, Ok(Ok(())));
        metrics::gauge!("lockstep_database_writable").set(if writable { 1.0 } else { 0.0 });
    }
}

/// Migrates the schema, waiting for a database that is not available yet.
async fn migrate_when_there(database: &Database) -> Result<()> {
    if database.is_private() {
        return database.migrate().await.map(drop);
    }
    when_there(&database.store, async || database.migrate().await.map(drop)).await
}
