//! Runs a program to its end, with a time limit and its output in a log.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::Error;
use crate::log::Log;
use crate::log_tail::LogTail;

/// Interval at which the state of a process is polled.
pub(crate) const GLANCE: Duration = Duration::from_millis(5);

/// The exit status of a program and its last lines of output.
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) tail: LogTail,
}

/// Runs `command`, which must have its own process group, with `input` as its standard input.
///
/// `input` must fit into a pipe (at least 4 KB), because it is written before the output is read. A program that is
/// still running after `limit` is killed and counts as failed.
pub(crate) fn run(mut command: Command, input: Option<&str>, log: &Log, limit: Duration) -> Result<Outcome, Error> {
    let program = Path::new(command.get_program()).to_path_buf();
    let (output, from) = log.open()?;
    let errors = output.try_clone().map_err(Error::io("open", log.path()))?;
    command.stdout(output).stderr(errors);
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().map_err(Error::io("run", &program))?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        // A program that ends without reading explains why in its output.
        pipe.write_all(input.as_bytes()).ok();
    }
    let ended = wait(&mut child, limit).map_err(Error::io("wait for", &program))?;
    if ended.is_none() {
        signal_group(&child, Signal::KILL);
        child.wait().map_err(Error::io("wait for", &program))?;
    }
    Ok(Outcome {
        success: ended.is_some_and(|status| status.success()),
        tail: LogTail::read(log.path(), from),
    })
}

/// Waits for the process to end; `None` if it is still running after `limit`.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(GLANCE);
    }
}

/// The process id of a child that has not been waited for.
pub(crate) fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Sends a signal to a child and its process group. A child that has already ended is not an error.
fn signal_group(child: &Child, signal: Signal) {
    kill_process_group(pid_of(child), signal).ok();
}
