//! Which run is due. The application owns the loop and the clock.
//!
//! A full pass runs twice a day, a stock check every quarter of an hour (the intervals of `docs/data-model.md`), and
//! incremental passes in between. A full pass also counts as a stock check and an incremental pass.

use chrono::{DateTime, Duration, NaiveTime, Utc};
use lockstep_store::sync::{Run, RunKind, RunStatus, freshness, last_runs};
use lockstep_store::{Result, Store};

use crate::What;

/// Intervals of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Times of full passes, UTC.
    pub full_at: Vec<NaiveTime>,
    /// Time between the starts of two stock checks.
    pub stock_every: Duration,
    /// Time between the starts of two incremental passes.
    pub incremental_every: Duration,
    /// Delay after an interrupted run.
    pub after_interruption: Duration,
    /// Delay after a failed run, which requires a person to act.
    pub after_failure: Duration,
}

impl Default for Schedule {
    /// Full passes at 02:00 and 14:00, stock checks every 15 minutes, incremental passes every 5; retries one minute
    /// after an interruption and ten minutes after a failure.
    fn default() -> Self {
        Self {
            full_at: [2, 14]
                .into_iter()
                .filter_map(|hour| NaiveTime::from_hms_opt(hour, 0, 0))
                .collect(),
            stock_every: Duration::minutes(15),
            incremental_every: Duration::minutes(5),
            after_interruption: Duration::minutes(1),
            after_failure: Duration::minutes(10),
        }
    }
}

/// The history that the schedule depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Past {
    /// Start of the last completed full pass.
    pub full: Option<DateTime<Utc>>,
    /// Start of the last completed stock check.
    pub stock: Option<DateTime<Utc>>,
    /// Start of the last completed incremental pass.
    pub incremental: Option<DateTime<Utc>>,
    /// Status and time of the last run of each of the three kinds, if it did not complete.
    pub unfinished: Unfinished,
}

/// Status and time of the last run of each kind, if it did not complete.
pub type Unfinished = [Option<(RunStatus, DateTime<Utc>)>; 3];

impl Past {
    /// Creates it from the store's records (`store::sync::freshness` and `store::sync::last_runs`).
    pub fn new(freshness: lockstep_store::sync::Freshness, last_runs: &[Run]) -> Self {
        let unfinished = [RunKind::Full, RunKind::Stock, RunKind::Incremental].map(|kind| {
            last_runs
                .iter()
                .find(|run| run.kind == kind && run.status != RunStatus::Completed)
                .map(|run| (run.status, run.updated_at))
        });
        Self {
            full: freshness.full,
            stock: freshness.stock,
            incremental: freshness.incremental,
            unfinished,
        }
    }

    /// Ignores delays after runs that ended before this process began: an operator who starts it may have fixed the
    /// cause and should see the effect at once. `before` has the unfinished runs found at start.
    pub fn forgive(&mut self, before: &Unfinished) {
        for (unfinished, before) in self.unfinished.iter_mut().zip(before) {
            if unfinished == before {
                *unfinished = None;
            }
        }
    }
}

/// Reads the history from the store.
///
/// # Errors
/// [`StoreError`](lockstep_store::StoreError).
pub async fn past(store: &Store) -> Result<Past> {
    let freshness = freshness(store).await?;
    let runs = store.read(|tx| Box::pin(last_runs(tx))).await?.value;
    Ok(Past::new(freshness, &runs))
}

/// Returns when the next run is due, and which; `now` or earlier if it is already due.
pub fn next(now: DateTime<Utc>, past: &Past, schedule: &Schedule) -> (DateTime<Utc>, What) {
    let rested = |at: usize| match past.unfinished.get(at).copied().flatten() {
        Some((RunStatus::Failed, ended)) => ended + schedule.after_failure,
        Some((_, ended)) => ended + schedule.after_interruption,
        None => DateTime::UNIX_EPOCH,
    };
    let Some(full) = past.full else {
        return (now.max(rested(0)), What::Full);
    };
    let slot = match last_slot(now, &schedule.full_at) {
        Some(slot) if full < slot => now,
        _ => next_slot(now, &schedule.full_at).unwrap_or(DateTime::<Utc>::MAX_UTC),
    };
    let stock = past.stock.max(Some(full)).unwrap_or(full) + schedule.stock_every;
    let changes = past.incremental.max(Some(full)).unwrap_or(full) + schedule.incremental_every;
    let all = [
        (slot.max(rested(0)), What::Full),
        (stock.max(rested(1)), What::Stock),
        (changes.max(rested(2)), What::Incremental),
    ];
    // Of two at the same time the more complete one, which comes first.
    all.into_iter()
        .min_by_key(|(at, _)| (*at).max(now))
        .unwrap_or((now, What::Full))
}

/// Returns the run that is due at `now`, the most complete first; `None` if none is due.
///
/// A run that is marked as running is treated as interrupted: the new run detects whether it is still alive.
pub fn due(now: DateTime<Utc>, past: &Past, schedule: &Schedule) -> Option<What> {
    let resting = |at: usize| match past.unfinished.get(at).copied().flatten() {
        Some((RunStatus::Failed, ended)) => now < ended + schedule.after_failure,
        Some((_, ended)) => now < ended + schedule.after_interruption,
        None => false,
    };
    let older = |last: Option<DateTime<Utc>>, than: Duration| last.is_none_or(|last| now >= last + than);

    let full_due = past
        .full
        .is_none_or(|last| last_slot(now, &schedule.full_at).is_some_and(|slot| last < slot));
    if full_due && !resting(0) {
        return Some(What::Full);
    }
    // Before the first full pass there is nothing to keep up to date.
    past.full?;
    if older(past.full.max(past.stock), schedule.stock_every) && !resting(1) {
        return Some(What::Stock);
    }
    (older(past.full.max(past.incremental), schedule.incremental_every) && !resting(2)).then_some(What::Incremental)
}

/// The latest of the daily times that is not in the future.
fn last_slot(now: DateTime<Utc>, times: &[NaiveTime]) -> Option<DateTime<Utc>> {
    let today = now.date_naive();
    [Some(today), today.pred_opt()]
        .into_iter()
        .flatten()
        .flat_map(|day| times.iter().map(move |time| day.and_time(*time).and_utc()))
        .filter(|slot| *slot <= now)
        .max()
}

/// The first of the daily times in the future.
fn next_slot(now: DateTime<Utc>, times: &[NaiveTime]) -> Option<DateTime<Utc>> {
    let today = now.date_naive();
    [Some(today), today.succ_opt()]
        .into_iter()
        .flatten()
        .flat_map(|day| times.iter().map(move |time| day.and_time(*time).and_utc()))
        .filter(|slot| *slot > now)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> DateTime<Utc> {
        format!("2027-03-04T{time}Z").parse().unwrap()
    }

    fn done(full: &str, stock: &str, incremental: &str) -> Past {
        let moment = |time: &str| (!time.is_empty()).then(|| at(time));
        Past {
            full: moment(full),
            stock: moment(stock),
            incremental: moment(incremental),
            ..Past::default()
        }
    }

    #[test]
    fn the_due_run_follows_from_time_and_history() {
        let schedule = Schedule::default();
        for (now, past, expected) in [
            ("09:00:00", done("", "", ""), Some(What::Full)),
            ("09:00:00", done("", "08:59:00", "08:59:00"), Some(What::Full)),
            ("02:00:00", done("01:59:59", "", ""), Some(What::Full)),
            ("02:30:00", done("02:00:00", "02:29:00", "02:29:00"), None),
            ("13:59:59", done("02:00:00", "13:58:00", "13:58:00"), None),
            ("14:00:00", done("02:00:00", "13:58:00", "13:58:00"), Some(What::Full)),
            ("01:00:00", done("00:58:00", "", ""), None),
            ("09:15:00", done("02:00:00", "09:00:00", "09:14:00"), Some(What::Stock)),
            ("09:14:59", done("02:00:00", "09:00:00", "09:10:00"), None),
            ("09:15:00", done("02:00:00", "09:00:00", "09:10:00"), Some(What::Stock)),
            (
                "09:05:00",
                done("02:00:00", "09:00:00", "09:00:00"),
                Some(What::Incremental),
            ),
            ("02:15:00", done("02:00:00", "", ""), Some(What::Stock)),
            ("02:05:00", done("02:00:00", "", ""), Some(What::Incremental)),
            ("02:04:59", done("02:00:00", "", ""), None),
        ] {
            assert_eq!(due(at(now), &past, &schedule), expected, "{now} {past:?}");
        }
    }

    #[test]
    fn yesterdays_evening_slot_counts_after_midnight() {
        let past = Past {
            full: Some("2027-03-03T13:00:00Z".parse().unwrap()),
            ..Past::default()
        };
        assert_eq!(due(at("00:10:00"), &past, &Schedule::default()), Some(What::Full));
    }

    #[test]
    fn an_unfinished_run_is_delayed_and_other_kinds_are_not() {
        let mut past = done("02:00:00", "13:50:00", "13:50:00");
        past.unfinished[0] = Some((RunStatus::Interrupted, at("14:01:00")));
        assert_eq!(
            due(at("14:01:30"), &past, &Schedule::default()),
            Some(What::Incremental)
        );
        assert_eq!(due(at("14:02:00"), &past, &Schedule::default()), Some(What::Full));
        past.unfinished[0] = Some((RunStatus::Failed, at("14:01:00")));
        assert_eq!(due(at("14:10:59"), &past, &Schedule::default()), Some(What::Stock));
        assert_eq!(due(at("14:11:00"), &past, &Schedule::default()), Some(What::Full));
    }

    #[test]
    fn a_new_process_ignores_delays_after_earlier_runs() {
        let mut before = done("", "", "");
        before.unfinished[0] = Some((RunStatus::Failed, at("14:01:00")));
        let schedule = Schedule::default();
        assert_eq!(due(at("14:02:00"), &before, &schedule), None, "its forerunner rests");
        let mut past = before;
        past.forgive(&before.unfinished);
        assert_eq!(due(at("14:02:00"), &past, &schedule), Some(What::Full));
        // The process's own failure counts.
        let mut past = before;
        past.unfinished[0] = Some((RunStatus::Failed, at("14:02:30")));
        past.forgive(&before.unfinished);
        assert_eq!(due(at("14:03:00"), &past, &schedule), None);
        assert_eq!(next(at("14:03:00"), &past, &schedule), (at("14:12:30"), What::Full));
    }

    #[test]
    fn the_next_run_is_due_at_its_time_and_none_before() {
        let schedule = Schedule::default();
        let mut failed = done("02:00:00", "13:50:00", "13:50:00");
        failed.unfinished[0] = Some((RunStatus::Failed, at("14:01:00")));
        let mut cut = done("", "", "");
        cut.unfinished[0] = Some((RunStatus::Interrupted, at("14:01:00")));
        for past in [
            done("02:00:00", "13:58:00", "13:58:00"),
            done("02:00:00", "", ""),
            done("", "", ""),
            failed,
            cut,
        ] {
            for minute in 0..60 {
                let now = at(&format!("13:{minute:02}:30"));
                let (when, what) = next(now, &past, &schedule);
                if when <= now {
                    assert_eq!(due(now, &past, &schedule), Some(what), "{now} {past:?}");
                } else {
                    assert_eq!(due(when, &past, &schedule), Some(what), "{when} {past:?}");
                    assert_eq!(
                        due(when - Duration::seconds(1), &past, &schedule),
                        None,
                        "{when} {past:?}"
                    );
                }
            }
        }
    }
}
