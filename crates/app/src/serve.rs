//! `lockstep serve` and its halves `web` and `worker`: opens everything in order, runs until SIGINT or SIGTERM, and
//! closes everything in reverse order.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lockstep_admin::{BackOffice, FixedServer, KeyService, Mailing, ReplacementBudget, TimeZone, WebhookSettings};
use lockstep_api::{ApiState, SupplierState, SupplierStatus, WebhookTally};
use lockstep_auth::password::HashSettings;
use lockstep_cache::Cache;
use lockstep_console::DemoLink;
use lockstep_domain::account::Email;
use lockstep_domain::staff::StaffRole;
use lockstep_fulfilment::Fulfilment;
use lockstep_mail::{ActiveServer, Delivery, EmailBranding, EmailTransport, EmailWorker, Sending, SmtpAddress};
use lockstep_shop::Shop;
use lockstep_store::accounts::{AccountError, staff};
use lockstep_store::{Store, pools};
use lockstep_vat::Vies;
use lockstep_web::Supply;
use lockstep_webhooks::{Sender, Webhooks};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::DEMO_OWNER;
use crate::commands;
use crate::config::{Config, Metrics, Supplier as ConfiguredSupplier};
use crate::database::{Database, Use, demand_store};
use crate::operation::Own;
use crate::output::Output;
use crate::payments::CardSandbox;
use crate::secrets::Secrets;
use crate::shutdown::{Shutdown, Tasks};
use crate::starting::when_there;
use crate::startup_gate::StartupGate;
use crate::supplier::accounts::Follower;
use crate::supplier::{Access, Supplier};
use crate::supplier_calls::Counted;
use crate::{
    accounts, clock, figures, instances, listen, logging, payments, schedule, supplier, supplier_calls, supply,
    sweeping, verifying,
};

/// The parts of the store that this process runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    /// Pages and API.
    pub(crate) web: bool,
    /// Synchronisation, stock checks, cache upkeep.
    pub(crate) work: bool,
}

/// Approximate maximum size of the picture cache in the data folder, in bytes.
const PICTURE_BYTES: u64 = 1024 * 1024 * 1024;

/// For how long the link of a demo's owner is good.
const DEMO_LINK: chrono::TimeDelta = chrono::TimeDelta::hours(1);

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
    if config.production {
        let ended = stop.run_until_cancelled(when_there(&database.store, async || {
            end_demo_owner(&database.store).await
        }));
        ended.await.transpose()?;
    }
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
    let Some(time_zone) = stop
        .run_until_cancelled(when_there(&database.store, async || {
            time_zone(config, &database.store).await
        }))
        .await
        .transpose()?
    else {
        closing.close("the cache", cache.shutdown()).await;
        closing.close("the database", database.close()).await;
        return Ok(ended(&closing));
    };
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
    let (keys, keys_of_codes, keys_of_staff) = (secrets.keys.clone(), secrets.keys.clone(), secrets.keys.clone());
    let card_sandbox = CardSandbox::open(config, &keys).await?;
    let shop = open_shop(config, secrets, &database.store, &cache, card_sandbox.as_ref())?;
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
        figures::watch_mail(
            database.store.clone(),
            delivery(config, &database.store)?,
            config.clock.clone(),
            stop.clone(),
        ),
    );
    tasks.spawn(
        "figures of webhooks",
        figures::watch_webhooks(database.store.clone(), stop.clone()),
    );
    tasks.spawn("settings", membership.keep(stop.clone()));
    tasks.spawn("log", log_dropped_lines(stop.clone()));
    tasks.spawn("database", watch_database(database.store.clone(), stop.clone()));
    let (supply_told, supply) = watch::channel(Supply::default());
    tasks.spawn(
        "supply",
        supply::keep(database.store.clone(), config.clock.clone(), supply_told, stop.clone()),
    );
    let (process, webhooks) = (uuid::Uuid::now_v7(), Arc::<WebhookTally>::default());
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
        let context = Arc::new(connected.context(config, &syncing));
        tasks.spawn(
            "progress",
            supply::publish(cache.clone(), context.progress(), stop.clone()),
        );
        tasks.spawn(
            "synchronisation",
            schedule::work(syncing, Arc::clone(&context), config.clock.clone(), stop.clone()),
        );
        let (pricing, until) = (Arc::clone(&context), stop.clone());
        tasks.spawn("prices", async move {
            lockstep_sync::prices::work(&pricing, &until).await;
        });
        let (news, until) = (cache.news(), stop.clone());
        tasks.spawn("jobs of staff", async move {
            let intervals = lockstep_sync::jobs::Intervals::default();
            lockstep_sync::jobs::work(&context, process, news, &intervals, &until).await;
        });
        tasks.spawn("sweeping", sweeping::keep(work.clone(), stop.clone()));
        tasks.spawn(
            "verification",
            verifying::keep(work.clone(), keys.clone(), config.random.clone(), stop.clone()),
        );
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
        let clock = config.clock.clone();
        tasks.spawn("payments", async move { Box::pin(payments.run(clock, until)).await });
        let sending = Sending::over(config.mail_connections);
        let random = config.random.clone();
        let codes = Arc::new(move |user| lockstep_auth::verification_code(&keys_of_codes, user, &random));
        warn_of_open_mail(config);
        let delivery = delivery(config, &work)?;
        let email_worker = EmailWorker::new(work, delivery, email_branding(config), sending, codes)
            .with_name_of_settings(config.shop_name_is_set);
        let until = stop.clone();
        tasks.spawn("e-mail", async move { email_worker.run(until).await });
        let sender = Sender::new(config.webhook_addresses, config.clock.clone())?;
        let webhooks = Webhooks::new(database.store.for_work(), sender, config.random.clone());
        let until = stop.clone();
        tasks.spawn("webhooks", async move { webhooks.run(until).await });
        tasks.spawn(
            "evictor",
            lockstep_cache::evictor::run(database.store.clone(), cache.clone(), stop.clone()),
        );
        supplier = Some(connected);
    }
    let followed = (supplier.as_ref()).map(|supplier: &Supplier| (supplier.client.clone(), supplier.url.clone()));
    let (follower, event_secrets) = Follower::new(config, database.store.clone(), followed);
    tasks.spawn("accounts at G2A", follower.keep(stop.clone()));
    let counted = Counted {
        process,
        client: (supplier.as_ref()).map(|supplier: &Supplier| (supplier.client.clone(), supplier.limits)),
        webhooks: Arc::clone(&webhooks),
    };
    tasks.spawn(
        "calls to the supplier",
        supplier_calls::keep(database.store.clone(), counted, stop.clone()),
    );
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
        let emails = lockstep_fulfilment::email_settings(&keys_of_staff, config.fulfilment.keys_in_emails);
        let key_service =
            KeyService::new(keys_of_staff, emails, shop.auth().limits().clone()).with_budget(ReplacementBudget {
                a_day: config.replacement_budget,
                allowed_loss: config.fulfilment.allowed_loss,
            });
        let office = BackOffice::new(database.store.clone(), key_service)
            .with_mailing(mailing(config)?)
            .with_news(shop.cache().news())
            .with_time_zone(time_zone)
            .with_shop_name(config.shop_name_is_set.then(|| config.shop_name.clone()))
            .with_pricing(config.pricing)
            .with_random(config.random.clone())
            .with_cards(shop.payments().card_providers())
            .with_supplier(Arc::new(Access::new(
                config,
                supplier::limits(config)?,
                database.store.clone(),
            )))
            .with_webhooks(WebhookSettings {
                addresses: config.webhook_addresses,
                random: config.random.clone(),
            })
            .with_operation(Arc::new(Own::new(config, &database, stop.clone())));
        let (demo, enter) = demo_link(config).unzip();
        let console = lockstep_console::router(lockstep_console::Parts {
            shop: shop.clone(),
            office: office.clone(),
            settings: lockstep_console::Settings {
                production: config.production,
                shop_name: config.shop_name.clone(),
                shop_name_is_set: config.shop_name_is_set,
                public_url: config.public_url.clone(),
                sandbox: is_sandbox,
                trusted_proxies: config.trusted_proxies,
                path: config.console_path,
            },
            demo,
        });
        let api = lockstep_api::router(ApiState {
            shop: shop.clone(),
            office,
            settings: Arc::new(lockstep_api::Settings {
                production: config.production,
                cors_origins: config.cors_origins.clone(),
                trusted_proxies: config.trusted_proxies,
                public_url: config.public_url.clone(),
                serves_metrics: config.metrics == Metrics::Pages,
                ..lockstep_api::Settings::default()
            }),
            metrics: Arc::new(move || metrics.render()),
            webhooks: Arc::clone(&webhooks),
            event_secrets: Some(event_secrets),
            supplier: supplier_state,
            closing: stop.clone(),
        });
        let web = lockstep_web::router(lockstep_web::Parts {
            shop,
            supply,
            settings: lockstep_web::Settings {
                production: config.production,
                shop_name: config.shop_name.clone(),
                shop_name_is_set: config.shop_name_is_set,
                operator: config.operator.clone(),
                public_url: config.public_url.clone(),
                sandbox: is_sandbox,
                pictures: lockstep_web::PictureSettings {
                    folder: config.data_dir.join("pictures"),
                    most_bytes: PICTURE_BYTES,
                    trusts_private_addresses: false,
                },
                feeds: lockstep_web::FeedSettings {
                    folder: config.data_dir.join("feeds"),
                    secret: config.feed_secret.clone(),
                },
                front: config.front.clone(),
                console: config.console_path.as_str(),
                trusted_proxies: config.trusted_proxies,
            },
        });
        let mut router = api.merge(console).merge(web);
        if let Some(header) = config.vat.country_header.clone() {
            router = router.layer(axum::middleware::map_request(
                move |mut request: axum::extract::Request| {
                    lockstep_request::note_country(&mut request, &header);
                    std::future::ready(request)
                },
            ));
        }
        gate.open(router);
        tracing::info!(
            "the store is open at {} (API: {}/api/docs/, console of staff: {})",
            config.public_url,
            config.public_url,
            config.console_url()
        );
        if let Some(enter) = enter {
            // On the terminal only, not in the log: whoever has it is the demo's owner.
            Output::line(&format!(
                "Open the console as the owner of this demo (once, within an hour): {enter}"
            ))?;
        }
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
    if let Some(card_sandbox) = card_sandbox {
        card_sandbox.close();
    }
    closing.close("the database", database.close()).await;
    signals.abort();
    Ok(ended(&closing))
}

/// Takes the role of a demo's owner away, whose password whoever saw the link may know: in production nobody enters by it.
/// `lockstep doctor` names the account if it is the only owner.
async fn end_demo_owner(store: &Store) -> Result<()> {
    match staff::assign_role(store, DEMO_OWNER, &StaffRole::None, &lockstep_fulfilment::machine()).await {
        Err(AccountError::Store(error)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// The link that signs the owner of a demo in, and its address: once, within an hour, only where nothing is sold.
fn demo_link(config: &Config) -> Option<(DemoLink, String)> {
    if !config.has_demo_link() {
        return None;
    }
    let token = hex::encode(config.random.bytes::<32>());
    let address = format!("{}/enter/{token}", config.console_url());
    let email = Email::parse(DEMO_OWNER).ok()?;
    let until = config.clock.now() + DEMO_LINK;
    Some((
        DemoLink::new(token, email, lockstep_fulfilment::machine(), until),
        address,
    ))
}

fn ended(closing: &Shutdown) -> ExitCode {
    if closing.was_cut() {
        return ExitCode::FAILURE;
    }
    tracing::info!("closed");
    ExitCode::SUCCESS
}

/// The use cases of shoppers on this database.
fn open_shop(
    config: &Config,
    secrets: Secrets,
    store: &Store,
    cache: &Cache,
    card_sandbox: Option<&CardSandbox>,
) -> Result<Shop> {
    let keys = secrets.keys.clone();
    let payments = payments::open(config, store, &keys, card_sandbox)?;
    let auth = accounts::open_with(config, store, secrets, HashSettings::default())?;
    Ok(Shop::new(lockstep_shop::Parts {
        store: store.clone(),
        cache: cache.clone(),
        auth,
        keys,
        payments,
        cart_limits: config.cart_limits,
        protected_markup: (!config.promo_below_cost).then_some(config.pricing.markup_percent),
        consent: config.consent,
        duties: config.duties.clone(),
        vies: config.vat.vies.as_ref().map(Vies::new).transpose()?,
        clock: config.clock.clone(),
        random: config.random.clone(),
    }))
}

/// Where e-mails go: to the mail server of `SMTP_URL`, or to the one that staff have made the active one.
fn delivery(config: &Config, store: &Store) -> Result<Delivery> {
    Ok(match &config.smtp_url {
        Some(url) => EmailTransport::smtp(url, &config.mail_from, config.mail_connections)?.into(),
        None => Delivery::Chosen(Box::new(ActiveServer::new(
            store.clone(),
            mail_folder(config)?,
            config.mail_connections,
        ))),
    })
}

/// Says what an eavesdropper could learn of e-mails.
fn warn_of_open_mail(config: &Config) {
    let address = config.smtp_url.as_deref().and_then(|url| SmtpAddress::parse(url).ok());
    let Some((address, weakness)) = address.and_then(|address| address.weakness().map(|weakness| (address, weakness)))
    else {
        return;
    };
    if config.production || address.exposes_password() {
        tracing::warn!("SMTP_URL: {weakness}");
    }
}

/// Where e-mails go while there is no mail server: in production they wait.
fn mail_folder(config: &Config) -> Result<Option<EmailTransport>> {
    if config.production {
        return Ok(None);
    }
    let folder = config.data_dir.join("mail");
    Ok(Some(EmailTransport::folder(folder, &config.mail_from)?))
}

/// The e-mail settings of this process, for staff.
fn mailing(config: &Config) -> Result<Mailing> {
    let fixed = config.smtp_url.as_deref().map(|url| {
        anyhow::Ok(FixedServer {
            address: SmtpAddress::parse(url)?,
            transport: EmailTransport::smtp(url, &config.mail_from, 1)?,
        })
    });
    let (head, now) = (email_branding(config), config.clock.now());
    Ok(Mailing::new(head, fixed.transpose()?, mail_folder(config)?, now))
}

fn email_branding(config: &Config) -> EmailBranding {
    EmailBranding {
        shop: config.shop_name.clone(),
        front_url: config.front_url.clone(),
        public_url: config.public_url.clone(),
        logo: None,
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

/// The shop's time zone, which has to be one that the database knows.
async fn time_zone(config: &Config, store: &Store) -> Result<TimeZone> {
    let name = &config.time_zone;
    let found = TimeZone::find(store, name).await?;
    found.with_context(|| format!("LOCKSTEP_TIME_ZONE is {name:?}; it has to be a time zone, such as Europe/Berlin"))
}

/// Migrates the schema, waiting for a database that is not available yet.
async fn migrate_when_there(database: &Database) -> Result<()> {
    if database.is_private() {
        return database.migrate().await.map(drop);
    }
    when_there(&database.store, async || database.migrate().await.map(drop)).await
}
