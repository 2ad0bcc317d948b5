//! A real PgBouncer between a test and its database.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use crate::TestDb;

/// Time limit for the start of PgBouncer, which takes some hundredths of a second.
const DEADLINE: Duration = Duration::from_secs(20);

/// A PgBouncer on a private port; terminated with the value.
#[derive(Debug)]
pub struct TestPooler {
    url: String,
    server: Child,
    folder: PathBuf,
}

impl TestPooler {
    /// Starts a PgBouncer for `db` in `pool_mode` (`session`, `transaction`, `statement`), with additional lines of
    /// configuration. The program is the one that `LOCKSTEP_PGBOUNCER_BIN` names, or `pgbouncer` on the `PATH` or in
    /// `/usr/sbin`.
    pub async fn start(db: &TestDb, pool_mode: &str, settings: &str) -> Self {
        let (binary, user) = (binary(), unprivileged());
        let target: PgConnectOptions = db.url().parse().expect("the database's address");
        // The port is free when it is chosen; if another process takes it in between, that is detected.
        for _ in 0..20 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .and_then(|listener| listener.local_addr())
                .expect("a free port")
                .port();
            let folder = std::env::temp_dir().join(format!("lockstep-pgbouncer-{}", Uuid::new_v4().simple()));
            std::fs::DirBuilder::new()
                .mode(0o755)
                .create(&folder)
                .expect("a folder");
            let file = folder.join("pgbouncer.ini");
            write(&file, &configuration(db, &target, port, pool_mode, settings));
            let mut command = Command::new(&binary);
            command
                .arg("-q")
                .args(user.iter().flat_map(|user| ["-u", user]))
                .arg(&file);
            let server = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
            let way = PgConnectOptions::new()
                .host("127.0.0.1")
                .port(port)
                .username(target.get_username())
                .database(db.name());
            let mut pooler = Self {
                url: way.to_url_lossy().to_string(),
                server,
                folder,
            };
            if pooler.listens(port).await {
                return pooler;
            }
        }
        panic!("PgBouncer does not start on any port");
    }

    /// URL of the database through it.
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn listens(&mut self, port: u16) -> bool {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            if self.server.try_wait().expect("pgbouncer's state").is_some() {
                return false;
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

impl Drop for TestPooler {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn configuration(db: &TestDb, target: &PgConnectOptions, port: u16, pool_mode: &str, settings: &str) -> String {
    let host = target
        .get_socket()
        .map_or_else(|| target.get_host().to_owned(), |folder| folder.display().to_string());
    // The server that tests share may require a password, and the options do not expose it.
    let password = (db.url().split_once("://"))
        .and_then(|(_, rest)| rest.split_once('@')?.0.split_once(':'))
        .map_or_else(String::new, |(_, password)| format!(" password={password}"));
    format!(
        "[databases]\n* = host={host} port={} user={}{password}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = {pool_mode}\ndefault_pool_size = 60\nmax_client_conn = 300\n{settings}\n",
        target.get_port(),
        target.get_username(),
    )
}

fn write(file: &Path, text: &str) {
    let mut out = std::fs::File::create(file).expect("a file");
    out.write_all(text.as_bytes()).expect("a file");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).expect("a file");
}

/// PgBouncer refuses to run as root; it then switches to this user.
fn unprivileged() -> Option<&'static str> {
    let id = Command::new("id").arg("-u").output().expect("id");
    if id.stdout.trim_ascii() != b"0" {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let is_there = users.lines().any(|line| line.starts_with("postgres:"));
    Some(if is_there { "postgres" } else { "nobody" })
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LOCKSTEP_PGBOUNCER_BIN") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("pgbouncer"))
        .find(|file| file.is_file())
        .expect(
            "PgBouncer is needed: install it (Debian: apt-get install pgbouncer), name one in LOCKSTEP_PGBOUNCER_BIN, or \
             run `cargo xtask test`, which provides it",
        )
}
