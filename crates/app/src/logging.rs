//! Logs go to stderr: readable on a terminal, otherwise one JSON object per line.
//!
//! No code waits for the reader of the log. A pipe that is not read takes 64 kB and then blocks its writer, and with it
//! every thread that logs. Lines therefore go through a queue to a separate thread; when the queue is full they are
//! dropped and counted, and the count is logged once lines flow again.
//!
//! The access log has a queue of its own: however many requests there are, no line of theirs takes the place of a
//! warning. What is dropped from it is counted, but not logged.

use std::io::{IsTerminal as _, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use lockstep_telemetry::Collector;
use lockstep_telemetry::otlp::{self, Exporter};
use tracing::Metadata;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

/// The default filter: our own messages, and only warnings of the libraries.
const DEFAULT: &str = "info,sqlx=warn,hyper=warn,reqwest=warn";
/// Capacity of the queue in lines: a few megabytes.
const QUEUE: usize = 4_096;
/// How long the end of the program waits for queued lines to be read.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Target of the access log.
const ACCESS: &str = "access";
/// Size of the buffer in front of stderr in bytes.
const BATCH: usize = 64 * 1024;

/// The guards of the writing threads; dropping them flushes the last lines.
static WRITERS: Mutex<Vec<WorkerGuard>> = Mutex::new(Vec::new());
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();
static ACCESS_DROPPED: OnceLock<ErrorCounter> = OnceLock::new();
/// Number of dropped lines that the log has reported.
static TOLD: AtomicU64 = AtomicU64::new(0);

/// Starts logging, and the export of traces if there is a collector. Called once, before anything is logged.
pub(crate) fn start(filter: Option<&str>, collector: Option<&Collector>) -> Result<Option<Exporter>> {
    let filter = EnvFilter::try_new(filter.unwrap_or(DEFAULT)).map_err(|error| anyhow!("RUST_LOG: {error}"))?;
    let terminal = std::io::stderr().is_terminal();
    let queues = Queues {
        lines: queue("log"),
        access: queue("access log"),
    };
    DROPPED.get_or_init(|| queues.lines.error_counter());
    ACCESS_DROPPED.get_or_init(|| queues.access.error_counter());
    let lines = fmt::layer()
        .with_writer(queues)
        // Those would go to stderr directly.
        .log_internal_errors(false)
        .with_ansi(terminal);
    let lines = if terminal {
        lines.with_target(false).boxed()
    } else {
        // The list of spans holds the current one.
        lines.json().flatten_event(true).with_current_span(false).boxed()
    };
    let mut exporter = None;
    match collector {
        // One filter for everything costs a request less than one for each layer.
        None => registry().with(lines).with(filter).try_init(),
        Some(collector) => {
            let (spans, started) = otlp::start(collector).context("OTEL_EXPORTER_OTLP_ENDPOINT")?;
            exporter = Some(started);
            registry().with(lines.with_filter(filter)).with(spans).try_init()
        }
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
    Ok(exporter)
}

/// Starts a queue and the thread that empties it.
fn queue(thread: &str) -> NonBlocking {
    let (lines, writer) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUE)
        .thread_name(thread)
        .finish(Batch::default());
    WRITERS.lock().unwrap_or_else(PoisonError::into_inner).push(writer);
    lines
}

/// The queues of lines, by target.
#[derive(Debug)]
struct Queues {
    lines: NonBlocking,
    access: NonBlocking,
}

impl<'a> MakeWriter<'a> for Queues {
    type Writer = NonBlocking;

    fn make_writer(&'a self) -> NonBlocking {
        self.lines.clone()
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> NonBlocking {
        if line.target() == ACCESS {
            self.access.clone()
        } else {
            self.lines.clone()
        }
    }
}

/// Lines on their way to stderr: those that wait together are written together, which costs one system call instead of
/// one per line. The lines of both queues stay whole, because stderr is locked until all are written.
#[derive(Debug, Default)]
struct Batch(Vec<u8>);

impl Write for Batch {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + line.len() > BATCH {
            self.flush()?;
        }
        self.0.extend_from_slice(line);
        Ok(line.len())
    }

    /// Called when the queue is empty.
    fn flush(&mut self) -> std::io::Result<()> {
        let written = std::io::stderr().lock().write_all(&self.0);
        // Lines that cannot be written are lost; kept, they would fill memory.
        self.0.clear();
        written
    }
}

/// Counts the lines that were dropped so far, and logs the count as soon as the queue accepts lines again. To be called
/// periodically.
pub(crate) fn tell_dropped() {
    if let Some(counter) = ACCESS_DROPPED.get() {
        let dropped = u64::try_from(counter.dropped_lines()).unwrap_or(u64::MAX);
        metrics::counter!("lockstep_access_log_lines_dropped_total").absolute(dropped);
    }
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
    let writers = std::mem::take(&mut *WRITERS.lock().unwrap_or_else(PoisonError::into_inner));
    if !writers.is_empty() {
        // A guard waits a second by itself; if its queue is full it writes a complaint to stdout, which may block, too.
        in_bounded_time(move || drop(writers));
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
