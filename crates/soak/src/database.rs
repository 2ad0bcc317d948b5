//! The PostgreSQL server for fault injection: stopped, killed, frozen, read-only, out of disk space, clock stepped.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lockstep_embedded_postgres::{Options, Postgres};
use lockstep_testkit::sqlx;
use rustix::process::{Pid, Signal};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection, PgPool};

use crate::process;

/// The run's PostgreSQL. Dropping it stops the server.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    options: Options,
    server: Arc<Mutex<Option<Postgres>>>,
    cluster: PathBuf,
    /// The URL for the shop.
    pub(crate) url: String,
    superuser: PgConnectOptions,
    /// Plain SQL as the superuser, for checks and faults.
    pub(crate) sql: PgPool,
    /// The file with the offset of the server's clock, if there is one.
    clock: Option<PathBuf>,
}

impl Database {
    /// Starts a server in `folder` with the product's own settings (no durability is traded for speed).
    pub(crate) async fn start(folder: &Path, bin: Option<&Path>, clock: Option<PathBuf>) -> Result<Self> {
        let options = Options {
            bin_dir: bin.map(Path::to_path_buf),
            max_connections: 200,
            ..Options::new(folder)
        };
        let starting = options.clone();
        let server = tokio::task::spawn_blocking(move || Postgres::start(&starting)).await??;
        let superuser: PgConnectOptions = server.superuser_connection_string().parse()?;
        let superuser = superuser.database("lockstep");
        let sql = PgPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(superuser.clone());
        Ok(Self {
            url: server.connection_string(),
            cluster: server.cluster().to_path_buf(),
            server: Arc::new(Mutex::new(Some(server))),
            options,
            superuser,
            sql,
            clock,
        })
    }

    /// Opens a connection outside the pool.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        Ok(tokio::time::timeout(Duration::from_secs(5), self.superuser.connect()).await??)
    }

    /// Runs statements as the superuser.
    pub(crate) async fn execute(&self, statements: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        let running = connection.execute(AssertSqlSafe(statements.to_owned()));
        tokio::time::timeout(Duration::from_secs(10), running).await??;
        Ok(())
    }

    /// Queries one number; an error when the database does not respond soon.
    pub(crate) async fn number(&self, question: &str) -> Result<i64> {
        let asked = sqlx::query_scalar(AssertSqlSafe(question.to_owned())).fetch_one(&self.sql);
        Ok(tokio::time::timeout(Duration::from_secs(5), asked).await??)
    }

    /// Waits until it responds.
    pub(crate) async fn answers(&self, patience: Duration) -> Result<()> {
        let waiting = async {
            loop {
                if let Ok(mut connection) = self.connect().await
                    && let Ok(Ok(_)) =
                        tokio::time::timeout(Duration::from_secs(2), connection.execute("select 1")).await
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(patience, waiting)
            .await
            .context("the database does not come back")
    }

    /// Stops it gracefully; it stays down until [`start_again`](Self::start_again).
    pub(crate) async fn stop(&self) -> Result<()> {
        let server = self.lock().take();
        if let Some(server) = server {
            tokio::task::spawn_blocking(move || server.stop()).await??;
        }
        Ok(())
    }

    /// Restarts it after [`stop`](Self::stop).
    pub(crate) async fn start_again(&self) -> Result<()> {
        let options = self.options.clone();
        let server = tokio::task::spawn_blocking(move || Postgres::start(&options)).await??;
        *self.lock() = Some(server);
        Ok(())
    }

    /// Kills the server (`kill -9`); its supervisor restarts it.
    pub(crate) fn kill(&self) -> Result<()> {
        process::signal(self.postmaster()?, Signal::KILL)
    }

    /// Terminates all connections but our own.
    pub(crate) async fn cut_connections(&self) -> Result<()> {
        self.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
              where datname = 'lockstep' and usename <> current_user and pid <> pg_backend_pid()",
        )
        .await
    }

    /// Suspends the server and its backends.
    pub(crate) fn freeze(&self) -> Result<()> {
        let parent = self.postmaster()?;
        process::signal(parent, Signal::STOP)?;
        for child in process::children(parent) {
            // One may have exited meanwhile.
            process::signal(child, Signal::STOP).ok();
        }
        Ok(())
    }

    /// Resumes them.
    pub(crate) fn thaw(&self) -> Result<()> {
        let parent = self.postmaster()?;
        for child in process::children(parent) {
            process::signal(child, Signal::CONT).ok();
        }
        process::signal(parent, Signal::CONT)
    }

    /// Makes transactions read-only by default, or reverts that.
    pub(crate) async fn read_only(&self, on: bool) -> Result<()> {
        let on = if on { "on" } else { "off" };
        // This change must itself be allowed to write.
        let mut connection = self.connect().await?;
        for statement in [
            "set default_transaction_read_only = off".to_owned(),
            format!("alter system set default_transaction_read_only = {on}"),
            "select pg_reload_conf()".to_owned(),
        ] {
            let running = connection.execute(AssertSqlSafe(statement));
            tokio::time::timeout(Duration::from_secs(10), running).await??;
        }
        Ok(())
    }

    /// Shifts the server's clock by `seconds` from the true time. Only where [`Database::has_clock`].
    pub(crate) fn step_clock(&self, seconds: i64) -> Result<()> {
        let file = self.clock.as_ref().context("this database has no clock of its own")?;
        std::fs::write(file, format!("{seconds:+}"))?;
        Ok(())
    }

    /// Whether the server's clock can be shifted, as determined by trying.
    pub(crate) async fn has_clock(&self) -> Result<bool> {
        if self.clock.is_none() {
            return Ok(false);
        }
        self.step_clock(-600)?;
        let mut stepped = false;
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = self
                .number("select extract(epoch from clock_timestamp())::bigint")
                .await?;
            stepped = (chrono::Utc::now().timestamp() - now - 600).abs() < 5;
            if stepped {
                break;
            }
        }
        self.step_clock(0)?;
        Ok(stepped)
    }

    /// The server's log file.
    pub(crate) fn log(&self) -> Option<PathBuf> {
        self.lock().as_ref().map(|server| server.log().to_path_buf())
    }

    fn postmaster(&self) -> Result<Pid> {
        let told = std::fs::read_to_string(self.cluster.join("postmaster.pid")).context("postmaster.pid")?;
        let number: i32 = told.lines().next().context("postmaster.pid")?.trim().parse()?;
        ensure!(number > 1, "postmaster.pid names process {number}");
        let Some(pid) = Pid::from_raw(number) else {
            bail!("postmaster.pid names process {number}");
        };
        Ok(pid)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Postgres>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
