//! The access log: one line per request, at level INFO under the target `access`. It names the route and not the
//! address, which holds ids, searches and tokens; nothing in it is about a person.
//!
//! A process that serves a hundred thousand cached answers a second must not write as many lines, so both ordinary and
//! noteworthy lines have a limit per second; the next line says how many were left out.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use metrics::Counter;
use tokio::time::Instant;

use crate::RequestId;
use crate::series::Series;

/// Target of the lines, for filters: `RUST_LOG=info,access=warn` turns them off.
pub(crate) const TARGET: &str = "access";
/// Lines per second of each kind.
const MOST: u64 = 1_000;
/// Requests that take longer are noteworthy.
const SLOW: Duration = Duration::from_secs(1);
/// The liveness check, which some monitors call every second; its answer says nothing.
pub(crate) const UNLOGGED: &str = "/healthz";

/// The facts of an answered request.
pub(crate) struct Answered<'a> {
    pub(crate) series: &'a Series,
    pub(crate) id: &'a RequestId,
    pub(crate) status: StatusCode,
    pub(crate) took: Duration,
    /// Length of the body, if it is known when the answer begins.
    pub(crate) bytes: Option<u64>,
}

static ORDINARY: Limiter = Limiter::new();
static NOTEWORTHY: Limiter = Limiter::new();

/// Writes the line.
pub(crate) fn log(answered: &Answered<'_>) {
    let Answered {
        series,
        id,
        status,
        took,
        bytes,
    } = answered;
    if series.route() == UNLOGGED || !tracing::enabled!(target: TARGET, tracing::Level::INFO) {
        return;
    }
    let is_slow = *took >= SLOW;
    let limiter = if is_slow || status.is_server_error() {
        &NOTEWORTHY
    } else {
        &ORDINARY
    };
    let Some(left_out) = limiter.admit(second(), MOST) else {
        static SKIPPED: OnceLock<Counter> = OnceLock::new();
        SKIPPED
            .get_or_init(|| metrics::counter!("lockstep_access_log_lines_skipped_total"))
            .increment(1);
        return;
    };
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(
        target: TARGET,
        method = series.method(),
        route = series.route(),
        status = status.as_u16(),
        ms = Duration::from_micros(micros).div_duration_f64(Duration::from_millis(1)),
        bytes,
        request_id = id.as_str(),
        skipped = (left_out > 0).then_some(left_out),
        "{} {} {}",
        series.method(),
        series.route(),
        status.as_u16()
    );
}

/// Seconds since some moment of this process.
fn second() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_secs()
}

/// Counts lines per second. Races let a few more pass.
#[derive(Debug)]
struct Limiter {
    second: AtomicU64,
    lines: AtomicU64,
}

impl Limiter {
    const fn new() -> Self {
        Self {
            second: AtomicU64::new(0),
            lines: AtomicU64::new(0),
        }
    }

    /// Whether this second has room for a line; the number of lines left out before it, if it has.
    fn admit(&self, second: u64, most: u64) -> Option<u64> {
        let mut skipped = 0;
        // A load first: a write for each request would have all cores wait for one another.
        if self.second.load(Ordering::Relaxed) != second && self.second.swap(second, Ordering::Relaxed) != second {
            let before = self.lines.swap(0, Ordering::Relaxed);
            skipped = before.saturating_sub(most);
        }
        (self.lines.fetch_add(1, Ordering::Relaxed) < most).then_some(skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_room_for_so_many_lines_and_the_next_tells_of_the_rest() {
        let limiter = Limiter::new();
        assert_eq!(limiter.admit(7, 2), Some(0));
        assert_eq!(limiter.admit(7, 2), Some(0));
        for _ in 0..3 {
            assert_eq!(limiter.admit(7, 2), None);
        }
        assert_eq!(limiter.admit(8, 2), Some(3));
        assert_eq!(limiter.admit(9, 2), Some(0));
    }
}
