//! A private Redis for a test, which can be killed, frozen and flushed without effect on other tests.

#![expect(
    clippy::expect_used,
    reason = "a test whose ground gives way has to fail where it does"
)]

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;

/// Time limit for the start of a server on a busy machine.
const START: Duration = Duration::from_secs(20);

/// A `redis-server` on a private port of 127.0.0.1 without persistence; killed with the value.
#[derive(Debug)]
pub struct TestRedis {
    binary: PathBuf,
    port: u16,
    server: Option<Child>,
}

/// All keys with their values in the format of `DUMP`.
#[derive(Debug, Clone, Default)]
pub struct Contents(Vec<(Vec<u8>, Vec<u8>)>);

impl Contents {
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a key or a value contains these bytes. Values are compressed unless `rdbcompression` is off.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let holds = |text: &[u8]| text.windows(bytes.len().max(1)).any(|part| part == bytes);
        self.0.iter().any(|(key, value)| holds(key) || holds(value))
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TestRedis {
    /// Starts a new, empty server. The program is the one that `LOCKSTEP_REDIS_BIN` names, or `redis-server` on the
    /// `PATH`.
    pub async fn start() -> Self {
        let binary = binary();
        // The port is free when it is chosen; if another process takes it in between, that is detected and another is
        // chosen.
        for _ in 0..20 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .and_then(|listener| listener.local_addr())
                .expect("a free port")
                .port();
            let mut redis = Self {
                binary: binary.clone(),
                port,
                server: None,
            };
            if redis.spawn().await {
                return redis;
            }
        }
        panic!("redis-server does not start on any port");
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Kills it like `kill -9`; its data is lost.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().expect("kill redis-server");
            server.wait().expect("wait for redis-server");
        }
    }

    /// Restarts it after [`kill`](Self::kill), empty, on the same port.
    pub async fn restart_same_port(&mut self) {
        self.kill();
        assert!(
            self.spawn().await,
            "redis-server does not come back on port {}",
            self.port
        );
    }

    /// Changes one setting of the running server, as `CONFIG SET` does.
    pub async fn configure(&self, setting: &str, value: &str) {
        self.command(&["CONFIG", "SET", setting, value]).await;
    }

    /// Runs any command and ignores the response.
    pub async fn command(&self, words: &[&str]) {
        let mut connection = self.connect().await;
        let (name, arguments) = words.split_first().expect("a command");
        let mut command = redis::cmd(name);
        for argument in arguments {
            command.arg(argument);
        }
        command
            .query_async::<()>(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }

    /// Suspends it without ending it: it accepts connections and never responds.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Resumes it.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Removes all keys.
    pub async fn flush(&self) {
        let mut connection = self.connect().await;
        redis::cmd("FLUSHALL")
            .query_async::<()>(&mut connection)
            .await
            .expect("FLUSHALL");
    }

    /// Dumps all keys.
    pub async fn contents(&self) -> Contents {
        let mut connection = self.connect().await;
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut connection)
            .await
            .expect("KEYS");
        let mut contents = Vec::with_capacity(keys.len());
        for key in keys {
            let value: Option<Vec<u8>> = redis::cmd("DUMP")
                .arg(&key)
                .query_async(&mut connection)
                .await
                .expect("DUMP");
            // A key may expire in between.
            contents.extend(value.map(|value| (key, value)));
        }
        Contents(contents)
    }

    /// Restores `contents` over the existing keys, like an old backup.
    pub async fn write_back(&self, contents: &Contents) {
        let mut connection = self.connect().await;
        for (key, value) in &contents.0 {
            redis::cmd("RESTORE")
                .arg(key)
                .arg(0)
                .arg(value)
                .arg("REPLACE")
                .query_async::<()>(&mut connection)
                .await
                .expect("RESTORE");
        }
    }

    /// The names of all keys, sorted.
    pub async fn keys(&self) -> Vec<String> {
        let mut connection = self.connect().await;
        let mut keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut connection)
            .await
            .expect("KEYS");
        keys.sort();
        keys
    }

    /// The value of `key`.
    pub async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let mut connection = self.connect().await;
        redis::cmd("GET")
            .arg(key)
            .query_async(&mut connection)
            .await
            .expect("GET")
    }

    /// The members of a sorted set, by score.
    pub async fn members(&self, key: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        redis::cmd("ZRANGE")
            .arg(key)
            .arg(0)
            .arg(-1)
            .query_async(&mut connection)
            .await
            .expect("ZRANGE")
    }

    /// Sets `key` to any bytes.
    pub async fn set(&self, key: &str, value: &[u8]) {
        let mut connection = self.connect().await;
        redis::cmd("SET")
            .arg(key)
            .arg(value)
            .query_async::<()>(&mut connection)
            .await
            .expect("SET");
    }

    /// Remaining lifetime of `key` in milliseconds; negative as defined by `PTTL`.
    pub async fn ttl_ms(&self, key: &str) -> i64 {
        let mut connection = self.connect().await;
        redis::cmd("PTTL")
            .arg(key)
            .query_async(&mut connection)
            .await
            .expect("PTTL")
    }

    async fn connect(&self) -> MultiplexedConnection {
        redis::Client::open(self.url())
            .expect("address of the test's Redis")
            .get_multiplexed_async_connection()
            .await
            .expect("connection to the test's Redis")
    }

    /// Starts the server. Returns whether it runs and answers on its port, rather than another process's server.
    async fn spawn(&mut self) -> bool {
        let server = Command::new(&self.binary)
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(["--daemonize", "no", "--loglevel", "warning", "--databases", "1"])
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.binary.display()));
        let pid = server.id();
        self.server = Some(server);
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            let exited = self
                .server
                .as_mut()
                .is_some_and(|server| server.try_wait().expect("redis-server").is_some());
            if exited {
                self.server = None;
                return false;
            }
            if self.answers_as(pid).await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("redis-server on port {} does not answer", self.port);
    }

    async fn answers_as(&self, pid: u32) -> bool {
        let client = redis::Client::open(self.url()).expect("address of the test's Redis");
        let Ok(mut connection) = client.get_multiplexed_async_connection().await else {
            return false;
        };
        let info: Result<String, _> = redis::cmd("INFO").arg("server").query_async(&mut connection).await;
        info.is_ok_and(|info| info.lines().any(|line| line.trim() == format!("process_id:{pid}")))
    }

    fn signal(&self, signal: &str) {
        let pid = self.server.as_ref().expect("the test's Redis runs").id();
        // The shell's built-in `kill`: a minimal system has no other.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{signal} {pid}")])
            .status()
            .expect("sh");
        assert!(status.success(), "kill -{signal} {pid}");
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LOCKSTEP_REDIS_BIN") {
        return path.into();
    }
    std::env::var_os("PATH")
        .and_then(|path| {
            std::env::split_paths(&path)
                .map(|folder| folder.join("redis-server"))
                .find(|file| Path::is_file(file))
        })
        .expect("redis-server is needed: install it (Debian: apt-get install redis-server) or name it in LOCKSTEP_REDIS_BIN")
}
