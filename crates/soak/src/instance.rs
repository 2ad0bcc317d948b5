//! The shop's processes: the real program, started, signalled, and its log read.

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

/// How a process of the shop is started.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// The program.
    pub(crate) program: PathBuf,
    /// Whether `setpriv` terminates children with this process.
    pub(crate) setpriv: bool,
    /// Settings common to all processes.
    pub(crate) settings: BTreeMap<&'static str, String>,
}

/// One process of the shop.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Name in logs and reports.
    pub(crate) name: &'static str,
    number: usize,
    /// `serve`, `web` or `worker`.
    part: &'static str,
    /// Its listening address; a worker has none.
    pub(crate) address: Option<SocketAddr>,
    /// Its data folder.
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
    /// Since when it has to run, undisturbed.
    up_since: Option<Instant>,
}

impl Instance {
    /// Creates an instance that is not started yet.
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

    /// Starts it without waiting until it is ready.
    pub(crate) fn start(&self) -> Result<()> {
        let mut child = self
            .command(&[self.part])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", self.name))?;
        let output = child.stderr.take().context("no stderr")?;
        let file = File::options().append(true).create(true).open(&self.log)?;
        tokio::spawn(read(output, file, self.number, self.logs.clone(), self.unread.clone()));
        let mut state = self.lock();
        state.child = Some(child);
        state.up_since = Some(Instant::now());
        Ok(())
    }

    /// Its process id, while it has a process.
    pub(crate) fn pid(&self) -> Option<Pid> {
        self.lock().child.as_ref().and_then(process::pid)
    }

    /// Since when it has to run undisturbed; `None` while it does not have to.
    pub(crate) fn up_since(&self) -> Option<Instant> {
        self.lock().up_since
    }

    /// Its exit status, if it terminated although it should be running.
    pub(crate) fn ended_by_itself(&self) -> Option<String> {
        let mut state = self.lock();
        state.up_since?;
        let status = state.child.as_mut()?.try_wait().ok()??;
        state.child = None;
        state.up_since = None;
        Some(status.to_string())
    }

    /// Sends `SIGKILL` and waits for the exit.
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

    /// Sends `SIGTERM` and waits for the exit; returns how long that took.
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

    /// Sends `SIGSTOP`.
    pub(crate) fn pause(&self) -> Result<()> {
        let mut state = self.lock();
        state.up_since = None;
        let pid = state.child.as_ref().and_then(process::pid).context("it does not run")?;
        process::signal(pid, Signal::STOP)
    }

    /// Sends `SIGCONT`.
    pub(crate) fn resume(&self) -> Result<()> {
        let mut state = self.lock();
        let pid = state.child.as_ref().and_then(process::pid).context("it does not run")?;
        process::signal(pid, Signal::CONT)?;
        state.up_since = Some(Instant::now());
        Ok(())
    }

    /// Stops or resumes the reading of its log.
    pub(crate) fn set_unread(&self, unread: bool) {
        self.unread.store(unread, Ordering::Relaxed);
    }
}

/// Copies a process's log to a file and to the log check, except while reading is stopped.
async fn read(output: ChildStderr, mut file: File, number: usize, logs: Logs, unread: Arc<AtomicBool>) {
    let mut lines = BufReader::new(output).lines();
    loop {
        while unread.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let Ok(Some(line)) = lines.next_line().await else {
            return;
        };
        // A line that cannot be written to the file is checked all the same.
        writeln!(file, "{line}").ok();
        logs.line(number, &line);
    }
}
