//! Polls the invalidation log: at an interval, after a wake-up, and on demand.
//!
//! Wake-ups are best effort: they make changes visible within milliseconds, but correctness does not depend on them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockstep_store::invalidation::LogDelta;
use lockstep_store::{Snapshot, Store, StoreError, pools};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::fill;
use crate::invalidation_index::covers;
use crate::tally::add;
use crate::{Inner, ReadError, clock};

/// Time limit of one poll; by then the lease has long expired.
const LOOK_LIMIT: Duration = Duration::from_secs(1);
/// Commits of this process within this time share one poll and one wake-up of the other processes.
const GATHER: Duration = Duration::from_millis(2);
/// Delays before the wake-up connection is retried.
const RELISTEN_MIN: Duration = Duration::from_millis(50);
const RELISTEN_MAX: Duration = Duration::from_secs(5);
/// Retry interval of forgetting another server's transaction ids.
const FORGET_AGAIN: Duration = Duration::from_secs(5);
/// Interval at which counters are published to the metrics recorder.
const PUBLISH: Duration = Duration::from_secs(1);

/// The poller of one process.
#[derive(Debug)]
pub(crate) struct Poller {
    /// A store with three separate connections: one to poll, one to listen, one to wake.
    log: Store,
    /// Locked during a poll.
    seen: tokio::sync::Mutex<Seen>,
    /// Notifies all waiters at once when a poll has ended; otherwise they would return one after the other.
    ended: Notify,
    /// Start and error of the last failed poll.
    failed: Mutex<Option<(u64, ReadError)>>,
    /// For [`crate::Status`].
    identity: Mutex<Option<String>>,
    /// Set when a poll found transaction ids of another server ([`LogDelta::foreign`]).
    foreign: AtomicBool,
    wake: Notify,
}

#[derive(Debug)]
struct Seen {
    last: Snapshot,
    identity: Option<String>,
    /// The last poll failed, and the failure was logged.
    blind: bool,
}

impl Poller {
    pub(crate) fn new(store: &Store) -> Self {
        Self {
            log: store.apart(pools::LOG),
            seen: tokio::sync::Mutex::new(Seen {
                last: Snapshot::ORIGIN,
                identity: None,
                blind: false,
            }),
            ended: Notify::new(),
            failed: Mutex::new(None),
            identity: Mutex::new(None),
            foreign: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    pub(crate) fn identity(&self) -> Option<String> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The error of a poll that began after `asked` and failed.
    fn failure_since(&self, asked: u64) -> Option<ReadError> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed
            .as_ref()
            .filter(|(began, _)| *began > asked)
            .map(|(_, error)| error.clone())
    }
}

/// Notifies the waiters when dropped, because the polling caller may be cancelled at any point.
struct Ended<'a>(&'a Notify);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

impl Inner {
    /// Polls the log unless a poll that began after this call ends first: callers that arrive during a poll share the
    /// next poll and its result.
    pub(crate) async fn catch_up(&self) -> Result<(), ReadError> {
        let asked = clock::now();
        let guard = loop {
            // Registers for the end of every poll from here on.
            let ended = self.poller.ended.notified();
            if self.index.known_at() > asked {
                return Ok(());
            }
            if let Some(error) = self.poller.failure_since(asked) {
                return Err(error);
            }
            match self.poller.seen.try_lock() {
                Ok(guard) => break guard,
                Err(_) => ended.await,
            }
        };
        // Notifies after the lock is released, because it is declared first.
        let _ended = Ended(&self.poller.ended);
        let mut seen = guard;
        if self.index.known_at() > asked {
            return Ok(());
        }
        let (began, started) = (Instant::now(), clock::now());
        let result = self.look(&mut seen).await;
        metrics::histogram!("lockstep_cache_poll_seconds").record(began.elapsed());
        add(&self.tally.polls);
        match &result {
            Ok(()) if seen.blind => {
                seen.blind = false;
                tracing::info!("the invalidation log can be read again");
            }
            Ok(()) => {}
            Err(error) => {
                add(&self.tally.poll_errors);
                if !seen.blind {
                    seen.blind = true;
                    tracing::warn!(
                        error = error as &dyn std::error::Error,
                        "the invalidation log cannot be read; no copies are served until it can: {error}"
                    );
                }
            }
        }
        result.map_err(|error| {
            let error = ReadError::from(error);
            *self.poller.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((started, error.clone()));
            error
        })
    }

    async fn look(&self, seen: &mut Seen) -> Result<(), StoreError> {
        let mut began = clock::now();
        let mut look = self.ask(&seen.last).await?;
        let same = |look: &LogDelta, seen: &Seen| {
            seen.identity.as_ref() == Some(&look.identity) && covers(&look.snapshot, &seen.last)
        };
        let anew = !same(&look, seen);
        if anew && seen.last != Snapshot::ORIGIN {
            // The request used transaction numbers of another database.
            tracing::warn!(
                "the database was replaced (restored, promoted, or recovered from a crash); all copies are discarded"
            );
            *seen = Seen {
                last: Snapshot::ORIGIN,
                identity: None,
                blind: seen.blind,
            };
            began = clock::now();
            look = self.ask(&seen.last).await?;
        }
        if self.index.learn(&look, began, anew) {
            self.news.send_modify(|count| *count += 1);
        }
        if anew {
            *self.poller.identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(look.identity.clone());
        }
        self.poller.foreign.store(look.foreign, Ordering::Relaxed);
        seen.last = look.snapshot;
        seen.identity = Some(look.identity);
        Ok(())
    }

    /// Forgets another server's transaction ids after a backup was restored under this process. The next poll then
    /// finds a database with a new identity.
    async fn forget_foreign_ids(&self) {
        match self.poller.log.forget_foreign_ids().await {
            Ok(forgotten) if forgotten.is_something() => tracing::warn!(
                rows = forgotten.rows,
                "discarded the transaction ids of another server, which came with a restored backup; copies are served again"
            ),
            // Another process has done it.
            Ok(_) => {}
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the invalidation log holds transaction ids of another server, which came with a restored backup; no copies are served until they are discarded: {error}"
            ),
        }
    }

    async fn ask(&self, last: &Snapshot) -> Result<LogDelta, StoreError> {
        timeout(LOOK_LIMIT, self.poller.log.look_at_invalidations(last))
            .await
            .unwrap_or_else(|_| Err(StoreError::timed_out()))
    }
}

/// Starts the background tasks of `inner`.
pub(crate) fn spawn(inner: &Arc<Inner>) {
    let run = Arc::clone(inner);
    inner.tasks.spawn(async move {
        run.stop.run_until_cancelled(poll_until_stopped(&run)).await;
    });
    let run = Arc::clone(inner);
    inner.tasks.spawn(async move {
        run.stop.run_until_cancelled(wake_others(&run)).await;
    });
    let run = Arc::clone(inner);
    inner.tasks.spawn(async move {
        run.stop.run_until_cancelled(listen(&run)).await;
    });
    if inner.redis.is_some() {
        let run = Arc::clone(inner);
        inner.tasks.spawn(async move {
            if let Some(redis) = &run.redis {
                redis.watch(&run.stop).await;
            }
        });
        let run = Arc::clone(inner);
        inner.tasks.spawn(async move {
            run.stop.run_until_cancelled(fill::give_back_after_returns(&run)).await;
        });
    }
}

async fn poll_until_stopped(inner: &Inner) {
    let mut published = Instant::now();
    let mut forget_at = Instant::now();
    loop {
        // A wake-up and an expired interval lead to the same poll.
        timeout(inner.config.poll, inner.poller.wake.notified()).await.ok();
        // `catch_up` logs the failure; the lease expires without it.
        inner.catch_up().await.ok();
        if inner.poller.foreign.load(Ordering::Relaxed) && Instant::now() >= forget_at {
            inner.forget_foreign_ids().await;
            forget_at = Instant::now() + FORGET_AGAIN;
        }
        if published.elapsed() >= PUBLISH {
            published = Instant::now();
            inner.publish();
        }
    }
}

/// After commits of this process: polls immediately and wakes the other processes.
async fn wake_others(inner: &Inner) {
    let mut commits = inner.store.commits();
    while commits.changed().await.is_ok() {
        sleep(GATHER).await;
        commits.mark_unchanged();
        let (_, woken) = tokio::join!(inner.catch_up(), inner.poller.log.wake_all());
        if let Err(error) = woken {
            tracing::debug!("could not notify the other processes: {error}");
        }
    }
}

async fn listen(inner: &Inner) {
    let mut pause = RELISTEN_MIN;
    loop {
        if let Ok(mut wakeups) = inner.poller.log.wakeups().await {
            inner.poller.wake.notify_one();
            while wakeups.next().await.is_ok() {
                pause = RELISTEN_MIN;
                inner.poller.wake.notify_one();
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(RELISTEN_MAX);
    }
}
