//! Two PostgreSQL servers of a test's own: a primary and a standby that streams from it.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};

/// Time limit for a server to start, to stop, or to change its role.
const DEADLINE: Duration = Duration::from_secs(30);

/// A server. Killed with the value.
#[derive(Debug)]
pub struct TestServer {
    /// Its port on 127.0.0.1.
    pub port: u16,
    data: PathBuf,
    programs: PathBuf,
    account: Option<(u32, u32)>,
    /// Further settings.
    settings: Vec<String>,
    process: Option<Child>,
}

/// A primary and its standby. Their data is deleted with the value.
#[derive(Debug)]
pub struct TestCluster {
    /// The primary at the start.
    pub first: TestServer,
    /// Its standby.
    pub second: TestServer,
    folder: PathBuf,
}

impl TestCluster {
    /// Starts both servers. With `is_synchronous`, a commit on the first is confirmed when the second has it on disk.
    pub async fn start(is_synchronous: bool) -> Self {
        let folder = std::env::temp_dir().join(format!("lockstep-cluster-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).expect("a folder");
        let account = account();
        if let Some((user, group)) = account {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).expect("the folder's owner");
        }
        let cache = std::env::temp_dir().join("lockstep-tests-programs");
        let programs = tokio::task::spawn_blocking(move || lockstep_embedded_postgres::provide(&cache, true))
            .await
            .expect("a thread")
            .expect("PostgreSQL's programs")
            .bin_dir()
            .to_path_buf();
        let server = |name: &str| TestServer {
            port: free_port(),
            data: folder.join(name),
            programs: programs.clone(),
            account,
            settings: Vec::new(),
            process: None,
        };
        let (mut first, mut second) = (server("first"), server("second"));
        first
            .run(
                "initdb",
                &[
                    "--username=postgres",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--no-sync",
                ],
            )
            .await;
        first.spawn().await;
        let from = format!("--port={}", first.port);
        second
            .run(
                "pg_basebackup",
                &[
                    "--host=127.0.0.1",
                    &from,
                    "--username=postgres",
                    "--write-recovery-conf",
                    "--checkpoint=fast",
                    "--no-sync",
                ],
            )
            .await;
        second.spawn().await;
        if is_synchronous {
            first.settings.push("synchronous_standby_names=*".to_owned());
            first.stop().await;
            first.spawn().await;
            first
                .until("select exists (select from pg_stat_replication where sync_state = 'sync')")
                .await;
        }
        Self { first, second, folder }
    }

    /// The address with both hosts, the first one first.
    pub fn url(&self) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres",
            self.first.port, self.second.port
        )
    }

    /// Ends the first server as a loss of power does, and makes the second the primary.
    pub async fn crash_and_promote(&mut self) {
        self.first.kill().await;
        self.second.promote().await;
    }

    /// Stops the first server in order, makes the second the primary, and brings the first back as its standby.
    pub async fn switch_over(&mut self) {
        self.first.stop().await;
        self.second.promote().await;
        std::fs::write(self.first.data.join("standby.signal"), "").expect("standby.signal");
        self.first.settings = vec![format!(
            "primary_conninfo=host=127.0.0.1 port={} user=postgres",
            self.second.port
        )];
        self.first.spawn().await;
        self.first.until("select pg_is_in_recovery()").await;
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        self.first.end();
        self.second.end();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl TestServer {
    /// A connection as superuser.
    pub async fn connect(&self) -> PgConnection {
        self.try_connect().await.expect("a connection")
    }

    async fn try_connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)).await
    }

    async fn promote(&self) {
        let promoted: bool = sqlx::query_scalar("select pg_promote()")
            .fetch_one(&mut self.connect().await)
            .await
            .expect("a promotion");
        assert!(promoted, "the standby was not promoted in time");
    }

    /// Waits until a question is answered with true.
    async fn until(&self, question: &'static str) {
        let began = Instant::now();
        loop {
            if let Ok(mut connection) = self.try_connect().await
                && let Ok(true) = sqlx::query_scalar(question).fetch_one(&mut connection).await
            {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "never: {question}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn spawn(&mut self) {
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(&self.data)
            .args(["-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", &format!("port={}", self.port)]);
        for setting in [
            "unix_socket_directories=",
            "fsync=off",
            "wal_level=replica",
            "hot_standby=on",
            "max_connections=100",
            "wal_receiver_status_interval=1s",
        ] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let log = std::fs::File::create(self.data.with_extension("log")).expect("a log");
        let process = command.stdout(Stdio::null()).stderr(log).spawn().expect("postgres");
        self.process = Some(process);
        self.until("select true").await;
    }

    /// Stops the server in order: its standby gets everything.
    async fn stop(&mut self) {
        self.signal("INT").await;
    }

    /// Ends the server at once.
    async fn kill(&mut self) {
        self.signal("QUIT").await;
    }

    async fn signal(&mut self, name: &str) {
        let Some(mut process) = self.process.take() else { return };
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &process.id().to_string()])
            .status();
        assert!(sent.expect("kill").success());
        let ended = tokio::task::spawn_blocking(move || process.wait());
        let ended = tokio::time::timeout(DEADLINE, ended).await;
        ended.expect("the server's end").expect("a thread").expect("its status");
    }

    fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Its children end with it.
            drop(Command::new("kill").args(["-QUIT", &process.id().to_string()]).status());
            drop(process.wait());
        }
    }

    /// Runs a program on the data folder.
    async fn run(&self, name: &str, args: &[&str]) {
        let mut command = self.command(name);
        command.arg("-D").arg(&self.data).args(args).stdin(Stdio::null());
        let done = tokio::task::spawn_blocking(move || command.output()).await;
        let done = done.expect("a thread").expect("a program of PostgreSQL");
        assert!(
            done.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    /// PostgreSQL refuses to run as root.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command.current_dir("/").env("LC_ALL", "C");
        command
    }
}

/// The user and group that root runs PostgreSQL as.
fn account() -> Option<(u32, u32)> {
    let id = |args: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(args).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    let of = |name: &str| Some((id(&["-u", name])?, id(&["-g", name])?));
    Some(of("postgres").or_else(|| of("nobody")).expect("a user for PostgreSQL"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}
