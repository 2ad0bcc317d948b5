//! Reports about sales, margins and refunds.

use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, Utc};
use lockstep_auth::Admin;
use lockstep_domain::admin::{MarginReport, RefundReport, ReportBy, SalesReport};
use lockstep_store::StoreError;
use lockstep_store::admin::reports::{self, Asked};

use crate::{BackOffice, TimeZone};

/// Maximum number of days of a report by day, week or month: ten years.
pub const MAX_REPORT_DAYS: i64 = 3_660;
/// Maximum number of days of a report that reads every sale of its period: a year.
pub const MAX_COUNTED_DAYS: i64 = 366;
/// Number of days of a report that names no first one.
const USUAL_DAYS: u64 = 30;

/// How many reports that read every sale of their period run at one time in a process.
pub(crate) const REPORTS_AT_ONCE: usize = 2;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// This process makes as many reports as it may.
    #[error("other reports are being made")]
    Busy,
    /// The books of the period take too long to read.
    #[error("This report takes too long. Ask for a shorter period, or by day, week or month.")]
    TooSlow,
    /// The database.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ReportError {
    fn from(error: StoreError) -> Self {
        if error.is_too_slow() {
            Self::TooSlow
        } else {
            Self::Store(error)
        }
    }
}

/// The requested days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportDays {
    /// First day; by default 29 days before the last one.
    pub from: Option<NaiveDate>,
    /// Last day; by default today.
    pub to: Option<NaiveDate>,
}

/// The days are in the wrong order, or too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be no earlier than `from`, and at most {most} days with it")]
pub struct WrongDays {
    /// Maximum number of days.
    pub most: i64,
}

impl ReportDays {
    /// The first and the last day: at most `most` days.
    ///
    /// # Errors
    /// [`WrongDays`].
    pub fn resolve(self, today: NaiveDate, most: i64) -> Result<(NaiveDate, NaiveDate), WrongDays> {
        let to = self
            .to
            .unwrap_or_else(|| self.from.map_or(today, |from| from.max(today)));
        let usual = to.checked_sub_days(Days::new(USUAL_DAYS - 1)).unwrap_or(to);
        let from = self.from.unwrap_or(usual);
        let count = (to - from).num_days().saturating_add(1);
        (1..=most)
            .contains(&count)
            .then_some((from, to))
            .ok_or(WrongDays { most })
    }
}

impl BackOffice {
    /// The same use cases with days of this time zone.
    #[must_use]
    pub fn with_time_zone(self, zone: TimeZone) -> Self {
        Self { zone, ..self }
    }

    /// Today, in the shop's time zone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn today(&self, now: DateTime<Utc>) -> Result<NaiveDate, StoreError> {
        reports::day_of(&self.store, now, &self.zone).await
    }

    fn asked(&self, (from, to): (NaiveDate, NaiveDate)) -> Asked {
        Asked {
            from,
            to,
            zone: self.zone.clone(),
        }
    }

    /// Takes one of the places for reports that read every sale of their period.
    fn place(&self, by: ReportBy) -> Result<Option<tokio::sync::OwnedSemaphorePermit>, ReportError> {
        if by.is_period() {
            return Ok(None);
        }
        let place = Arc::clone(&self.reports).try_acquire_owned();
        place.map(Some).map_err(|_taken| ReportError::Busy)
    }

    /// Sales from the first to the last of `days`, both included.
    ///
    /// # Errors
    /// [`ReportError`].
    #[tracing::instrument(name = "admin.report.sales", skip_all)]
    pub async fn sales(
        &self,
        _by: &Admin,
        rows: ReportBy,
        days: (NaiveDate, NaiveDate),
    ) -> Result<SalesReport, ReportError> {
        let (asked, _place) = (self.asked(days), self.place(rows)?);
        let read = self
            .store
            .read(|tx| Box::pin(async move { reports::sales(tx, rows, &asked).await }));
        Ok(read.await?.value)
    }

    /// Margins of the orders from the first to the last of `days`, both included.
    ///
    /// # Errors
    /// [`ReportError`].
    #[tracing::instrument(name = "admin.report.margin", skip_all)]
    pub async fn margin(
        &self,
        _by: &Admin,
        rows: ReportBy,
        days: (NaiveDate, NaiveDate),
    ) -> Result<MarginReport, ReportError> {
        let (asked, _place) = (self.asked(days), self.place(rows)?);
        let read = self
            .store
            .read(|tx| Box::pin(async move { reports::margin(tx, rows, &asked).await }));
        Ok(read.await?.value)
    }

    /// Refunds from the first to the last of `days`, both included, by reason.
    ///
    /// # Errors
    /// [`ReportError`].
    #[tracing::instrument(name = "admin.report.refunds", skip_all)]
    pub async fn refunds(&self, _by: &Admin, days: (NaiveDate, NaiveDate)) -> Result<RefundReport, ReportError> {
        let (asked, _place) = (self.asked(days), self.place(ReportBy::Genre)?);
        let read = self
            .store
            .read(|tx| Box::pin(async move { reports::refunds(tx, &asked).await }));
        Ok(read.await?.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_defaults_and_an_end_after_their_beginning() {
        let day = |text: &str| Some(text.parse::<NaiveDate>().unwrap());
        let today = day("2026-11-30").unwrap();
        let resolve = |from, to| ReportDays { from, to }.resolve(today, MAX_REPORT_DAYS).ok();
        assert_eq!(resolve(None, None), day("2026-11-01").zip(Some(today)));
        assert_eq!(
            resolve(None, day("2026-01-31")),
            day("2026-01-02").zip(day("2026-01-31"))
        );
        assert_eq!(resolve(day("2026-11-30"), None), Some((today, today)));
        assert_eq!(
            resolve(day("2026-12-02"), None),
            day("2026-12-02").zip(day("2026-12-02"))
        );
        assert_eq!(resolve(day("2026-12-02"), day("2026-12-01")), None);
        assert_eq!(
            resolve(day("2016-11-23"), None).map(|(from, _)| from),
            day("2016-11-23")
        );
        assert_eq!(resolve(day("2016-11-22"), None), None);
    }
}
