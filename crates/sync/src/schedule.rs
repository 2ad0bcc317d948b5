//! What is due now. Pure: the application owns the loop and the clock.
//!
//! Everything twice a day, price and stock every quarter of an hour (the seed's frequencies), and in between what G2A
//! has changed. A pass over everything also counts as a look at the stock and at the changes.

use chrono::{DateTime, Duration, NaiveTime, Utc};
use lockstep_store::sync::{Run, RunKind, RunStatus};

use crate::What;

/// How often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// When everything is read, UTC.
    pub full_at: Vec<NaiveTime>,
    /// Time between two looks at the stock, from beginning to beginning.
    pub stock_every: Duration,
    /// Time between two looks at what has changed.
    pub incremental_every: Duration,
    /// Rest after a run that was interrupted.
    pub after_interruption: Duration,
    /// Rest after a run that failed: somebody has to do something first.
    pub after_failure: Duration,
}

impl Default for Schedule {
    /// Everything at 02:00 and 14:00, stock every 15 minutes, changes every 5; again one minute after an interruption
    /// and ten minutes after a failure.
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

/// What the schedule has to know of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Past {
    /// The last completed pass over everything began.
    pub full: Option<DateTime<Utc>>,
    /// The last completed look at the stock began.
    pub stock: Option<DateTime<Utc>>,
    /// The last completed look at the changes began.
    pub incremental: Option<DateTime<Utc>>,
    /// The last run of each of the three, if it did not complete: how it ended and when.
    pub unfinished: Unfinished,
}

/// How the last run of each kind ended, if it did not complete, and when.
pub type Unfinished = [Option<(RunStatus, DateTime<Utc>)>; 3];

impl Past {
    /// From what the store remembers (`store::sync::freshness` and `store::sync::last_runs`).
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

    /// Forgets the rest after runs that ended before this process began: whoever started it may have mended the reason,
    /// and should see that at once. `before` are the unfinished runs that it found.
    pub fn forgive(&mut self, before: &Unfinished) {
        for (unfinished, before) in self.unfinished.iter_mut().zip(before) {
            if unfinished == before {
                *unfinished = None;
            }
        }
    }
}

/// When something is due next, and what; `now` or earlier when it is due already.
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
    // Of two at the same time the more complete one, which stands first.
    all.into_iter()
        .min_by_key(|(at, _)| (*at).max(now))
        .unwrap_or((now, What::Full))
}

/// What should be run at `now`; the most complete first. `None` when nothing is due.
///
/// A run that is marked as running is treated as interrupted: whoever begins finds out whether it lives.
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
    // Before everything was read once there is nothing to keep up to date.
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

/// The first of the daily times that is still to come.
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
    fn what_is_due_when() {
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
    fn the_slot_of_yesterday_evening_counts_after_midnight() {
        let past = Past {
            full: Some("2027-03-03T13:00:00Z".parse().unwrap()),
            ..Past::default()
        };
        assert_eq!(due(at("00:10:00"), &past, &Schedule::default()), Some(What::Full));
    }

    #[test]
    fn a_run_that_did_not_complete_rests_before_it_is_tried_again_and_others_go_on() {
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
    fn a_process_that_starts_does_not_rest_after_runs_of_its_forerunners() {
        let mut before = done("", "", "");
        before.unfinished[0] = Some((RunStatus::Failed, at("14:01:00")));
        let schedule = Schedule::default();
        assert_eq!(due(at("14:02:00"), &before, &schedule), None, "its forerunner rests");
        let mut past = before;
        past.forgive(&before.unfinished);
        assert_eq!(due(at("14:02:00"), &past, &schedule), Some(What::Full));
        // Its own failure counts.
        let mut past = before;
        past.unfinished[0] = Some((RunStatus::Failed, at("14:02:30")));
        past.forgive(&before.unfinished);
        assert_eq!(due(at("14:03:00"), &past, &schedule), None);
        assert_eq!(next(at("14:03:00"), &past, &schedule), (at("14:12:30"), What::Full));
    }

    #[test]
    fn what_is_next_is_due_then_and_nothing_before() {
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
