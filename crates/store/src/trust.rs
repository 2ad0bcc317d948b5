//! Decides which pooled connections may still be used.
//!
//! A session keeps its initial settings. One that began while `default_transaction_read_only` was on refuses writes
//! after the setting is off again; one whose server went down, or failed at its disk, is dead or about to be. Such a
//! failure affects every connection of that time, and finding out would cost one failed request per connection.
//! Therefore the first such failure on any connection makes all pools of the process replace older connections, one by
//! one as they are next acquired.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time of the last failure of this kind in nanoseconds since [`beginning`]; 0 before the first.
static LOST_AT: AtomicU64 = AtomicU64::new(0);

/// Number of failures that may mean that the server went away.
static FAILURES: AtomicU64 = AtomicU64::new(0);

/// Notes a failure that may mean that the server went away.
pub(crate) fn suspect() {
    FAILURES.fetch_add(1, Ordering::Relaxed);
}

/// Number of failures of this process that may mean that the server went away.
pub(crate) fn failures() -> u64 {
    FAILURES.load(Ordering::Relaxed)
}

/// Makes the pools replace the existing connections before they are used again.
pub(crate) fn lose() {
    suspect();
    LOST_AT.fetch_max(now(), Ordering::Relaxed);
}

/// Whether something of this `age`, a connection or a fact about the database, is newer than the last failure.
pub(crate) fn holds(age: Duration) -> bool {
    let lost = LOST_AT.load(Ordering::Relaxed);
    lost == 0 || age < Duration::from_nanos(now().saturating_sub(lost))
}

/// Set when a statement found the disk full: the next probe then checks for itself.
static ROOM_DOUBTED: AtomicBool = AtomicBool::new(false);

/// Makes the next probe allocate disk space, regardless of when one last did.
pub(crate) fn doubt_room() {
    ROOM_DOUBTED.store(true, Ordering::Relaxed);
}

/// Whether the disk was found full since the last call.
pub(crate) fn take_room_doubt() -> bool {
    ROOM_DOUBTED.swap(false, Ordering::Relaxed)
}

fn now() -> u64 {
    u64::try_from(beginning().elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::disallowed_methods,
    reason = "compared with the age of connections, which sqlx measures with this clock even while a test pauses tokio's"
)]
fn beginning() -> Instant {
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    // Slightly before the first use, so that no failure has time 0.
    *BEGINNING.get_or_init(|| {
        Instant::now()
            .checked_sub(Duration::from_millis(1))
            .unwrap_or_else(Instant::now)
    })
}
