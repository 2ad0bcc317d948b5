//! Logs go to stderr: readable on a terminal, otherwise one JSON object per line.
//!
//! No code waits for the reader of the log. A pipe that is not read takes 64 kB and then blocks its writer, and with it
//! every thread that logs. Lines therefore go through a queue to a separate thread; when the queue is full they are
//! dropped and counted, and the count is logged once lines flow again.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Result, anyhow};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// The default filter: our own messages, and only warnings of the libraries.
const DEFAULT: &str = "info,sqlx=warn,hyper=warn,reqwest=warn";
/// Capacity of the queue in lines: a few megabytes.
const QUEUE: usize = 4_096;
/// How long the end of the program waits for queued lines to be read.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The guard of the writing thread; dropping it flushes the last lines.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();
/// Number of dropped lines that the log has reported.
static TOLD: AtomicU64 = AtomicU64::new(0);

/// Starts logging. Called once, before anything is logged.
pub(crate) fn start(filter: Option<&str>) -> Result<()> {
    let filter = EnvFilter::try_new(filter.unwrap_or(DEFAULT)).map_err(|error| anyhow!("RUST_LOG: {error}"))?;
    let terminal = std::io::stderr().is_terminal();
    let (lines, writer) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUE)
        .thread_name("log")
        .finish(std::io::stderr());
    DROPPED.get_or_init(|| lines.error_counter());
    *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines)
        // Those would go to stderr directly.
        .log_internal_errors(false)
        .with_ansi(terminal);
    if terminal {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    }
    .map_err(|error| anyhow!("logging: {error}"))?;
    // The default hook writes to stderr itself, and blocks until it is read.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        let words = panic.payload_as_str().unwrap_or("it did not say why");
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            tracing::error!(place, %backtrace, "a task panicked: {words}");
        } else {
            tracing::error!(place, "a task panicked: {words}");
        }
    }));
    Ok(())
}

/// Counts the lines that were dropped so far, and logs the count as soon as the queue accepts lines again. To be called
/// periodically.
pub(crate) fn tell_dropped() {
    let Some(counter) = DROPPED.get() else { return };
    let count = || u64::try_from(counter.dropped_lines()).unwrap_or(u64::MAX);
    let dropped = count();
    metrics::counter!("lockstep_log_lines_dropped_total").absolute(dropped);
    let lines = dropped.saturating_sub(TOLD.load(Ordering::Relaxed));
    if lines == 0 {
        return;
    }
    tracing::warn!(
        lines,
        "{lines} log lines were dropped, because nobody read the log fast enough"
    );
    // If this line was dropped as well, the next call repeats it.
    if count() == dropped {
        TOLD.store(dropped, Ordering::Relaxed);
    }
}

/// Waits up to `LAST_WORDS` for the last lines to be read. Nothing is logged after it.
pub(crate) fn flush() {
    let writer = WRITER.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(writer) = writer {
        // The guard waits a second by itself; if the queue is full it writes a complaint to stdout, which may block,
        // too.
        in_bounded_time(move || drop(writer));
    }
}

/// Runs `work`, which may block on a reader, on a separate thread and waits at most two seconds for it.
pub(crate) fn in_bounded_time(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::Builder::new().name("last words".into()).spawn(move || {
        work();
        done.send(()).ok();
    });
    if thread.is_ok() {
        ended.recv_timeout(LAST_WORDS).ok();
    }
}

/// Flushes the log however `main` ends.
#[derive(Debug)]
pub(crate) struct FlushAtEnd;

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        flush();
    }
}
