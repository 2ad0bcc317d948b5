//! Child processes that terminate with this one, signals to them, and their resource usage.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// A command whose process is killed when the thread that started it ends, if this machine has `setpriv`; otherwise
/// when the value is dropped. It inherits nothing of our environment but `PATH`.
///
/// Start it on a runtime thread that lives as long as the run, not on one of the blocking pool.
pub(crate) fn command(program: &Path, setpriv: bool) -> Command {
    let mut command = if setpriv {
        let mut tied = Command::new("setpriv");
        tied.args(["--pdeathsig", "KILL", "--"]).arg(program);
        tied
    } else {
        Command::new(program)
    };
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        // Ctrl-C at the terminal is for this program, which then terminates its children.
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// The process id of a child that was not waited for.
pub(crate) fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

/// Sends a signal.
pub(crate) fn signal(pid: Pid, signal: Signal) -> Result<()> {
    kill_process(pid, signal).with_context(|| format!("signal to process {}", pid.as_raw_nonzero()))
}

/// All children of a process, from `/proc`.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let numbers = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|number| parent_of(*number) == Some(parent.as_raw_nonzero().get()))
        .filter_map(Pid::from_raw)
        .collect()
}

fn parent_of(number: i32) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // After the name, which is in brackets and may contain anything.
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

/// Resource usage of a process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Resident memory, KiB.
    pub(crate) rss_kib: u64,
    /// Open file handles.
    pub(crate) handles: u64,
    /// Threads.
    pub(crate) threads: u64,
}

/// The current usage of a process; `None` when it has exited.
pub(crate) fn usage(pid: Pid) -> Option<Usage> {
    let number = pid.as_raw_nonzero();
    let status = std::fs::read_to_string(format!("/proc/{number}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Usage {
        rss_kib: field("VmRSS:")?,
        threads: field("Threads:")?,
        handles: std::fs::read_dir(format!("/proc/{number}/fd"))
            .ok()?
            .count()
            .try_into()
            .ok()?,
    })
}

/// A free port of 127.0.0.1.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
