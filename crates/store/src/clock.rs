//! Handles steps of the database's clock, which all waits are based on. It can be set by a person, by a machine that
//! was suspended, or by a time server after a long error.
//!
//! Workers compare it with a monotonic clock ([`ClockWatch`]). After a step back, [`set_back`] restarts pending waits
//! from the current time. For a while after any step, ages are unreliable and no decision that costs money depends on
//! one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_clock::Clock;
use tokio::time::Instant;

use crate::{Result, Store};

/// Differences up to this are not a step: clocks are slewed, and transactions begin some time before they write.
const TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// A reading that took longer than this is compared with earlier ones, but later ones are not compared with it.
const SHARP: Duration = Duration::from_secs(1);

/// A step of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Backward, by approximately this much.
    Back(Duration),
    /// Forward, by approximately this much; or this machine was suspended.
    Forward(Duration),
}

/// Detects steps of the database's clock.
#[derive(Debug, Default)]
pub struct ClockWatch(Mutex<Watched>);

#[derive(Debug, Default)]
struct Watched {
    last: Option<Reading>,
    stepped: Option<Instant>,
}

/// The database's clock showed `database` at some time between `asked` and `answered`.
#[derive(Debug, Clone, Copy)]
struct Reading {
    asked: Instant,
    database: DateTime<Utc>,
    answered: Instant,
}

impl Store {
    /// How far the database's clock is ahead of `clock`, with an error up to the duration of the query.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    pub async fn clock_ahead(&self, clock: &Clock) -> Result<TimeDelta> {
        let mut connection = self.pool().acquire().await?;
        let here = clock.now();
        let there = sqlx::query_scalar!(
            r#"-- store.clock
            select clock_timestamp() as "now!""#
        )
        .fetch_one(&mut *connection)
        .await?;
        Ok(there - here)
    }
}

impl ClockWatch {
    /// Reads the clock and returns a step if it was set since the last reading.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    pub async fn look(&self, store: &Store) -> Result<Option<Step>> {
        let asked = Instant::now();
        let database = sqlx::query_scalar!(
            r#"-- store.clock.look
            select clock_timestamp() as "now!""#
        )
        .fetch_one(store.alone())
        .await?;
        Ok(self.compare(Reading {
            asked,
            database,
            answered: Instant::now(),
        }))
    }

    /// Time since the last detected step, if there was one.
    pub fn since_step(&self) -> Option<Duration> {
        let watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.stepped.map(|at| at.elapsed())
    }

    fn compare(&self, now: Reading) -> Option<Step> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let step = watched.last.and_then(|last| {
            let by_database = now.database - last.database;
            let at_least = span(now.asked.saturating_duration_since(last.answered));
            let at_most = span(now.answered.saturating_duration_since(last.asked));
            if by_database > at_most + TOLERANCE {
                (by_database - at_most).to_std().ok().map(Step::Forward)
            } else if by_database < at_least - TOLERANCE {
                (at_least - by_database).to_std().ok().map(Step::Back)
            } else {
                None
            }
        });
        if step.is_some() {
            watched.stepped = Some(now.answered);
        }
        if step.is_some() || watched.last.is_none() || now.answered - now.asked <= SHARP {
            watched.last = Some(now);
        }
        step
    }
}

fn span(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX / 4)
}

/// Counts of waits that began in the future and were restarted from the current time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetBack {
    /// Order units.
    pub units: u64,
    /// Alarms, top-ups, e-mails and synchronisations.
    pub others: u64,
}

impl SetBack {
    /// Whether nothing was restarted.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Repairs waits after the clock was set back: each restarts from the current time with its usual duration, and no
/// alarm postpones the next buying attempt by more than `alarm_retry`. Changes nothing if the clock was not set.
/// Idempotent.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn set_back(store: &Store, alarm_retry: Duration) -> Result<SetBack> {
    // `least` ignores null, so a time that is not set is left out of it. Separate statements: no transaction holds rows of two tables.
    let units = sqlx::query!(
        "-- store.clock.set_back.units
        update order_units
           set not_before = now() + greatest(not_before - waits_from, interval '0'),
               ordered_at = case when ordered_at is not null then least(ordered_at, now()) end,
               pay_asked_at = case when pay_asked_at is not null then least(pay_asked_at, now()) end
         where id in (select id from order_units where state not in ('DONE', 'REFUNDED')
                         and waits_from > now() + interval '5 seconds' order by id for update skip locked)"
    )
    .execute(store.alone())
    .await?
    .rows_affected();
    let alarms = sqlx::query!(
        "-- store.clock.set_back.alarms
        update supplier_alarms set since = least(since, now()), retry_at = now() + make_interval(secs => $1)
         where retry_at > now() + make_interval(secs => $1::float8 + 5)",
        alarm_retry.as_secs_f64()
    )
    .execute(store.alone())
    .await?
    .rows_affected();
    // An intent that was never queried waits a minute, the others at most the longest interval between two queries.
    let top_ups = sqlx::query!(
        "-- store.clock.set_back.top_ups
        update top_ups set not_before = now() + case when attempts = 0 then interval '1 minute'
                                                     when review = 'NO_END' then interval '1 day'
                                                     else interval '1 hour' end
         where (status in ('PENDING', 'PROCESSING') or closing_since is not null) and reviewed_at is null
           and case when attempts = 0 then created_at > now() + interval '5 seconds'
                                           and not_before > now() + interval '1 minute'
                    when review = 'NO_END' then not_before > now() + interval '1 day 1 minute'
                    else not_before > now() + interval '61 minutes' end"
    )
    .execute(store.alone())
    .await?
    .rows_affected();
    // What was never tried is due, the rest waits at most five minutes (`LONGEST_WAIT` of `crates/mail`).
    let mail = sqlx::query!(
        "-- store.clock.set_back.mail
        update mail_outbox set not_before = least(not_before, now() + case when attempts = 0 then interval '0'
                                                                          else interval '5 minutes' end)
         where sent_at is null and gave_up_at is null
           and ((attempts = 0 and not_before > now() + interval '5 seconds' and created_at > now() + interval '5 seconds')
                -- Announcements are spread over hours on purpose.
                or not_before > now() + interval '6 minutes' and kind <> 'announcement')"
    )
    .execute(store.alone())
    .await?
    .rows_affected();
    let runs = sqlx::query!(
        "-- store.clock.set_back.runs
        update sync_runs set started_at = least(started_at, now()),
               finished_at = case when finished_at is not null then least(finished_at, now()) end
         where started_at > now() + interval '5 seconds'"
    )
    .execute(store.alone())
    .await?
    .rows_affected();
    // A job waits two seconds, and belongs to a worker for fifteen (`Intervals` of `crates/sync`).
    let jobs = sqlx::query!(
        "-- store.clock.set_back.jobs
        update supplier_jobs set due_at = now() where finished_at is null and due_at > now() + interval '30 seconds'"
    )
    .execute(store.alone())
    .await?
    .rows_affected();
    Ok(SetBack {
        units,
        others: alarms + top_ups + mail + runs + jobs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Time passes between readings, answers take time, and the clock is sometimes set.
        #[test]
        fn every_step_is_detected_and_nothing_else(
            looks in prop::collection::vec((0u64..600_000, 0u64..900, 0u64..900, -4_000_000i64..4_000_000, any::<bool>()), 1..40),
        ) {
            let (watch, start) = (ClockWatch::default(), Instant::now());
            let (mut mono, mut set) = (0_u64, 0_i64);
            let epoch: DateTime<Utc> = "2027-01-01T00:00:00Z".parse().unwrap();
            for (n, (pause, before, after, step, is_set)) in looks.into_iter().enumerate() {
                mono += pause;
                // Ambiguous sizes, neither clearly a step nor clearly none, are left out.
                let step = if is_set && step.abs() > 9_000 { step } else { 0 };
                set += step;
                let asked = start + Duration::from_millis(mono);
                let database = epoch + TimeDelta::milliseconds(i64::try_from(mono + before).unwrap() + set);
                mono += before + after;
                let seen = watch.compare(Reading { asked, database, answered: start + Duration::from_millis(mono) });
                let expected = if n == 0 { 0 } else { step.signum() };
                prop_assert_eq!(
                    match seen { None => 0, Some(Step::Back(_)) => -1, Some(Step::Forward(_)) => 1 },
                    expected
                );
            }
        }
    }

    #[test]
    fn slow_reading_is_no_step_and_no_later_baseline() {
        let (watch, start) = (ClockWatch::default(), Instant::now());
        let epoch: DateTime<Utc> = "2027-01-01T00:00:00Z".parse().unwrap();
        let look = |asked: u64, database: i64, answered: u64| {
            watch.compare(Reading {
                asked: start + Duration::from_secs(asked),
                database: epoch + TimeDelta::seconds(database),
                answered: start + Duration::from_secs(answered),
            })
        };
        assert_eq!(look(0, 0, 0), None);
        assert_eq!(look(10, 10, 40), None, "the question arrived at once");
        assert_eq!(look(50, 80, 80), None, "the answer came at once");
        assert_eq!(watch.since_step(), None);
        assert_eq!(look(90, 60, 90), Some(Step::Back(Duration::from_secs(30))));
        assert_eq!(look(91, 61, 91), None, "told once");
        assert_eq!(look(92, 92, 92), Some(Step::Forward(Duration::from_secs(30))));
        assert!(watch.since_step().is_some());
    }
}
