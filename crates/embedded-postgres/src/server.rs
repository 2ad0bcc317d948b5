//! The server process: started, supervised and stopped by one dedicated thread with the same lifetime.
//!
//! The kernel stops the server when *the thread that spawned it* ends (see `Account::command`). A thread of a pool may
//! end at any time, so the server gets a dedicated one. Only that thread waits for the process and sends it signals, so
//! that no signal can reach another process that reused the id of a dead one.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::account::Account;
use crate::error::Error;
use crate::log::Log;
use crate::log_tail::LogTail;
use crate::process;

/// Time limit of a start. It usually takes far less than a second; after a crash PostgreSQL first replays at most 1 GB
/// of its log.
const START_LIMIT: Duration = Duration::from_mins(5);

/// How long the processes of a dead server may block a start. They usually end when they notice its death; one that is
/// stopped, or in the middle of a long statement, does not notice.
const ORPHANS_PATIENCE: Duration = Duration::from_secs(2);

/// Time limit of a start that is blocked by them.
const ORPHANS_LIMIT: Duration = Duration::from_secs(20);

/// Time limit of a fast shutdown, which writes at most the shared buffers.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Time limit of an immediate shutdown, which writes nothing.
const IMMEDIATE_LIMIT: Duration = Duration::from_secs(5);

/// Interval at which a running server is polled.
const WATCH: Duration = Duration::from_millis(250);

/// Maximum delay between two attempts to restart a dead server.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Everything needed to start the server, and to restart it.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) account: Account,
    pub(crate) cluster: PathBuf,
    pub(crate) log: Log,
}

/// A running server. Dropping it stops the server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Nothing is ever sent: dropping it is the order to stop.
    stop: Option<Sender<()>>,
    keeper: Option<JoinHandle<Result<(), Error>>>,
}

impl Server {
    /// Starts the server and returns when it accepts connections.
    pub(crate) fn start(launch: Launch) -> Result<Self, Error> {
        let (stop, stopped) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let keeper = thread::Builder::new()
            .name("postgres-keeper".to_owned())
            .spawn(move || supervise(&launch, &tell, &stopped))
            .map_err(|_| Error::KeeperGone)?;
        match told.recv() {
            Ok(Ok(())) => Ok(Self {
                stop: Some(stop),
                keeper: Some(keeper),
            }),
            Ok(Err(error)) => Err(error),
            Err(mpsc::RecvError) => Err(Error::KeeperGone),
        }
    }

    /// Stops the server and returns when it has ended. A second call does nothing.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        drop(self.stop.take());
        self.keeper
            .take()
            .map_or(Ok(()), |keeper| keeper.join().unwrap_or(Err(Error::KeeperGone)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!("{error}");
        }
    }
}

/// The supervising thread: reports the result of the first start once, then supervises until it is stopped.
fn supervise(launch: &Launch, tell: &Sender<Result<(), Error>>, stopped: &Receiver<()>) -> Result<(), Error> {
    let mut child = match launch.start(stopped) {
        Ok(child) => {
            // The receiver waits for this; if it is gone nevertheless, the next check of `stopped` finds out.
            tell.send(Ok(())).ok();
            child
        }
        Err(error) => {
            tell.send(Err(error)).ok();
            return Ok(());
        }
    };
    loop {
        if stop_requested(stopped, WATCH) {
            return stop(&mut child);
        }
        launch.log.bound();
        if let Some(status) = child.try_wait().map_err(Error::io("wait for", &launch.program))? {
            tracing::error!("PostgreSQL exited unexpectedly ({status}); restarting it");
            match launch.restart(stopped) {
                Some(again) => child = again,
                None => return Ok(()),
            }
        }
    }
}

/// Waits for `time`; returns `true` at once if ordered to stop.
fn stop_requested(stopped: &Receiver<()>, time: Duration) -> bool {
    stopped.recv_timeout(time) == Err(RecvTimeoutError::Disconnected)
}

/// Tries a fast shutdown; after its time limit an immediate one; after that limit, kills the server.
fn stop(child: &mut Child) -> Result<(), Error> {
    let waited = Error::io("wait for", Path::new("postgres"));
    let ended = (|| {
        for (signal, limit) in [(Signal::INT, STOP_LIMIT), (Signal::QUIT, IMMEDIATE_LIMIT)] {
            // Only this thread waits for the process, so the id is still valid. The process may have ended already.
            kill_process(process::pid_of(child), signal).ok();
            if process::wait(child, limit)?.is_some() {
                return Ok(signal == Signal::INT);
            }
        }
        child.kill()?;
        child.wait()?;
        Ok(false)
    })()
    .map_err(waited)?;
    if ended {
        Ok(())
    } else {
        Err(Error::StopForced {
            waited_s: STOP_LIMIT.as_secs(),
        })
    }
}

impl Launch {
    /// Starts the server and waits until it accepts connections. Must be called on the supervising thread.
    fn start(&self, stopped: &Receiver<()>) -> Result<Child, Error> {
        let began = Instant::now();
        loop {
            match self.start_once(stopped) {
                // Processes of a killed server are still attached to the shared memory.
                Err(Error::Start { tail, .. })
                    if tail.contains("is still in use") && began.elapsed() < ORPHANS_LIMIT =>
                {
                    if began.elapsed() > ORPHANS_PATIENCE {
                        self.kill_orphans();
                    }
                    if stop_requested(stopped, WATCH) {
                        return Err(Error::KeeperGone);
                    }
                }
                started => return started,
            }
        }
    }

    fn start_once(&self, stopped: &Receiver<()>) -> Result<Child, Error> {
        let (output, from) = self.log.open()?;
        let errors = output.try_clone().map_err(Error::io("open", self.log.path()))?;
        // So that the data's owner can use it after root ran it.
        self.account.give(self.log.path())?;
        let mut command = self.account.command(&self.program, Signal::INT);
        command.args(&self.arguments).stdout(output).stderr(errors);
        let mut child = command.spawn().map_err(Error::io("run", &self.program))?;
        let started = Instant::now();
        let mut complain_at = Duration::from_secs(10);
        loop {
            if let Some(status) = child.try_wait().map_err(Error::io("wait for", &self.program))? {
                let log = self.log.path().to_path_buf();
                return Err(Error::Start {
                    status: status.to_string(),
                    tail: LogTail::read(&log, from),
                    log,
                });
            }
            if PidFile::read(&self.cluster)?.is_some_and(|file| file.ready && file.pid == process::pid_of(&child)) {
                return Ok(child);
            }
            let waited = started.elapsed();
            if waited > complain_at {
                tracing::warn!(
                    "PostgreSQL is not ready after {} s; it may be recovering from a crash",
                    waited.as_secs()
                );
                complain_at += Duration::from_secs(10);
            }
            let told = stop_requested(stopped, process::GLANCE);
            if told || waited > START_LIMIT {
                // The result does not matter here: the failed start is the error.
                stop(&mut child).ok();
                let log = self.log.path().to_path_buf();
                return Err(Error::NotReady {
                    waited_s: waited.as_secs(),
                    tail: LogTail::read(&log, from),
                    log,
                });
            }
        }
    }

    /// Kills the processes that a dead server left behind. The caller holds the data folder's lock and has just been
    /// refused a start because of them, so no living server owns them; the next start recovers what they had not
    /// committed.
    fn kill_orphans(&self) {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
        for orphan in ids.filter(|id| is_postgres(*id) && runs_in(*id, &self.cluster)) {
            tracing::warn!("killing a process ({orphan}) of a PostgreSQL server that is dead");
            kill_process(orphan, Signal::KILL).ok();
        }
    }

    /// Restarts a dead server until that succeeds; `None` if ordered to stop.
    fn restart(&self, stopped: &Receiver<()>) -> Option<Child> {
        let mut pause = WATCH;
        loop {
            match self.start(stopped) {
                Ok(child) => {
                    tracing::info!("PostgreSQL is running again");
                    return Some(child);
                }
                Err(error) => tracing::error!("could not restart PostgreSQL: {error}"),
            }
            if stop_requested(stopped, pause) {
                return None;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Ends a server that an earlier owner left behind. The caller holds the data folder's lock, so that owner is dead,
    /// and the kernel has already stopped the server unless the owner died in the first instant.
    pub(crate) fn end_leftover(&self) -> Result<(), Error> {
        let Some(leftover) = PidFile::read(&self.cluster)?.map(|file| file.pid) else {
            return Ok(());
        };
        for (signal, limit) in [(Signal::INT, STOP_LIMIT), (Signal::QUIT, IMMEDIATE_LIMIT)] {
            if !runs_in(leftover, &self.cluster) {
                return Ok(());
            }
            tracing::warn!("waiting for PostgreSQL of an earlier run (process {leftover}) to end");
            kill_process(leftover, signal).ok();
            let deadline = Instant::now() + limit;
            while runs_in(leftover, &self.cluster) && Instant::now() < deadline {
                thread::sleep(process::GLANCE);
            }
        }
        if runs_in(leftover, &self.cluster) {
            let pid = leftover.as_raw_nonzero().get().unsigned_abs();
            return Err(Error::Leftover {
                cluster: self.cluster.clone(),
                pid,
            });
        }
        Ok(())
    }
}

/// Whether the process runs and its working directory is that folder, as for a PostgreSQL server and its cluster. A
/// process that reused the id of a dead server does not match.
pub(crate) fn runs_in(pid: Pid, cluster: &Path) -> bool {
    let place = |path: &Path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    let working = place(Path::new(&format!("/proc/{}/cwd", pid.as_raw_nonzero())));
    working.is_some() && working == place(cluster)
}

/// Whether the process runs PostgreSQL's server program, and not, say, a shell in the cluster's folder.
fn is_postgres(pid: Pid) -> bool {
    fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero()))
        // The kernel says so of a program that an upgrade has replaced.
        .is_ok_and(|program| {
            program
                .file_name()
                .is_some_and(|name| name == "postgres" || name == "postgres (deleted)")
        })
}

/// The folder of a running server's program, if it can be determined.
pub(crate) fn programs_of(pid: Pid) -> Option<PathBuf> {
    let program = fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero())).ok()?;
    program.parent().map(Path::to_path_buf)
}

/// The pid file that a server writes into its cluster.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: Pid,
    pub(crate) socket_dir: PathBuf,
    pub(crate) ready: bool,
}

impl PidFile {
    /// Reads the file; `None` if it is missing or incomplete.
    pub(crate) fn read(cluster: &Path) -> Result<Option<Self>, Error> {
        let path = cluster.join("postmaster.pid");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Lines: pid, cluster, start time, port, socket folder, address, shared memory, status.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        // Negative while a standalone backend uses the cluster.
        let pid = lines
            .next()?
            .trim()
            .parse()
            .ok()
            .filter(|number: &i32| *number > 0)
            .and_then(Pid::from_raw)?;
        let socket_dir = lines.nth(3).map(PathBuf::from).unwrap_or_default();
        let ready = lines.nth(2).is_some_and(|status| status.trim() == "ready");
        Some(Self { pid, socket_dir, ready })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_is_parsed_at_every_stage_of_a_start() {
        let pid = Pid::from_raw(42).unwrap();
        let nowhere = PathBuf::new();
        assert_eq!(PidFile::parse(""), None);
        assert_eq!(PidFile::parse("-1\n"), None);
        assert_eq!(
            PidFile::parse("42\n/c\n1\n"),
            Some(PidFile {
                pid,
                socket_dir: nowhere,
                ready: false
            })
        );
        let starting = "42\n/c\n1\n5432\n/c/run\n\n  1  2\nstarting\n";
        assert_eq!(
            PidFile::parse(starting),
            Some(PidFile {
                pid,
                socket_dir: "/c/run".into(),
                ready: false
            })
        );
        let ready = "42\n/c\n1\n5432\n/c/run\n\n  1  2\nready   \n";
        assert_eq!(
            PidFile::parse(ready),
            Some(PidFile {
                pid,
                socket_dir: "/c/run".into(),
                ready: true
            })
        );
    }
}
