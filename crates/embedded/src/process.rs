//! Runs a program to its end, within a time limit and with its output in a log.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::Error;
use crate::log::{Log, LogTail};

/// How often the state of a process is looked at while waiting for it.
pub(crate) const GLANCE: Duration = Duration::from_millis(5);

/// How a program ended and the last lines it wrote.
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) tail: LogTail,
}

/// Runs `command`, which must have a process group of its own, giving it `input` to read.
///
/// `input` must fit into a pipe (4 KB at least), since it is written before the output is waited for. A program that
/// is still running after `limit` is killed and counts as failed.
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
        // A program that ends without reading tells why in its output.
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

/// Waits for the process to end; `None` if it has not within `limit`.
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

/// The number of a child that has not been waited for.
pub(crate) fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Sends a signal to a child and all of its process group. One that is gone already is what was wanted.
fn signal_group(child: &Child, signal: Signal) {
    kill_process_group(pid_of(child), signal).ok();
}
