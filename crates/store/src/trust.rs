//! Which pooled connections may still be used.
//!
//! A session keeps what it was born with. One that began while `default_transaction_read_only` was on refuses writes
//! after the setting is off again; one whose server went down, or failed at its disk, is dead or about to be. Such a
//! failure says something about every connection of that time, and each of them would cost a request to find out. So the
//! first such failure, whoever meets it, makes all pools of the process replace what is older than it, one by one as they
//! are next asked for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nanoseconds since [`beginning`] of the last failure of this kind; 0 before the first.
static LOST_AT: AtomicU64 = AtomicU64::new(0);

/// Connections that exist now are replaced before they are used again.
pub(crate) fn lose() {
    LOST_AT.fetch_max(now(), Ordering::Relaxed);
}

/// Whether what is `age` old, a connection or a word about the database, is younger than the last failure.
pub(crate) fn holds(age: Duration) -> bool {
    let lost = LOST_AT.load(Ordering::Relaxed);
    lost == 0 || age < Duration::from_nanos(now().saturating_sub(lost))
}

fn now() -> u64 {
    u64::try_from(beginning().elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn beginning() -> Instant {
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    // A little earlier than the first question, so that no failure is at 0.
    *BEGINNING.get_or_init(|| {
        Instant::now()
            .checked_sub(Duration::from_millis(1))
            .unwrap_or_else(Instant::now)
    })
}
