//! The synchronisation with G2A as jobs of staff, their history, and calls to G2A.

use std::time::Duration;

use axum::extract::Path;
use http::StatusCode;
use lockstep_admin::{Job, JobCancelled, JobKind, JobState, MAX_PRODUCTS, NewJob, Submitted, Taxonomy};
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::{JobList, JobRow, SupplierBudget, SupplierMetrics, SyncCounts, SyncRunList};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use super::routes::{StaffRoute, at};
use super::{Paged, RequireStaff, found};
use crate::answer::{self, Answered, Message, MessageWith};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;

#[derive(OpenApi)]
#[openapi(paths(
    synchronise,
    cancel,
    cancel_job,
    jobs,
    job,
    runs,
    metrics,
    budget,
    test_connection,
    sync_categories,
    sync_genres,
    sync_platforms
))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/g2a/sync").post(Permission::SupplierWrite, synchronise),
        at("/api/admin/g2a/sync/cancel").post(Permission::SupplierWrite, cancel),
        at("/api/admin/g2a/sync-runs").get(Permission::SupplierRead, runs),
        at("/api/admin/g2a/sync-categories").post(Permission::SupplierWrite, sync_categories),
        at("/api/admin/g2a/sync-genres").post(Permission::SupplierWrite, sync_genres),
        at("/api/admin/g2a/sync-platforms").post(Permission::SupplierWrite, sync_platforms),
        at("/api/admin/g2a/metrics").get(Permission::SupplierRead, metrics),
        at("/api/admin/g2a/budget").get(Permission::SupplierRead, budget),
        at("/api/admin/g2a/test-connection").get(Permission::SupplierRead, test_connection),
        at("/api/admin/jobs").get(Permission::SupplierRead, jobs),
        at("/api/admin/jobs/{id}").get(Permission::SupplierRead, job),
        at("/api/admin/jobs/{id}/cancel").post(Permission::SupplierWrite, cancel_job),
    ]
}

/// How long a request waits for the end of a job that makes one call. The request itself ends after ten seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

request_body! {
    /// What to synchronise. Credentials in the body are ignored, and so is `includeRelationships`: categories, genres,
    /// platforms and tags are always read.
    struct WantedSync {
        /// `true` reads all products; by default only what has changed.
        full_sync: Option<bool> = "fullSync",
        /// G2A's ids of products, at most 1,000: only these are read.
        #[schema(max_items = 1000)]
        product_ids: Option<Vec<String>> = "productIds",
        /// Names or slugs of categories: only the products of their listed games are read, at most 1,000. Ignored with
        /// `fullSync`, and as `["games"]`, which means everything.
        #[schema(max_items = 100)]
        categories: Option<Vec<String>> = "categories",
    }
}

/// A synchronisation that was asked for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StartedSync {
    /// What it has done so far: zeros for a new one.
    #[serde(flatten)]
    counts: SyncCounts,
    /// ID of the job.
    job_id: Uuid,
    /// `WAITING` or `RUNNING`.
    state: &'static str,
    /// `true` if the same was asked for before and goes on.
    joined: bool,
    /// The message of the response.
    message: &'static str,
    /// The counts again.
    data: SyncCounts,
}

/// Asks for a synchronisation with G2A.
///
/// A worker does it; `GET /api/admin/g2a/sync-progress` tells how far it is, `GET /api/admin/jobs/{id}` its result. Who
/// asks for the same again while it is open joins it; something else is refused (409 `sync_running`).
#[utoipa::path(post, path = "/api/admin/g2a/sync", tag = "admin", operation_id = "startSync", security(("bearer" = [])), request_body = WantedSync,
    responses((status = 200, description = "It is asked for", body = MessageWith<StartedSync>),
    (status = 400, description = "Invalid field, or no game has these categories"),
    (status = 403, description = "Not signed in as staff with the permission supplier.write"),
    (status = 409, description = "Another synchronisation of staff is open")))]
pub(crate) async fn synchronise(staff: RequireStaff, body: Body) -> Answered {
    let (asked, form) = body.read::<WantedSync>();
    let products = checked_products(asked.product_ids.unwrap_or_default());
    let categories = checked_categories(asked.categories.unwrap_or_default());
    let (mut products, categories) = form.finish(products.and_then(|products| Ok((products, categories?))))?;
    // The existing console always sends the supplier's one category, `games`: everything.
    let names_some = !categories.is_empty() && categories != ["games"];
    if products.is_empty() && asked.full_sync != Some(true) && names_some {
        products = staff.office.products_in(&staff.admin, &categories).await?;
        if products.is_empty() || products.len() > MAX_PRODUCTS {
            return Err(ApiError::Fields(vec![FieldError {
                path: "categories",
                code: "out_of_range",
                msg: "These categories must have 1 to 1,000 games of G2A",
            }]));
        }
    }
    let kind = match (products.is_empty(), asked.full_sync) {
        (false, _) => JobKind::Products,
        (true, Some(true)) => JobKind::Full,
        (true, _) => JobKind::Incremental,
    };
    let new = NewJob {
        products,
        ..NewJob::new(kind)
    };
    let (job, joined) = accepted(staff.office.submit_job(&staff.admin, &new).await?)?;
    let message = if joined {
        "This synchronisation is running already"
    } else {
        "Synchronisation started"
    };
    let row = lockstep_admin::job_row(job);
    let started = StartedSync {
        data: row.counts.clone(),
        counts: row.counts,
        job_id: row.id,
        state: row.state,
        joined,
        message,
    };
    answer::message_with(message, started)
}

/// The job, and whether it was there before.
pub(super) fn accepted(asked: Submitted) -> Result<(Job, bool), ApiError> {
    match asked {
        Submitted::New(job) => Ok((job, false)),
        Submitted::Joined(job) => Ok((job, true)),
        Submitted::Busy(job) => {
            let why = format!(
                "Job {} ({}) is open. Wait for it, or cancel it.",
                job.id,
                job.kind.as_str()
            );
            Err(ApiError::refused(StatusCode::CONFLICT, "sync_running", &why))
        }
    }
}

/// Ids of G2A, each once.
fn checked_products(ids: Vec<String>) -> Result<Vec<String>, Vec<FieldError>> {
    let is_id = |id: &String| {
        let fits = (1..=50).contains(&id.len());
        fits && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let mut seen = std::collections::BTreeSet::new();
    let ids: Vec<String> = ids.into_iter().filter(|id| seen.insert(id.clone())).collect();
    if ids.len() > MAX_PRODUCTS || !ids.iter().all(is_id) {
        return Err(vec![FieldError {
            path: "productIds",
            code: "invalid",
            msg: "This field must be a list of at most 1,000 ids of 1 to 50 letters, digits, - and _",
        }]);
    }
    Ok(ids)
}

fn checked_categories(names: Vec<String>) -> Result<Vec<String>, Vec<FieldError>> {
    let is_name = |name: &String| {
        let length = name.chars().take(101).count();
        (1..=100).contains(&length) && !name.contains(char::is_control)
    };
    if names.len() > 100 || !names.iter().all(is_name) {
        return Err(vec![FieldError {
            path: "categories",
            code: "invalid",
            msg: "This field must be a list of at most 100 names of 1 to 100 characters",
        }]);
    }
    Ok(names)
}

/// Cancels the open synchronisation that staff asked for.
///
/// One that runs stops at the next product or page. What it has written stays.
#[utoipa::path(post, path = "/api/admin/g2a/sync/cancel", tag = "admin", operation_id = "cancelSync", security(("bearer" = [])),
    responses((status = 200, description = "It is cancelled, or stops at the next product or page", body = MessageWith<JobRow>),
    (status = 403, description = "Not signed in as staff with the permission supplier.write"),
    (status = 409, description = "None is open")))]
pub(crate) async fn cancel(staff: RequireStaff) -> Answered {
    let (message, job) = match staff.office.cancel_sync(&staff.admin).await? {
        Some(JobCancelled::Over(job)) => ("The synchronisation is cancelled", job),
        Some(JobCancelled::Requested(job)) => ("The synchronisation stops at the next product or page", job),
        None => {
            return Err(ApiError::refused(
                StatusCode::CONFLICT,
                "no_sync",
                &"No synchronisation that staff asked for is open.",
            ));
        }
    };
    answer::message_with(message, lockstep_admin::job_row(job))
}

/// Cancels an open job of any kind, also a test of the connection or a page that is only shown.
///
/// One that runs stops before its next call to G2A. What it has written stays. `cancelRequested` says that it was asked to,
/// `state` when it has.
#[utoipa::path(post, path = "/api/admin/jobs/{id}/cancel", tag = "admin", operation_id = "cancelJob", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the job")),
    responses((status = 200, description = "It is cancelled, or stops before its next call", body = MessageWith<JobRow>),
    (status = 400, description = "`id` is not a UUID"), (status = 403, description = "Not signed in as staff with the permission supplier.write"),
    (status = 404, description = "There is no such job"), (status = 409, description = "`job_over`: it has ended")))]
pub(crate) async fn cancel_job(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let id = uuid_in("id", &id)?;
    let (message, job) = match staff.office.cancel_job(&staff.admin, id).await? {
        Some(JobCancelled::Over(job)) => ("The job is cancelled", job),
        Some(JobCancelled::Requested(job)) => ("The job stops before its next call", job),
        None => {
            found(staff.office.job(&staff.admin, id).await?, "Job")?;
            return Err(ApiError::refused(
                StatusCode::CONFLICT,
                "job_over",
                &"This job has ended.",
            ));
        }
    };
    answer::message_with(message, lockstep_admin::job_row(job))
}

/// Returns what staff have asked for, newest first.
#[utoipa::path(get, path = "/api/admin/jobs", tag = "admin", operation_id = "adminJobs", security(("bearer" = [])), params(Paged<20>),
    responses((status = 200, description = "A page of jobs", body = Answer<JobList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission supplier.read")))]
pub(crate) async fn jobs(staff: RequireStaff, Paged(page): Paged<20>) -> Answered {
    answer::data(StatusCode::OK, &staff.office.jobs(&staff.admin, page).await?)
}

/// Returns a job.
#[utoipa::path(get, path = "/api/admin/jobs/{id}", tag = "admin", operation_id = "adminJob", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the job")),
    responses((status = 200, description = "The job", body = Answer<JobRow>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission supplier.read"),
    (status = 404, description = "There is no such job")))]
pub(crate) async fn job(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let job = staff.office.job_shown(&staff.admin, uuid_in("id", &id)?).await?;
    answer::data(StatusCode::OK, &found(job, "Job")?)
}

/// Returns the runs of the synchronisation, newest first.
///
/// Those of the schedule and of the command line, too.
#[utoipa::path(get, path = "/api/admin/g2a/sync-runs", tag = "admin", operation_id = "adminSyncRuns", security(("bearer" = [])), params(Paged<20>),
    responses((status = 200, description = "A page of runs", body = Answer<SyncRunList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission supplier.read")))]
pub(crate) async fn runs(staff: RequireStaff, Paged(page): Paged<20>) -> Answered {
    answer::data(StatusCode::OK, &staff.office.sync_runs(&staff.admin, page).await?)
}

/// Returns counts of calls to G2A and of webhooks.
///
/// They are the sum of all processes that ran within a week, each since its start and at most two seconds old.
#[utoipa::path(get, path = "/api/admin/g2a/metrics", tag = "admin", operation_id = "adminSupplierMetrics", security(("bearer" = [])),
    responses((status = 200, description = "The counts", body = Answer<SupplierMetrics>),
    (status = 403, description = "Not signed in as staff with the permission supplier.read")))]
pub(crate) async fn metrics(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.supplier_metrics(&staff.admin).await?)
}

/// Returns the request budget, the circuit breaker of each worker, and what stops all buying.
#[utoipa::path(get, path = "/api/admin/g2a/budget", tag = "admin", operation_id = "adminSupplierBudget", security(("bearer" = [])),
    responses((status = 200, description = "Budget and breakers", body = Answer<SupplierBudget>),
    (status = 403, description = "Not signed in as staff with the permission supplier.read")))]
pub(crate) async fn budget(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.supplier_budget(&staff.admin).await?)
}

/// Tests the connection to G2A with one call.
#[utoipa::path(get, path = "/api/admin/g2a/test-connection", tag = "admin", operation_id = "testSupplierConnection", security(("bearer" = [])),
    responses((status = 200, description = "G2A has answered", body = Message),
    (status = 400, description = "It has not, with the reason; or no worker runs (`no_worker`)"),
    (status = 403, description = "Not signed in as staff with the permission supplier.read"),
    (status = 409, description = "Another test is being made")))]
pub(crate) async fn test_connection(staff: RequireStaff) -> Answered {
    if !staff.office.has_worker(&staff.admin).await? {
        return Err(ApiError::refused(StatusCode::BAD_REQUEST, "no_worker", &NO_WORKER));
    }
    let asked = staff
        .office
        .submit_job(&staff.admin, &NewJob::new(JobKind::Connection))
        .await?;
    let (job, _) = accepted(asked)?;
    let job = staff.office.wait_for_job(&staff.admin, job, PATIENCE).await?;
    if job.state == JobState::Completed {
        return answer::message(StatusCode::OK, "G2A answers");
    }
    let why = job.result.reason.unwrap_or_else(|| "no answer in time".to_owned());
    let why = format!("G2A cannot be reached: {why}");
    Err(ApiError::refused(StatusCode::BAD_REQUEST, "supplier_unreachable", &why))
}

/// Why nothing can be asked of G2A.
pub(super) const NO_WORKER: &str = "No worker process runs, and only workers call G2A.";

/// The entries of a taxonomy.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KnownTerms {
    /// All categories; only in the answer about them.
    #[serde(skip_serializing_if = "Option::is_none")]
    categories: Option<Vec<KnownTerm>>,
    /// All genres; only in the answer about them.
    #[serde(skip_serializing_if = "Option::is_none")]
    genres: Option<Vec<KnownTerm>>,
    /// All platforms; only in the answer about them.
    #[serde(skip_serializing_if = "Option::is_none")]
    platforms: Option<Vec<KnownTerm>>,
    /// Always 0: synchronisations create them with the products.
    created: u32,
    /// Always empty.
    #[schema(value_type = Vec<String>)]
    errors: [&'static str; 0],
}

/// An entry of a taxonomy.
#[derive(Serialize, ToSchema)]
struct KnownTerm {
    /// Identifier.
    id: Uuid,
    /// Name.
    name: String,
    /// Slug.
    slug: String,
}

/// Returns the categories that synchronisations have found.
#[utoipa::path(post, path = "/api/admin/g2a/sync-categories", tag = "admin", operation_id = "syncCategories", security(("bearer" = [])),
    responses((status = 200, description = "All categories", body = MessageWith<KnownTerms>),
    (status = 403, description = "Not signed in as staff with the permission supplier.write")))]
pub(crate) async fn sync_categories(staff: RequireStaff) -> Answered {
    known(&staff, Taxonomy::Categories).await
}

/// Returns the genres that synchronisations have found.
#[utoipa::path(post, path = "/api/admin/g2a/sync-genres", tag = "admin", operation_id = "syncGenres", security(("bearer" = [])),
    responses((status = 200, description = "All genres", body = MessageWith<KnownTerms>),
    (status = 403, description = "Not signed in as staff with the permission supplier.write")))]
pub(crate) async fn sync_genres(staff: RequireStaff) -> Answered {
    known(&staff, Taxonomy::Genres).await
}

/// Returns the platforms that synchronisations have found.
#[utoipa::path(post, path = "/api/admin/g2a/sync-platforms", tag = "admin", operation_id = "syncPlatforms", security(("bearer" = [])),
    responses((status = 200, description = "All platforms", body = MessageWith<KnownTerms>),
    (status = 403, description = "Not signed in as staff with the permission supplier.write")))]
pub(crate) async fn sync_platforms(staff: RequireStaff) -> Answered {
    known(&staff, Taxonomy::Platforms).await
}

async fn known(staff: &RequireStaff, taxonomy: Taxonomy) -> Answered {
    let rows = staff.office.taxonomy(&staff.admin, taxonomy).await?;
    let terms = rows.into_iter().map(|row| KnownTerm {
        id: row.id,
        name: row.name,
        slug: row.slug,
    });
    let terms: Vec<KnownTerm> = terms.collect();
    let (mut categories, mut genres, mut platforms) = (None, None, None);
    match taxonomy {
        Taxonomy::Categories => categories = Some(terms),
        Taxonomy::Genres => genres = Some(terms),
        _ => platforms = Some(terms),
    }
    let known = KnownTerms {
        categories,
        genres,
        platforms,
        created: 0,
        errors: [],
    };
    answer::message_with("Every synchronisation creates them with the products", known)
}
