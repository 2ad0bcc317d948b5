//! `/api/admin/reports…`: sales, margins and refunds from the books.

use std::str::FromStr;

use chrono::NaiveDate;
use http::StatusCode;
use lockstep_admin::{MAX_COUNTED_DAYS, MAX_REPORT_DAYS, ReportDays, ReportError};
use lockstep_domain::admin::{MarginReport, RefundReport, ReportBy, SalesReport};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::routes::{StaffRoute, at};
use super::{Day, RequireStaff};
use crate::answer::{self, Answered};
use crate::error::ApiError;
use crate::params::Ask;

#[derive(OpenApi)]
#[openapi(paths(sales, margin, refunds))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/reports/sales").get(Permission::DashboardRead, sales),
        at("/api/admin/reports/margin").get(Permission::DashboardRead, margin),
        at("/api/admin/reports/refunds").get(Permission::DashboardRead, refunds),
    ]
}

/// A value of `by`.
struct By(ReportBy);

impl FromStr for By {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = ReportBy::ALL.into_iter().find(|by| by.name() == text);
        known
            .map(Self)
            .ok_or("must be day, week, month, genre, platform or country")
    }
}

fn by(ask: &Ask) -> Result<ReportBy, ApiError> {
    Ok(ask.parsed::<By>("by")?.map_or(ReportBy::Day, |By(by)| by))
}

/// Maximum number of days of a report.
const fn most(by: ReportBy) -> i64 {
    if by.is_period() {
        MAX_REPORT_DAYS
    } else {
        MAX_COUNTED_DAYS
    }
}

/// Reads `from` and `to`, days of the shop's time zone.
async fn days(staff: &RequireStaff, ask: &Ask, most: i64) -> Result<(NaiveDate, NaiveDate), ApiError> {
    let day = |name| Ok::<_, ApiError>(ask.parsed::<Day>(name)?.map(|Day(day)| day));
    let days = ReportDays {
        from: day("from")?,
        to: day("to")?,
    };
    let today = staff.office.today(staff.now).await?;
    days.resolve(today, most)
        .map_err(|why| ApiError::invalid("to", why.to_string()))
}

/// Returns what was sold and refunded in a period, from the books.
///
/// By `day`, `week` or `month`, each row has the bookings of its days in the shop's time zone: a refund counts when it
/// was booked. By `genre`, `platform` or `country`, each row has the copies that were sold in the period, and what was refunded of
/// them until now; a game with several genres or platforms counts in the first one by name, so that the rows add up to
/// the total. By `country`, it is that of the card of the buyer's newest top-up before the order, `unknown` if there is none.
#[utoipa::path(get, path = "/api/admin/reports/sales", tag = "admin", operation_id = "adminSalesReport", security(("bearer" = [])), params(
    ("from" = Option<String>, Query, max_length = 100, description = "First day, YYYY-MM-DD; by default 29 days before the last one"),
    ("to" = Option<String>, Query, max_length = 100, description = "Last day, YYYY-MM-DD; by default today. At most 3,660 days; by genre, platform or country, 366"),
    ("by" = Option<String>, Query, max_length = 100, description = "`day` (default), `week`, `month`, `genre`, `platform` or `country`")),
    responses((status = 200, description = "The report", body = Answer<SalesReport>),
    (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission dashboard.read"),
    (status = 503, description = "Too many reports by genre, platform or country at one time; `report_too_slow`: it takes too long")))]
pub(crate) async fn sales(staff: RequireStaff, ask: Ask) -> Answered {
    let by = by(&ask)?;
    let days = days(&staff, &ask, most(by)).await?;
    answer::data(StatusCode::OK, &staff.office.sales(&staff.admin, by, days).await?)
}

/// Returns the margin of the orders that were placed in a period, as far as they are delivered.
///
/// Margin is what was paid for delivered copies, less refunds of it, less what the supplier was paid and what the
/// keys of the shop's own stock cost; `copiesWithoutCost` counts those whose cost is not known. Payment fees are not known.
#[utoipa::path(get, path = "/api/admin/reports/margin", tag = "admin", operation_id = "adminMarginReport", security(("bearer" = [])), params(
    ("from" = Option<String>, Query, max_length = 100, description = "First day, YYYY-MM-DD; by default 29 days before the last one"),
    ("to" = Option<String>, Query, max_length = 100, description = "Last day, YYYY-MM-DD; by default today. At most 3,660 days; by genre or platform, 366"),
    ("by" = Option<String>, Query, max_length = 100, description = "`day` (default), `week`, `month`, `genre` or `platform`")),
    responses((status = 200, description = "The report", body = Answer<MarginReport>),
    (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission dashboard.read"),
    (status = 503, description = "Too many reports by genre or platform at one time; `report_too_slow`: it takes too long")))]
pub(crate) async fn margin(staff: RequireStaff, ask: Ask) -> Answered {
    let by = by(&ask)?;
    if !by.has_margins() {
        return Err(ApiError::invalid("by", "must be day, week, month, genre or platform"));
    }
    let days = days(&staff, &ask, most(by)).await?;
    answer::data(StatusCode::OK, &staff.office.margin(&staff.admin, by, days).await?)
}

/// Returns the refunds of orders that were booked in a period, by reason.
#[utoipa::path(get, path = "/api/admin/reports/refunds", tag = "admin", operation_id = "adminRefundReport", security(("bearer" = [])), params(
    ("from" = Option<String>, Query, max_length = 100, description = "First day, YYYY-MM-DD; by default 29 days before the last one"),
    ("to" = Option<String>, Query, max_length = 100, description = "Last day, YYYY-MM-DD; by default today. At most 366 days"),
    ("by" = Option<String>, Query, max_length = 100, description = "`reason`, the only value")),
    responses((status = 200, description = "The report", body = Answer<RefundReport>),
    (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission dashboard.read"),
    (status = 503, description = "Too many such reports at one time; `report_too_slow`: it takes too long")))]
pub(crate) async fn refunds(staff: RequireStaff, ask: Ask) -> Answered {
    if ask.text("by")?.is_some_and(|by| by != "reason") {
        return Err(ApiError::invalid("by", "must be reason"));
    }
    let days = days(&staff, &ask, MAX_COUNTED_DAYS).await?;
    answer::data(StatusCode::OK, &staff.office.refunds(&staff.admin, days).await?)
}

impl From<ReportError> for ApiError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Busy => Self::Busy,
            ReportError::TooSlow => Self::refused(StatusCode::SERVICE_UNAVAILABLE, "report_too_slow", &error),
            ReportError::Store(error) => error.into(),
        }
    }
}
