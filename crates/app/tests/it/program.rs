//! Runs `lockstep` in a clean environment and waits for states instead of fixed times.

use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lockstep_g2a_sandbox::{Catalogue, Config, Knobs, Sandbox};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// Generous, because the machine may be busy; no wait is longer than necessary.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);

/// `lockstep` with only the environment variables that it needs to run.
pub(crate) fn lockstep(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    if let Some(bin) = std::env::var_os("LOCKSTEP_PG_BIN") {
        command.env("LOCKSTEP_PG_BIN", bin);
    }
    // No lockstep.toml of the checkout may interfere.
    command
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a command and waits for its result.
pub(crate) async fn outcome(command: &mut Command) -> Output {
    tokio::time::timeout(DEADLINE, command.output())
        .await
        .expect("the command ends")
        .expect("the command starts")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A sandbox with few games and no rate limit.
pub(crate) async fn sandbox(games: u64) -> Sandbox {
    Sandbox::start(Config {
        catalogue: Catalogue::Generated { count: games, seed: 7 },
        knobs: Knobs {
            rate_per_minute: 0,
            ..Knobs::default()
        },
        ..Config::default()
    })
    .await
    .expect("sandbox")
}

/// Configures a command to use a sandbox as its G2A account.
pub(crate) fn with_account<'c>(command: &'c mut Command, sandbox: &Sandbox) -> &'c mut Command {
    let credentials = sandbox.credentials();
    command
        .env("G2A_API_URL", sandbox.base_url())
        .env("G2A_API_HASH", credentials.hash)
        .env("G2A_API_EMAIL", credentials.email)
        .env("G2A_API_SECRET", credentials.secret)
        .env("G2A_RATE_PER_MINUTE", "100000")
}

/// A running `lockstep serve` and the address it listens on.
pub(crate) struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
    /// What it has printed on stdout.
    printed: watch::Receiver<String>,
    pub(crate) address: String,
}

/// The lines of the program's stderr.
pub(crate) type Log = tokio::io::Lines<BufReader<tokio::process::ChildStderr>>;

impl Running {
    /// Starts on a free port and waits until the program reports that it is open.
    pub(crate) async fn start(command: &mut Command) -> Self {
        let (running, mut log) = Self::start_unread(command).await;
        let kept = running.log();
        tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                let mut kept = kept.lock().expect("the log");
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        running
    }

    /// Like [`Running::start`], but the log is read only through the returned value.
    pub(crate) async fn start_unread(command: &mut Command) -> (Self, Log) {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let mut child = command
            .env("LOCKSTEP_BIND", &address)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let (told, printed) = watch::channel(String::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                told.send_modify(|text| {
                    text.push_str(&line);
                    text.push('\n');
                });
            }
        });
        let mut log = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let opened = async {
            let mut log_text = String::new();
            while let Ok(Some(line)) = log.next_line().await {
                if line.contains("the store is open at") {
                    return;
                }
                log_text.push_str(&line);
                log_text.push('\n');
            }
            panic!("the store did not open:\n{log_text}");
        };
        tokio::time::timeout(DEADLINE, opened).await.expect("the store opens");
        let running = Self {
            child,
            log: Arc::default(),
            printed,
            address,
        };
        (running, log)
    }

    /// What it prints on stdout, once that holds `words`.
    pub(crate) async fn printed(&self, words: &str) -> String {
        let mut printed = self.printed.clone();
        let found = printed.wait_for(|text| text.contains(words));
        let found = tokio::time::timeout(DEADLINE, found).await;
        found.expect("it is printed in time").expect("it is printed").clone()
    }

    /// What it has logged since it opened.
    pub(crate) fn log(&self) -> Arc<Mutex<String>> {
        Arc::clone(&self.log)
    }

    /// Status and body of a page.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = client()
            .get(format!("http://{}{path}", self.address))
            .send()
            .await
            .expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a body"))
    }

    pub(crate) async fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Polls `path` until `found` returns a value.
    pub(crate) async fn wait_for<T>(&self, path: &str, found: impl Fn(&serde_json::Value) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            let answer = self.json(path).await;
            if let Some(found) = found(&answer) {
                return found;
            }
            assert!(started.elapsed() < DEADLINE, "{path} still answers {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A memory figure of the process from Linux, in kB: `VmRSS` is the current size, `VmHWM` the peak.
    pub(crate) fn memory_kb(&self, name: &str) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
        let line = status.lines().find(|line| line.starts_with(name)).expect("the figure");
        let figure = line.split_whitespace().nth(1).expect("a number");
        figure.parse().expect("a number")
    }

    /// Resets the peak.
    pub(crate) fn forget_peak(&self) {
        let pid = self.child.id().expect("it runs");
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("our own child");
    }

    /// Sends a signal.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .await
            .expect("kill");
        assert!(sent.success());
    }

    /// Waits for the process to exit.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        tokio::time::timeout(DEADLINE, self.child.wait())
            .await
            .expect("it ends")
            .expect("its status")
    }
}

pub(crate) fn client() -> reqwest::Client {
    // Tests use plain HTTP, but the TLS in reqwest needs a crypto provider all the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .expect("client")
}
