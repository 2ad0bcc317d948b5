//! The servers of a run, all private to it and removed afterwards: a PostgreSQL with the settings of an unconfigured
//! installation (no durability is traded for speed), and HTTP servers in their own processes, so that their cost can be
//! read from the system's process accounting.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::header;
use lockstep_api::{ApiState, SupplierState, SupplierStatus};
use lockstep_auth::{Auth, Keys, TokenSecrets};
use lockstep_cache::Cache;
use lockstep_clock::{Clock, Random};
use lockstep_domain::cart::CartLimits;
use lockstep_domain::consent::ConsentMode;
use lockstep_domain::law::Duties;
use lockstep_embedded_postgres::Postgres;
use lockstep_shop::Shop;
use lockstep_store::{Options, Store};
use lockstep_testkit::sqlx::postgres::PgConnectOptions;
use lockstep_testkit::sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgPool};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The run's PostgreSQL. Dropping it stops the server and removes its data.
#[derive(Debug)]
pub(crate) struct Cluster {
    postgres: Option<Postgres>,
    folder: PathBuf,
}

impl Cluster {
    /// Starts it with the programs of `LOCKSTEP_BENCH_PG_BIN`, or else those found or fetched.
    pub(crate) fn start() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("lockstep-bench-{}", std::process::id()));
        let options = lockstep_embedded_postgres::Options {
            bin_dir: std::env::var_os("LOCKSTEP_BENCH_PG_BIN").map(PathBuf::from),
            ..lockstep_embedded_postgres::Options::new(&folder)
        };
        Ok(Self {
            postgres: Some(Postgres::start(&options).context("starting a PostgreSQL")?),
            folder,
        })
    }

    /// Processor time that PostgreSQL has used so far, in steps of 10 ms. Unlike elapsed time it does not grow while
    /// other programs use the processors.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let postgres = self.postgres.as_ref().context("PostgreSQL has ended")?;
        let told = std::fs::read_to_string(postgres.cluster().join("postmaster.pid"))?;
        let parent: u32 = told.lines().next().context("postmaster.pid")?.trim().parse()?;
        // Its own, that of its exited children, and that of its running ones.
        let mut ticks: u64 = account(parent)?.get(11..15).unwrap_or_default().iter().sum();
        for entry in std::fs::read_dir("/proc")? {
            let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // One that exits meanwhile has no account any more.
            if let Ok(fields) = account(process)
                && fields.get(1) == Some(&u64::from(parent))
            {
                ticks += fields.get(11..13).unwrap_or_default().iter().sum::<u64>();
            }
        }
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Creates a database with the schema and no rows.
    pub(crate) async fn database(&self, name: &str) -> Result<Database> {
        let postgres = self.postgres.as_ref().context("PostgreSQL has ended")?;
        let server = postgres.superuser_connection_string();
        let admin = PgPool::connect(&server).await?;
        admin
            .execute(AssertSqlSafe(format!("drop database if exists {name} with (force)")))
            .await?;
        admin.execute(AssertSqlSafe(format!("create database {name}"))).await?;
        admin.close().await;
        // The URL names the administrators' database; ours differs in the name only.
        let address: PgConnectOptions = server.parse()?;
        let url = address.database(name).to_url_lossy().to_string();
        let store = store(&url)?;
        store.migrate().await?;
        Ok(Database {
            sql: PgPool::connect(&url).await?,
            store,
            url,
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.postgres.take());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// One database of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    /// The product's access to it.
    pub(crate) store: Store,
    /// Plain SQL, as `psql` would send it.
    pub(crate) sql: PgPool,
    pub(crate) url: String,
}

/// A store with the product's own settings.
pub(crate) fn store(url: &str) -> Result<Store> {
    Ok(Store::new(url, &Options::default())?)
}

/// The role of a separate server process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Serves files from memory: the reference.
    Bare {
        /// Each path with the file whose bytes are its response.
        routes: Vec<(String, PathBuf)>,
    },
    /// Serves the product's API on a database.
    Api {
        /// URL of the database.
        database: String,
        /// Size of the in-process cache in bytes; 0 means that every response is read from PostgreSQL.
        l1_bytes: u64,
    },
}

/// A server in its own process. Dropping it terminates the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts this program once more in another role.
    pub(crate) async fn start(role: &Role) -> Result<Self> {
        let role = serde_json::to_string(role)?;
        tokio::task::spawn_blocking(move || {
            let mut child = Command::new(std::env::current_exe()?)
                .args(["--role", &role])
                // It terminates when this is closed, however this process ends.
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .context("starting a server")?;
            let mut line = String::new();
            let told = child.stdout.take().context("no output")?;
            BufReader::new(told).read_line(&mut line)?;
            let address = line.trim().parse();
            let mut server = Self {
                child,
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
            };
            server.address = address.context("the server did not start")?;
            Ok(server)
        })
        .await?
    }

    /// Processor time used so far by all its threads, in steps of 10 ms.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let ticks: u64 = account(self.child.id())?.get(11..13).unwrap_or_default().iter().sum();
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Server {
    /// The most memory that it has had so far, in mebibytes.
    pub(crate) fn most_memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes: u32 = line
            .and_then(|line| line.split_whitespace().next())
            .context("VmHWM")?
            .parse()?;
        Ok(f64::from(kibibytes) / 1024.0)
    }
}

/// The system's account of a process: the fields of proc(5) from the third on, non-numeric ones as 0. Times are in the
/// ticks of that interface, 100 per second.
fn account(process: u32) -> Result<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // After the name, which is in brackets and may contain anything.
    let (_, fields) = text.rsplit_once(')').context("/proc/PID/stat")?;
    Ok(fields
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect())
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the role in the other process: serves until standard input is closed.
#[expect(clippy::print_stdout, reason = "tells the process that started it where it listens")]
pub(crate) async fn play(role: Role) -> Result<()> {
    let metrics = PrometheusBuilder::new().install_recorder()?;
    let router = match role {
        Role::Bare { routes } => {
            let mut router = Router::new();
            for (path, file) in routes {
                let body = Bytes::from(std::fs::read(&file)?);
                let handler = move || {
                    let body = body.clone();
                    async move { ([(header::CONTENT_TYPE, "application/json")], body) }
                };
                router = router.route(&path, get(handler));
            }
            router
        }
        Role::Api { database, l1_bytes } => {
            let store = store(&database)?;
            let config = lockstep_cache::Config {
                l1_bytes,
                ..lockstep_cache::Config::default()
            };
            let cache = Cache::start(store.clone(), config).await;
            api(store, cache, Arc::new(move || metrics.render()))?
        }
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    let closed = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    axum::serve(listener, router)
        .with_graceful_shutdown(async {
            drop(closed.await);
        })
        .await?;
    Ok(())
}

/// The product's API and pages, assembled as in `lockstep serve`.
pub(crate) fn api(store: Store, cache: Cache, metrics: Arc<dyn Fn() -> String + Send + Sync>) -> Result<Router> {
    let shop = shop(store.clone(), cache)?;
    let (_, supplier) = watch::channel(SupplierStatus {
        state: SupplierState::Sandbox,
        since: chrono::Utc::now(),
    });
    let (_, supply) = watch::channel(lockstep_web::Supply {
        checked_at: Some(chrono::Utc::now()),
        ..lockstep_web::Supply::default()
    });
    let pages = lockstep_web::router(lockstep_web::Parts {
        shop: shop.clone(),
        supply,
        settings: lockstep_web::Settings {
            production: true,
            shop_name: "Lockstep".to_owned(),
            shop_name_is_set: false,
            operator: lockstep_web::Operator::default(),
            public_url: "https://shop.example".to_owned(),
            sandbox: false,
            front: None,
            console: "/admin",
            trusted_proxies: 0,
            pictures: lockstep_web::PictureSettings {
                folder: std::env::temp_dir().join("lockstep-bench-pictures"),
                most_bytes: 0,
                trusts_private_addresses: false,
            },
            feeds: lockstep_web::FeedSettings {
                folder: std::env::temp_dir().join("lockstep-bench-feeds"),
                secret: None,
            },
        },
    });
    let limits = shop.auth().limits().clone();
    let key_service = lockstep_admin::KeyService::new(keys()?, lockstep_admin::EmailSettings::default(), limits);
    let api = lockstep_api::router(ApiState {
        shop,
        office: lockstep_admin::BackOffice::new(store, key_service),
        settings: Arc::new(lockstep_api::Settings::default()),
        metrics,
        webhooks: Arc::default(),
        supplier,
        event_secrets: None,
        closing: tokio_util::sync::CancellationToken::new(),
    });
    Ok(api.merge(pages))
}

/// The product's services, assembled as in `lockstep serve`.
pub(crate) fn shop(store: Store, cache: Cache) -> Result<Shop> {
    let secrets = TokenSecrets::new(&"a".repeat(32), &"b".repeat(32))?;
    let keys = keys()?;
    let accounts = lockstep_auth::Settings {
        // All clients of a run have the same IP address.
        limits: false,
        ..lockstep_auth::Settings::new(secrets, keys.clone())
    };
    Ok(Shop::new(lockstep_shop::Parts {
        auth: Auth::start(store.clone(), accounts)?,
        payments: lockstep_payments::Payments::new(store.clone(), None, None, lockstep_payments::Limits::default()),
        store,
        cache,
        keys,
        protected_markup: None,
        consent: ConsentMode::Development,
        duties: Duties::default(),
        vies: None,
        cart_limits: CartLimits::default(),
        clock: Clock::system(),
        random: Random::system(),
    }))
}

/// The keys that seal game keys in a run.
pub(crate) fn keys() -> Result<Keys> {
    Ok(Keys::parse(&"11".repeat(32))?)
}
