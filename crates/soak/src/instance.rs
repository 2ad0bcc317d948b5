//! The shop's own processes: the real program, started, signalled, and read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr};

use crate::logs::Logs;
use crate::process;

/// What starts every process of the shop.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// The program.
    pub(crate) program: PathBuf,
    /// Whether `setpriv` ties children to our life.
    pub(crate) setpriv: bool,
    /// Settings that all share.
    pub(crate) settings: BTreeMap<&'static str, String>,
}

/// One process of the shop.
#[derive(Debug)]
pub(crate) struct Instance {
    /// What logs and reports call it.
    pub(crate) name: &'static str,
    number: usize,
    /// `serve`, `web` or `worker`.
    part: &'static str,
    /// Where it listens; a worker does not.
    pub(crate) address: Option<SocketAddr>,
    /// Its own folder.
    pub(crate) data: PathBuf,
    recipe: Recipe,
    log: PathBuf,
    logs: Logs,
    unread: Arc<AtomicBool>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    child: Option<Child>,
    /// Since when it is meant to run, undisturbed.
    up_since: Option<Instant>,
}

impl Instance {
    /// Not started yet.
    pub(crate) fn new(
        (number, name, part): (usize, &'static str, &'static str),
        address: Option<SocketAddr>,
        data: PathBuf,
        recipe: &Recipe,
        folder: &Path,
        logs: &Logs,
    ) -> Self {
        Self {
            name,
            number,
            part,
            address,
            data,
            recipe: recipe.clone(),
            log: folder.join(format!("{name}.log")),
            logs: logs.clone(),
            unread: Arc::default(),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A command of the program with this instance's settings.
    pub(crate) fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = process::command(&self.recipe.program, self.recipe.setpriv);
        command.args(args);
        for (name, value) in &self.recipe.settings {
            command.env(name, value);
        }
        command.env("LOCKSTEP_DATA_DIR", &self.data);
        if let Some(address) = self.address {
            command.env("LOCKSTEP_BIND", address.to_string());
        }
        command
    }

    /// Starts it; it may take a while until it is ready.
    pub(crate) fn start(&self) -> Result<()> {
        let mut child = self
            .command(&[self.part])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", self.name))?;
        let told = child.stderr.take().context("no stderr")?;
        let file = File::options().append(true).create(true).open(&self.log)?;
        tokio::spawn(read(told, file, self.number, self.logs.clone(), self.unread.clone()));
        let mut state = self.lock();
        state.child = Some(child);
        state.up_since = Some(Instant::now());
        Ok(())
    }

    /// Its process, while it has one.
    pub(crate) fn pid(&self) -> Option<Pid> {
        self.lock().child.as_ref().and_then(process::pid)
    }

    /// Since when it is meant to run undisturbed; `None` while it is not.
    pub(crate) fn up_since(&self) -> Option<Instant> {
        self.lock().up_since
    }

    /// How it ended, when it ended although it is meant to run.
    pub(crate) fn ended_by_itself(&self) -> Option<String> {
        let mut state = self.lock();
        state.up_since?;
        let status = state.child.as_mut()?.try_wait().ok()??;
        state.child = None;
        state.up_since = None;
        Some(status.to_string())
    }

    /// `kill -9`.
    pub(crate) async fn kill(&self) -> Result<()> {
        let child = {
            let mut state = self.lock();
            state.up_since = None;
            state.child.take()
        };
        if let Some(mut child) = child {
            child.kill().await?;
        }
        Ok(())
    }

    /// `SIGTERM`, and waits for the end; returns how long it took.
    pub(crate) async fn terminate(&self, patience: Duration) -> Result<Duration> {
        let (child, pid) = {
            let mut state = self.lock();
            state.up_since = None;
            let child = state.child.take().context("it does not run")?;
            let pid = process::pid(&child).context("it does not run")?;
            (child, pid)
        };
        let mut child = child;
        let began = Instant::now();
        process::signal(pid, Signal::TERM)?;
        match tokio::time::timeout(patience, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(began.elapsed()),
            Ok(_) => bail!("{} ended with a failure after SIGTERM", self.name),
            Err(_) => {
                child.kill().await?;
                bail!("{} still ran {} s after SIGTERM", self.name, patience.as_secs())
            }
        }
    }

    /// `SIGSTOP`.
    pub(crate) fn pause(&self) -> Result<()> {
        let mut state = self.lock();
        state.up_since = None;
        let pid = state.child.as_ref().and_then(process::pid).context("it does not run")?;
        process::signal(pid, Signal::STOP)
    }

    /// `SIGCONT`.
    pub(crate) fn resume(&self) -> Result<()> {
        let mut state = self.lock();
        let pid = state.child.as_ref().and_then(process::pid).context("it does not run")?;
        process::signal(pid, Signal::CONT)?;
        state.up_since = Some(Instant::now());
        Ok(())
    }

    /// Whether somebody reads its log.
    pub(crate) fn set_unread(&self, unread: bool) {
        self.unread.store(unread, Ordering::Relaxed);
    }
}

/// Reads what a process logs into a file and to the judge, except while nobody is to read.
async fn read(told: ChildStderr, mut file: File, number: usize, logs: Logs, unread: Arc<AtomicBool>) {
    let mut lines = BufReader::new(told).lines();
    loop {
        while unread.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let Ok(Some(line)) = lines.next_line().await else {
            return;
        };
        // A log that cannot be kept is judged all the same.
        writeln!(file, "{line}").ok();
        logs.line(number, &line);
    }
}
