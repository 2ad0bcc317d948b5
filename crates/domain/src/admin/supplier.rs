//! The supplier as staff see it: jobs and runs, calls and their budget, reservations, and incidents.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{GameKeyOwner, Paging};
use crate::catalogue::iso_millis;
use crate::money::Money;
use crate::order::OrderStatus;
use crate::purchase::iso_millis_or_none;

/// What a synchronisation has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncCounts {
    /// Products read.
    pub synced: u32,
    /// New games.
    pub added: u32,
    /// Games that changed.
    pub updated: u32,
    /// Games taken off sale because G2A no longer lists them.
    pub removed: u32,
    /// New categories.
    pub categories_created: u32,
    /// New genres.
    pub genres_created: u32,
    /// New platforms.
    pub platforms_created: u32,
    /// Products that could not be used, and other problems; the first hundred.
    pub errors: Vec<SyncFault>,
}

/// A product that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncFault {
    /// G2A's id of the product; empty if it is not about one.
    pub product_id: String,
    /// The reason.
    pub error: String,
}

/// A job that staff have asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobRow {
    /// Identifier.
    pub id: Uuid,
    /// `FULL`, `INCREMENTAL`, `PRODUCTS`, `CONNECTION` (a test) or `LISTING` (a page that is only shown).
    pub kind: &'static str,
    /// `WAITING`, `RUNNING`, `COMPLETED`, `FAILED` or `CANCELLED`.
    pub state: &'static str,
    /// Who asked for it; absent once that account is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Uuid>,
    /// When.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub requested_at: DateTime<Utc>,
    /// When a worker first took it.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub finished_at: Option<DateTime<Utc>>,
    /// Whether staff asked to cancel it.
    pub cancel_requested: bool,
    /// How often a worker took it: more than once if one was stopped or killed.
    pub attempts: u64,
    /// Of `PRODUCTS`: how many are done.
    pub products_done: u32,
    /// Of `PRODUCTS`: how many there are.
    pub products_total: u32,
    /// What it has done, as far as recorded.
    #[serde(flatten)]
    pub counts: SyncCounts,
    /// Why it failed or waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its log, oldest line first.
    pub log: Vec<String>,
}

/// A page of jobs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobList {
    /// The jobs.
    pub jobs: Vec<JobRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// The job that a progress is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobBrief {
    /// Identifier.
    pub id: Uuid,
    /// As in `JobRow`.
    pub kind: &'static str,
    /// `WAITING` or `RUNNING`.
    pub state: &'static str,
}

/// A run of the synchronisation: at a time of the schedule, at the command line, or for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncRunRow {
    /// Identifier.
    pub id: Uuid,
    /// `FULL`, `STOCK`, `INCREMENTAL` or `PRODUCT`.
    pub kind: &'static str,
    /// Who asked for it.
    pub reason: String,
    /// `RUNNING`, `COMPLETED`, `FAILED` or `INTERRUPTED`.
    pub status: &'static str,
    /// When it first began.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub started_at: DateTime<Utc>,
    /// When something was last recorded.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: DateTime<Utc>,
    /// When it ended for good.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub finished_at: Option<DateTime<Utc>>,
    /// How often it was resumed.
    pub resumes: u32,
    /// Pages written.
    pub pages_read: u32,
    /// Games that were as G2A lists them.
    pub unchanged: u32,
    /// Products that could not be used.
    pub skipped: u32,
    /// What it has done. New categories, genres and platforms are not recorded and 0.
    #[serde(flatten)]
    pub counts: SyncCounts,
    /// Why it failed or was interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
}

/// A page of runs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncRunList {
    /// The runs.
    pub runs: Vec<SyncRunRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// Calls to the supplier and webhooks of all processes that ran within a week, since each was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SupplierMetrics {
    /// Requests sent.
    pub requests_total: u64,
    /// Requests that G2A answered with a success.
    pub requests_success: u64,
    /// Requests that failed, were refused, or got no complete answer.
    pub requests_error: u64,
    /// Requests that repeated a failed one; part of the total.
    pub requests_retry: u64,
    /// Webhooks received.
    pub webhook_total: u64,
    /// Webhooks with a valid signature.
    pub webhook_valid: u64,
    /// Webhooks that were refused.
    pub webhook_invalid: u64,
    /// Durations of the latest requests in milliseconds, at most a hundred of each process.
    pub latency_ms: Vec<u32>,
    /// The same as `latency_stats`.
    pub latency: LatencyStats,
    /// Statistics of `latency_ms`.
    pub latency_stats: LatencyStats,
    /// Number of processes that these numbers are the sum of.
    pub processes: u64,
}

/// Statistics of durations in whole milliseconds; all 0 without any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LatencyStats {
    /// Mean.
    pub avg: u32,
    /// Shortest.
    pub min: u32,
    /// Longest.
    pub max: u32,
    /// Half took at most this long.
    pub p50: u32,
    /// 95 of 100 took at most this long.
    pub p95: u32,
    /// 99 of 100 took at most this long.
    pub p99: u32,
}

impl LatencyStats {
    /// The statistics of `durations`.
    pub fn of(durations: &[u32]) -> Self {
        let mut sorted = durations.to_vec();
        sorted.sort_unstable();
        let (Some(min), Some(max)) = (sorted.first(), sorted.last()) else {
            return Self::default();
        };
        // The smallest value that at least `percent` of all do not exceed.
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().unwrap_or(*max)
        };
        let sum: u64 = sorted.iter().map(|duration| u64::from(*duration)).sum();
        let count = u64::try_from(sorted.len()).unwrap_or(1).max(1);
        Self {
            avg: u32::try_from(sum / count).unwrap_or(u32::MAX),
            min: *min,
            max: *max,
            p50: at(50),
            p95: at(95),
            p99: at(99),
        }
    }
}

/// How many calls G2A may still get, and whether it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SupplierBudget {
    /// Calls that may be made at once; `null` before the first.
    pub available: Option<u32>,
    /// Most calls that may be made at once; `null` while no worker runs.
    pub capacity: Option<u32>,
    /// Calls that become available each minute; `null` while no worker runs.
    pub per_minute: Option<u32>,
    /// G2A asked to slow down: no calls before this time.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub blocked_until: Option<DateTime<Utc>>,
    /// The running workers.
    pub workers: Vec<WorkerHealth>,
    /// Reasons why nothing can be bought.
    pub alarms: Vec<SupplierAlarm>,
}

/// A running worker and what it makes of G2A.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkerHealth {
    /// The process.
    pub process: Uuid,
    /// Its circuit breaker: `closed` (calls are sent), `open` (they fail at once) or `half-open` (one is tried).
    pub breaker: String,
    /// Consecutive failures.
    pub failures: u32,
    /// When an open breaker tries the next call.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub retry_at: Option<DateTime<Utc>>,
    /// When it last reported.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub seen_at: DateTime<Utc>,
}

/// A reason why nothing can be bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SupplierAlarm {
    /// `FUNDS`, `LIMIT` or `ACCESS`.
    pub kind: String,
    /// Since when.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: DateTime<Utc>,
    /// G2A's message.
    pub detail: String,
}

/// An order unit that is being bought at G2A.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReservationRow {
    /// ID of the order unit.
    pub reservation_id: Uuid,
    /// ID of the shop's order.
    pub order_id: Uuid,
    /// G2A's id of the product; empty if the game has none.
    pub product_id: String,
    /// Always 1: each unit is an order of its own at G2A.
    pub quantity: u32,
    /// `pending` while nothing has been paid for it, then `confirmed`: the existing console's words.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: &'static str,
    /// State of the unit: `ORDERING`, `ORDERED`, `PAYING`, `PAID`, `FETCHING` or `LOST`.
    pub state: String,
    /// When G2A's reservation ends; `null` while nothing is reserved.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was reserved, or the unit was made.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// ID of the order at G2A, if there is one yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g2a_order_id: Option<String>,
    /// Whether it can be cancelled: nothing has been paid for it.
    pub cancellable: bool,
    /// The shop's order; absent for staff who may not read orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<ReservationOrder>,
}

/// The order that a reservation is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReservationOrder {
    /// Identifier.
    pub id: Uuid,
    /// Status.
    pub status: OrderStatus,
    /// Amount paid, EUR.
    pub total: Money,
    /// Who bought it.
    pub user: GameKeyOwner,
}

/// A page of reservations, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReservationList {
    /// The reservations.
    pub reservations: Vec<ReservationRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// A problem that was dealt with by a rule, or waits for staff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentRow {
    /// Identifier.
    pub id: Uuid,
    /// Kind (`KEY_LOST` and others).
    pub kind: String,
    /// ID of the order unit that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_id: Option<Uuid>,
    /// ID of its order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Uuid>,
    /// ID of the order at G2A.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g2a_order_id: Option<String>,
    /// What happened.
    pub detail: String,
    /// When.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// When it was closed; `null` while it is open.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub resolved_at: Option<DateTime<Utc>>,
    /// What staff found; absent if a rule closed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A page of incidents, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentList {
    /// The incidents.
    pub incidents: Vec<IncidentRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<u32> = (1..=100).rev().collect();
        let stats = LatencyStats::of(&hundred);
        assert_eq!((stats.min, stats.max, stats.avg), (1, 100, 50));
        assert_eq!((stats.p50, stats.p95, stats.p99), (50, 95, 99));
        assert_eq!(LatencyStats::of(&[]), LatencyStats::default());
    }

    proptest! {
        #[test]
        fn statistics_are_ordered_and_within_the_values(values in proptest::collection::vec(any::<u32>(), 1..200)) {
            let stats = LatencyStats::of(&values);
            prop_assert!(stats.min <= stats.p50 && stats.p50 <= stats.p95 && stats.p95 <= stats.p99 && stats.p99 <= stats.max);
            prop_assert!(stats.min <= stats.avg && stats.avg <= stats.max);
            for percentile in [stats.p50, stats.p95, stats.p99] {
                prop_assert!(values.contains(&percentile));
            }
        }
    }
}
