//! The supplier's side for staff: the history of synchronisations, calls and their budget, reservations and incidents.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_domain::admin::{
    GameKeyOwner, IncidentList, IncidentRow, JobList, JobRow, LatencyStats, Page, ReservationList, ReservationOrder,
    ReservationRow, SupplierAlarm, SupplierBudget, SupplierMetrics, SyncCounts, SyncFault, SyncRunList, SyncRunRow,
    WorkerHealth,
};
use lockstep_domain::ids::{OrderId, UnitId};
use lockstep_domain::{Money, order::UnitState};
use serde_json::json;
use uuid::Uuid;

use super::bounds;
use crate::audit::{self, By};
use crate::fulfilment::{EmailSettings, NotRefundable, refund_unit};
use crate::jobs::{self, Job};
use crate::row::{how_many_of, money_of, nickname_of, order_status_of};
use crate::supplier_calls;
use crate::sync::{self, Counts, Problem, TermCounts, UNITS_PER_CALL};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Subject, Tx};

/// How long G2A holds an unpaid order.
const RESERVATION: TimeDelta = TimeDelta::minutes(30);

/// What the counts of a run or job are for staff.
pub fn counts(counts: Counts, terms: TermCounts, problems: &[Problem]) -> SyncCounts {
    let terms_of = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    SyncCounts {
        synced: small(counts.seen),
        added: small(counts.created),
        updated: small(counts.updated),
        removed: small(counts.withdrawn),
        categories_created: terms_of(terms.categories),
        genres_created: terms_of(terms.genres),
        platforms_created: terms_of(terms.platforms),
        errors: problems
            .iter()
            .map(|problem| SyncFault {
                product_id: problem.product.clone().unwrap_or_default(),
                error: problem.reason.clone(),
            })
            .collect(),
    }
}

/// What a job is for staff.
pub fn job_row(job: Job) -> JobRow {
    let result = job.result;
    JobRow {
        id: job.id,
        kind: job.kind.as_str(),
        state: job.state.as_str(),
        requested_by: job.requested_by,
        requested_at: job.requested_at,
        started_at: job.started_at,
        finished_at: job.finished_at,
        cancel_requested: job.cancel_asked,
        attempts: how_many_of(job.epoch),
        products_done: small(job.done),
        products_total: u32::try_from(job.products.len()).unwrap_or(u32::MAX),
        counts: counts(result.counts, result.terms, &result.problems),
        reason: result.reason,
        log: result.log,
    }
}

/// A page of jobs, newest first.
///
/// # Errors
/// [`StoreError`].
pub async fn job_list(tx: &mut Tx, page: Page) -> Result<JobList> {
    let (limit, offset) = bounds(page);
    let (jobs, all) = jobs::list(tx, limit, offset).await?;
    Ok(JobList {
        jobs: jobs.into_iter().map(job_row).collect(),
        paging: page.of(how_many_of(all)),
    })
}

/// A page of runs, newest first.
///
/// # Errors
/// [`StoreError`].
pub async fn run_list(tx: &mut Tx, page: Page) -> Result<SyncRunList> {
    let (limit, offset) = bounds(page);
    let (runs, all) = sync::page_of_runs(tx, limit, offset).await?;
    let row = |run: sync::Run| SyncRunRow {
        id: run.id.0,
        kind: run.kind.as_str(),
        reason: run.reason,
        status: run.status.as_str(),
        started_at: run.started_at,
        updated_at: run.updated_at,
        finished_at: run.finished_at,
        resumes: small(run.resumes),
        pages_read: small(run.counts.pages_read),
        unchanged: small(run.counts.unchanged),
        skipped: small(run.counts.skipped),
        counts: counts(run.counts, TermCounts::default(), &run.problems),
        stopped_by: run.stopped_by,
    };
    Ok(SyncRunList {
        runs: runs.into_iter().map(row).collect(),
        paging: page.of(how_many_of(all)),
    })
}

/// Calls to the supplier and webhooks of all processes.
///
/// # Errors
/// [`StoreError`].
pub async fn metrics(tx: &mut Tx) -> Result<SupplierMetrics> {
    let all = supplier_calls::all(tx).await?;
    let mut sum = SupplierMetrics {
        processes: u64::try_from(all.len()).unwrap_or(u64::MAX),
        ..SupplierMetrics::default()
    };
    for one in all {
        let calls = one.calls;
        sum.requests_total += calls.requests;
        sum.requests_success += calls.succeeded;
        sum.requests_error += calls.failed;
        sum.requests_retry += calls.retried;
        sum.webhook_total += calls.webhooks;
        sum.webhook_valid += calls.webhooks.saturating_sub(calls.webhooks_refused);
        sum.webhook_invalid += calls.webhooks_refused;
        sum.latency_ms.extend(calls.latency_ms);
    }
    sum.latency = LatencyStats::of(&sum.latency_ms);
    sum.latency_stats = sum.latency;
    Ok(sum)
}

/// Whether a worker runs, which does jobs.
///
/// # Errors
/// [`StoreError`].
pub async fn has_worker(tx: &mut Tx) -> Result<bool> {
    let all = supplier_calls::all(tx).await?;
    Ok(all.iter().any(|one| one.runs && one.calls.worker.is_some()))
}

/// The request budget, the workers' circuit breakers and what stops all buying.
///
/// # Errors
/// [`StoreError`].
pub async fn budget(tx: &mut Tx) -> Result<SupplierBudget> {
    let mut workers = Vec::new();
    let mut sizes = None;
    for one in supplier_calls::all(tx).await?.into_iter().filter(|one| one.runs) {
        let Some(worker) = one.calls.worker else { continue };
        sizes.get_or_insert((worker.budget_capacity, worker.budget_per_minute));
        workers.push(WorkerHealth {
            process: one.process,
            breaker: worker.breaker,
            failures: worker.failures,
            retry_at: one.retry_at,
            seen_at: one.seen_at,
        });
    }
    let bucket = sync::look_at_budget(tx).await?;
    let (capacity, per_minute) = sizes.unzip();
    let available = bucket.map(|bucket| {
        // As taking a call computes it; without the sizes, as of the last call.
        let passed = bucket.now_ms.saturating_sub(bucket.updated_at_ms).max(0);
        let refill = passed.saturating_mul(per_minute.map_or(0, i64::from));
        let most = capacity.map_or(i64::MAX, |calls| i64::from(calls) * UNITS_PER_CALL);
        let level = bucket.level.saturating_add(refill).min(most);
        u32::try_from(level / UNITS_PER_CALL).unwrap_or(0)
    });
    let blocked_until = bucket
        .filter(|bucket| bucket.blocked_until_ms > bucket.now_ms)
        .and_then(|bucket| DateTime::<Utc>::from_timestamp_millis(bucket.blocked_until_ms));
    let alarms =
        sqlx::query!("-- store.admin.supplier.alarms\nselect kind, since, detail from supplier_alarms order by since")
            .fetch_all(tx.conn())
            .await?;
    Ok(SupplierBudget {
        available,
        capacity,
        per_minute,
        blocked_until,
        workers,
        alarms: alarms
            .into_iter()
            .map(|row| SupplierAlarm {
                kind: row.kind,
                since: row.since,
                detail: row.detail,
            })
            .collect(),
    })
}

/// States of a unit that nothing has been paid for at G2A, and those in which it may have been.
const UNPAID: [UnitState; 3] = [UnitState::Ordering, UnitState::Ordered, UnitState::Lost];
const PAID: [UnitState; 3] = [UnitState::Paying, UnitState::Paid, UnitState::Fetching];

/// The existing console's words for them.
const PENDING: &str = "pending";
const CONFIRMED: &str = "confirmed";

/// The states that a word means: the name of a state, or one of the existing console's.
fn states_of(word: &str) -> Vec<String> {
    let names = |states: &[UnitState]| states.iter().map(|state| state.as_str().to_owned()).collect();
    if word.eq_ignore_ascii_case(PENDING) {
        names(&UNPAID)
    } else if word.eq_ignore_ascii_case(CONFIRMED) {
        names(&PAID)
    } else {
        vec![word.to_uppercase()]
    }
}

/// Which reservations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReservationFilter {
    /// Those of this order.
    pub order: Option<OrderId>,
    /// Those whose unit is in this state, or `pending` or `confirmed`.
    pub status: Option<String>,
}

/// Units that are being bought at G2A, the oldest first.
///
/// # Errors
/// [`StoreError`].
pub async fn reservations(tx: &mut Tx, filter: &ReservationFilter, page: Page) -> Result<ReservationList> {
    let (limit, offset) = bounds(page);
    let states = filter.status.as_deref().map(states_of);
    let rows = sqlx::query!(
        r#"-- store.admin.supplier.reservations
        select u.id, u.order_id, u.state, u.g2a_order_id, u.ordered_at, u.created_at, u.updated_at, g.g2a_product_id,
               o.status::text as "order_status!", o.total, o.user_id, p.email, p.nickname
          from order_units u join orders o on o.id = u.order_id join games g on g.id = u.game_id
          join users p on p.id = o.user_id
         where u.state not in ('DONE', 'REFUNDED', 'NEW')
           and ($1::uuid is null or u.order_id = $1) and ($2::text[] is null or u.state = any($2))
         order by u.created_at, u.id limit $3 offset $4"#,
        filter.order.map(|order| order.0),
        states.as_deref(),
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let all = sqlx::query_scalar!(
        r#"-- store.admin.supplier.count_reservations
        select count(*) as "all!" from order_units u
         where u.state not in ('DONE', 'REFUNDED', 'NEW')
           and ($1::uuid is null or u.order_id = $1) and ($2::text[] is null or u.state = any($2))"#,
        filter.order.map(|order| order.0),
        states.as_deref()
    )
    .fetch_one(tx.uncached())
    .await?;
    let reservations = rows
        .into_iter()
        .map(|row| {
            let cancellable = UNPAID.iter().any(|state| state.as_str() == row.state);
            Ok(ReservationRow {
                reservation_id: row.id,
                order_id: row.order_id,
                product_id: row.g2a_product_id.unwrap_or_default(),
                quantity: 1,
                status: if cancellable { PENDING } else { CONFIRMED },
                state: row.state,
                // Whose answer is not here yet began no earlier.
                expires_at: row.ordered_at.unwrap_or(row.updated_at).checked_add_signed(RESERVATION),
                created_at: row.ordered_at.unwrap_or(row.created_at),
                g2a_order_id: row.g2a_order_id,
                cancellable,
                order: Some(ReservationOrder {
                    id: row.order_id,
                    status: order_status_of(&row.order_status)?,
                    total: money_of(row.total)?,
                    user: GameKeyOwner {
                        id: row.user_id,
                        email: row.email,
                        nickname: nickname_of(row.nickname),
                    },
                }),
            })
        })
        .collect::<Result<_>>()?;
    Ok(ReservationList {
        reservations,
        paging: page.of(how_many_of(all)),
    })
}

/// Gives up a unit that nothing has been paid for at G2A and refunds it, on behalf of `by`; returns the amount, EUR. What
/// G2A holds for it ends by itself. Recorded in the audit log.
///
/// # Errors
/// [`NotRefundable`]; then nothing has changed.
pub async fn cancel_reservation(
    store: &Store,
    by: &By,
    unit: UnitId,
    emails: &EmailSettings,
) -> Result<Money, NotRefundable> {
    let order = sqlx::query_scalar!(
        "-- store.admin.supplier.order_of_unit\nselect order_id from order_units where id = $1",
        unit.0
    )
    .fetch_optional(store.alone())
    .await
    .map_err(StoreError::from)?
    .ok_or(NotRefundable::Unknown)?;
    let asked = std::sync::Arc::new((by.clone(), emails.clone()));
    store
        .tx_about(
            "supplier.cancel_reservation",
            &[Subject::Order(OrderId(order))],
            move |tx| {
                let asked = std::sync::Arc::clone(&asked);
                Box::pin(async move {
                    let (by, emails) = &*asked;
                    let (refunded, _) = refund_unit(tx, unit, "cancelled by staff", emails).await?;
                    let details = json!({ "refunded": refunded, "order": order });
                    audit::record(tx, by, "reservation.cancel", ("order_unit", unit.0), details).await?;
                    Ok(refunded)
                })
            },
        )
        .await
}

/// A page of incidents, newest first: open ones, closed ones, or all.
///
/// # Errors
/// [`StoreError`].
pub async fn incidents(tx: &mut Tx, open: Option<bool>, page: Page) -> Result<IncidentList> {
    let (limit, offset) = bounds(page);
    let incidents = sqlx::query_as!(
        IncidentRow,
        r#"-- store.admin.supplier.incidents
        select i.id, i.kind, i.order_unit_id as unit_id, u.order_id as "order_id?", i.g2a_order_id, i.detail, i.created_at,
               i.resolved_at, i.note
          from incidents i left join order_units u on u.id = i.order_unit_id
         where $1::boolean is null or (i.resolved_at is null) = $1
         order by i.created_at desc, i.id desc limit $2 offset $3"#,
        open,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let all = sqlx::query_scalar!(
        r#"-- store.admin.supplier.count_incidents
        select count(*) as "all!" from incidents where $1::boolean is null or (resolved_at is null) = $1"#,
        open
    )
    .fetch_one(tx.uncached())
    .await?;
    Ok(IncidentList {
        incidents,
        paging: page.of(how_many_of(all)),
    })
}

/// Why an incident was not closed.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// No such incident.
    #[error("Incident not found")]
    NotFound,
    /// Staff, or a rule, closed it before.
    #[error("This incident is closed already.")]
    Closed,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(CloseError);

/// Closes an incident with a note of 1 to 500 characters, on behalf of `by`. Recorded in the audit log.
///
/// # Errors
/// [`CloseError`]; then nothing has changed.
pub async fn close_incident(store: &Store, by: &By, id: Uuid, note: &str) -> Result<IncidentRow, CloseError> {
    let asked = std::sync::Arc::new((by.clone(), note.to_owned()));
    store
        .tx("supplier.close_incident", move |tx| {
            let asked = std::sync::Arc::clone(&asked);
            Box::pin(async move {
                let (by, note) = &*asked;
                let closed = sqlx::query_as!(
                    IncidentRow,
                    r#"-- store.admin.supplier.close_incident
                    update incidents i set resolved_at = now(), note = $2 where id = $1 and resolved_at is null
                    returning i.id, i.kind, i.order_unit_id as unit_id,
                              (select u.order_id from order_units u where u.id = i.order_unit_id) as order_id,
                              i.g2a_order_id, i.detail, i.created_at, i.resolved_at, i.note"#,
                    id,
                    note
                )
                .fetch_optional(tx.conn())
                .await?;
                let Some(closed) = closed else {
                    let exists = sqlx::query_scalar!(
                        r#"-- store.admin.supplier.incident_exists
                        select exists (select from incidents where id = $1) as "exists!""#,
                        id
                    )
                    .fetch_one(tx.conn())
                    .await?;
                    return Err(if exists {
                        CloseError::Closed
                    } else {
                        CloseError::NotFound
                    });
                };
                let details = json!({ "kind": closed.kind, "note": note });
                audit::record(tx, by, "incident.close", ("incident", id), details).await?;
                Ok(closed)
            })
        })
        .await
}

fn small(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}
