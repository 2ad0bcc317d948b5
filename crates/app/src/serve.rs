//! `lockstep serve` and its halves `web` and `worker`: opens everything in order, runs until told to stop, and closes
//! everything in the opposite order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use chrono::Utc;
use lockstep_api::{ApiState, SupplierState, SupplierStatus};
use lockstep_cache::Cache;
use lockstep_store::StoreError;
use lockstep_web::{Supply, WebState};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Supplier as ConfiguredSupplier};
use crate::database::{Database, Use};
use crate::supplier::Supplier;
use crate::{schedule, supply};

/// Which half of the store this process is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    /// Pages and API.
    pub(crate) web: bool,
    /// Synchronisation, stock checks, cache upkeep.
    pub(crate) work: bool,
}

/// Requests and work under way get so long to end after the first signal.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often a database that is not there yet is asked again at start.
const RETRY: Duration = Duration::from_secs(2);

/// Runs the store until SIGINT or SIGTERM.
pub(crate) async fn run(config: &Config, parts: Parts) -> Result<()> {
    // Listening comes first: an address that is taken should not cost the start of a database.
    let listener = if parts.web {
        let listener = tokio::net::TcpListener::bind(config.bind).await;
        Some(
            listener
                .with_context(|| format!("cannot listen on {}; choose another address with --bind", config.bind))?,
        )
    } else {
        None
    };
    let metrics = PrometheusBuilder::new().install_recorder().context("metrics")?;
    let stop = CancellationToken::new();
    let signals = tokio::spawn(watch_signals(stop.clone()));

    let database = Database::open(config, Use::Own).await?;
    let Some(()) = stop
        .run_until_cancelled(migrate_when_there(&database))
        .await
        .transpose()?
    else {
        database.close().await;
        return Ok(());
    };
    let cache_config = lockstep_cache::Config {
        redis_url: config.redis_url.clone(),
        key_prefix: config.redis_prefix.clone(),
        ..lockstep_cache::Config::default()
    };
    cache_config.check().context("REDIS_URL")?;
    let cache = Cache::start(database.store.clone(), cache_config).await;

    let tasks = TaskTracker::new();
    let (supply_told, supply) = watch::channel(Supply::default());
    tasks.spawn(supply::keep(database.store.clone(), supply_told, stop.clone()));
    let mut supplier = None;
    if parts.work {
        let connected = Supplier::connect(config, &database.store).await?;
        if connected.is_sandbox {
            tracing::warn!(
                "no G2A account is configured: buying from {}; set G2A_API_URL and the credentials to connect yours",
                connected.place
            );
        }
        let context = connected.context(config, &database.store);
        tasks.spawn(schedule::work(database.store.clone(), context, stop.clone()));
        tasks.spawn(lockstep_relay::run(database.store.clone(), cache.clone(), stop.clone()));
        supplier = Some(connected);
    }
    if let Some(listener) = listener {
        let is_sandbox = matches!(config.supplier, ConfiguredSupplier::Sandbox);
        let (state_told, supplier_state) = watch::channel(SupplierStatus {
            state: SupplierState::Ok,
            since: Utc::now(),
        });
        tasks.spawn(supply::judge(
            database.store.clone(),
            is_sandbox,
            state_told,
            stop.clone(),
        ));
        let api = lockstep_api::router(ApiState {
            cache: cache.clone(),
            store: database.store.clone(),
            settings: Arc::new(lockstep_api::Settings {
                production: config.production,
                cors_origins: config.cors_origins.clone(),
                ..lockstep_api::Settings::default()
            }),
            metrics: Arc::new(move || metrics.render()),
            supplier: supplier_state,
        });
        let web = lockstep_web::router(WebState {
            cache: cache.clone(),
            supply,
            sandbox: is_sandbox,
        });
        tracing::info!(
            "the store is open at {} (API: {}/api/docs/)",
            config.public_url,
            config.public_url
        );
        let serving = axum::serve(listener, api.merge(web)).with_graceful_shutdown(stop.clone().cancelled_owned());
        // A connection that stays open must not keep the store from closing.
        let deadline = async {
            stop.cancelled().await;
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::select! {
            served = serving => served.context("serving")?,
            () = deadline => tracing::warn!("requests were still under way after {} s and are cut", PATIENCE.as_secs()),
        }
    } else {
        tracing::info!("working on {}", database.place);
        stop.cancelled().await;
    }

    stop.cancel();
    tasks.close();
    if tokio::time::timeout(PATIENCE, tasks.wait()).await.is_err() {
        tracing::warn!(
            "work was still under way after {} s and is cut; it is taken up again at the next start",
            PATIENCE.as_secs()
        );
    }
    cache.shutdown().await;
    if let Some(supplier) = supplier {
        supplier.close().await;
    }
    database.close().await;
    signals.abort();
    tracing::info!("closed");
    Ok(())
}

/// Brings the schema up to date, waiting for a database that is not there yet.
async fn migrate_when_there(database: &Database) -> Result<()> {
    let mut told = false;
    loop {
        match database.migrate().await {
            Err(error)
                if matches!(error.downcast_ref(), Some(StoreError::Unavailable(_))) && !database.is_private() =>
            {
                if !told {
                    tracing::warn!("the database does not answer yet; waiting for it: {:#}", error);
                    told = true;
                }
                tokio::time::sleep(RETRY).await;
            }
            result => return result,
        }
    }
}

/// The first signal asks for an orderly end, the second ends at once.
async fn watch_signals(stop: CancellationToken) {
    if let Err(error) = told_to_stop().await {
        tracing::warn!("cannot listen for signals: {error:#}");
        return;
    }
    tracing::info!("closing; press Ctrl-C again to stop at once");
    stop.cancel();
    if told_to_stop().await.is_ok() {
        tracing::warn!("stopped at once");
        #[expect(clippy::exit, reason = "a person asked twice")]
        std::process::exit(1);
    }
}

/// Waits for SIGINT or SIGTERM.
pub(crate) async fn told_to_stop() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(|error| anyhow!(error).context("signals")),
        _ = terminate.recv() => Ok(()),
    }
}
