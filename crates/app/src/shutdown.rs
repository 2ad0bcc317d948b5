//! Graceful shutdown. From the signal on, the whole shutdown has a fixed time (`LOCKSTEP_SHUTDOWN_SECONDS`): first work
//! in flight reaches a step at which it can yield, then connections and embedded servers are closed. Whatever has not
//! ended by then is named and aborted, whatever the cause: a database that does not respond, a key that does not
//! arrive. All of it is resumed at the next start.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Maximum part of the shutdown time that is reserved for closing connections and servers.
const FOR_CLOSING: Duration = Duration::from_secs(5);

/// The state of the shutdown and its time limits. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shutdown {
    /// Cancelled by the signal: no new work starts.
    pub(crate) stop: CancellationToken,
    /// Cancelled when no more connections are accepted.
    pub(crate) doors: CancellationToken,
    limit: Duration,
    /// How long connections are still accepted, while `/readyz` asks load balancers to send requests elsewhere.
    drain: Duration,
    asked: Arc<OnceLock<Instant>>,
    cut: Arc<AtomicBool>,
}

impl Shutdown {
    /// A shutdown that has not been requested.
    pub(crate) fn new(limit: Duration, drain: Duration) -> Self {
        Self {
            stop: CancellationToken::new(),
            doors: CancellationToken::new(),
            limit,
            drain: drain.min(limit / 2),
            asked: Arc::default(),
            cut: Arc::default(),
        }
    }

    /// The first signal requests a graceful shutdown, the second exits at once.
    pub(crate) async fn watch_signals(self) {
        if let Err(error) = stop_signal().await {
            tracing::warn!("cannot listen for signals: {error:#}");
            return;
        }
        self.begin();
        if stop_signal().await.is_ok() {
            tracing::warn!("stopped at once");
            exit();
        }
    }

    /// Starts the shutdown.
    pub(crate) fn begin(&self) {
        if self.asked.set(Instant::now()).is_err() {
            return;
        }
        let limit = self.limit;
        tracing::info!(
            "shutting down within {} s; press Ctrl-C again to stop at once",
            limit.as_secs()
        );
        self.stop.cancel();
        // A thread is independent of anything in this process that is blocked.
        let backstop = thread::Builder::new().name("closing".into()).spawn(move || {
            thread::sleep(limit);
            // A log that is not read may block its writer.
            drop(thread::Builder::new().spawn(move || {
                tracing::error!(
                    "shutdown took longer than {} s; exiting with work unfinished",
                    limit.as_secs()
                );
            }));
            thread::sleep(Duration::from_millis(100));
            exit();
        });
        if let Err(error) = backstop {
            tracing::warn!(%error, "the shutdown watchdog could not be started");
        }
        let (doors, drain) = (self.doors.clone(), self.drain);
        tokio::spawn(async move {
            tokio::time::sleep(drain).await;
            doors.cancel();
        });
    }

    /// The deadline of work in flight.
    fn work_until(&self) -> Instant {
        let asked = *self.asked.get_or_init(Instant::now);
        asked + self.limit.saturating_sub(FOR_CLOSING.min(self.limit / 4))
    }

    /// Runs `work` until it ends by itself after the signal; at the deadline, aborts it and logs `what`.
    pub(crate) async fn bound(&self, work: impl Future<Output = ()>, what: impl FnOnce() -> String) {
        let over = async {
            self.stop.cancelled().await;
            tokio::time::sleep_until(self.work_until()).await;
        };
        tokio::select! {
            biased;
            () = work => {}
            () = over => self.say_cut(&what()),
        }
    }

    /// Closes `what` within the remaining time.
    pub(crate) async fn close(&self, what: &str, work: impl Future<Output = ()>) {
        // Some time remains for the runtime itself.
        let until = self.work_until() + FOR_CLOSING.min(self.limit / 4).mul_f64(0.8);
        if tokio::time::timeout_at(until, work).await.is_err() {
            self.say_cut(what);
        }
    }

    fn say_cut(&self, what: &str) {
        self.cut.store(true, Ordering::Relaxed);
        let after = self.asked.get().map_or(0, |asked| asked.elapsed().as_secs());
        tracing::warn!("unfinished {after} s after the signal, and aborted: {what}; it continues at the next start");
    }

    /// Whether something was aborted.
    pub(crate) fn was_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

#[expect(clippy::exit, reason = "a person asked twice, or the time is over")]
fn exit() -> ! {
    crate::logging::flush();
    std::process::exit(1);
}

/// Waits for SIGINT or SIGTERM.
pub(crate) async fn stop_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(|error| anyhow!(error).context("signals")),
        _ = terminate.recv() => Ok(()),
    }
}

/// Named tasks, so that those that have not ended can be logged.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Tasks {
    pub(crate) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        *self.lock().entry(name).or_default() += 1;
        let running = Ended(self.clone(), name);
        self.tracker.spawn(async move {
            let _running = running;
            task.await;
        });
    }

    /// Waits until all have ended.
    pub(crate) async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// The names of the running tasks.
    pub(crate) fn names(&self) -> String {
        self.lock().keys().copied().collect::<Vec<_>>().join(", ")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a task from the list, also when it panics.
struct Ended(Tasks, &'static str);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut running = self.0.lock();
        if let Some(count) = running.get_mut(self.1) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn unfinished_tasks_are_aborted_by_name_and_finished_ones_are_not() {
        let closing = Shutdown::new(Duration::from_millis(800), Duration::ZERO);
        closing.asked.set(Instant::now()).unwrap();
        closing.stop.cancel();
        let began = Instant::now();
        closing.bound(async {}, || unreachable!("it ends")).await;
        assert!(!closing.was_cut());
        let tasks = Tasks::default();
        tasks.spawn("ends", async {});
        tasks.spawn("hangs", std::future::pending());
        tasks.spawn("hangs", std::future::pending());
        let mut said = String::new();
        closing
            .bound(tasks.wait(), || {
                said = tasks.names();
                said.clone()
            })
            .await;
        assert_eq!(said, "hangs");
        assert!(began.elapsed() >= Duration::from_millis(600), "it had its time");
        closing.close("the database", std::future::pending()).await;
        assert!(closing.was_cut());
    }
}
