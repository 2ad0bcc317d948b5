//! What the existing console calls scripts: bounded jobs of the shop, never another program. And what is not offered.

use std::time::Duration;

use http::StatusCode;
use lockstep_admin::{Job, JobKind, JobState, NewJob};
use lockstep_domain::account::FieldError;
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use super::RequireStaff;
use super::routes::{StaffRoute, at};
use super::supplier::{NO_WORKER, PATIENCE, accepted};
use crate::answer::{self, Answered, Message};
use crate::body::{Body, request_body};
use crate::error::ApiError;

/// How long the start of a synchronisation is waited for.
const START: Duration = Duration::from_secs(2);

#[derive(OpenApi)]
#[openapi(paths(test_export, sync_all, fake_data))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/scripts/test-g2a-export-api").post(Permission::SupplierWrite, test_export),
        at("/api/admin/scripts/sync-all-g2a-games").post(Permission::SupplierWrite, sync_all),
        at("/api/admin/users/{id}/generate-fake-data").post(Permission::UsersWrite, fake_data),
    ]
}

/// The result of a script, twice: the existing console looks for it one level deeper.
#[derive(Serialize, ToSchema)]
struct ScriptAnswer {
    /// Always `true`.
    success: bool,
    /// The result.
    #[serde(flatten)]
    result: ScriptResult,
    /// The result again.
    data: ScriptResult,
}

impl From<ScriptResult> for ScriptAnswer {
    fn from(result: ScriptResult) -> Self {
        Self {
            success: true,
            data: result.clone(),
            result,
        }
    }
}

/// The result of a script.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ScriptResult {
    /// 0 when it has succeeded, 1 when it has failed; `null` while it goes on.
    exit_code: Option<u8>,
    /// Its log.
    stdout: String,
    /// Why it has failed.
    stderr: String,
    /// Duration until now in milliseconds.
    duration: u64,
    /// The same as `stderr`, when it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// ID of the job, if one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<Uuid>,
}

impl ScriptResult {
    fn of(job: Job, now: chrono::DateTime<chrono::Utc>) -> Self {
        let ended = job.finished_at.unwrap_or(now);
        let took = ended.signed_duration_since(job.requested_at).num_milliseconds();
        let mut stdout = job.result.log.join("\n");
        let error = job.result.reason;
        let exit_code = match job.state {
            JobState::Completed => Some(0),
            JobState::Failed | JobState::Cancelled => Some(1),
            JobState::Waiting | JobState::Running => {
                if !stdout.is_empty() {
                    stdout.push('\n');
                }
                stdout.push_str("The job goes on; its result is at /api/admin/jobs/");
                stdout.push_str(&job.id.to_string());
                None
            }
        };
        Self {
            exit_code,
            stdout,
            stderr: error.clone().unwrap_or_default(),
            duration: u64::try_from(took).unwrap_or(0),
            error: error.filter(|_| exit_code == Some(1)),
            job_id: Some(job.id),
        }
    }

    fn no_worker() -> Self {
        Self {
            exit_code: Some(1),
            stdout: String::new(),
            stderr: NO_WORKER.to_owned(),
            duration: 0,
            error: Some(NO_WORKER.to_owned()),
            job_id: None,
        }
    }
}

request_body! {
    /// Which page of G2A's list to show.
    struct ExportTest {
        /// The page at G2A, 1 to 500.
        #[schema(value_type = Option<i32>, minimum = 1, maximum = 500)]
        page: i64 = "page" => whole_number_or(1),
        /// How many products to show, 1 to 100.
        #[schema(value_type = Option<i32>, minimum = 1, maximum = 100)]
        per_page: i64 = "perPage" => whole_number_or(20),
    }
}

/// Shows a page of G2A's products as they would be stored, without storing them.
#[utoipa::path(post, path = "/api/admin/scripts/test-g2a-export-api", tag = "admin", operation_id = "testExport", security(("bearer" = [])), request_body = ExportTest,
    responses((status = 200, description = "The products, or why there are none", body = Answer<ScriptAnswer>),
    (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission supplier.write"),
    (status = 409, description = "Another test is being made")))]
pub(crate) async fn test_export(staff: RequireStaff, body: Body) -> Answered {
    let (asked, form) = body.read::<ExportTest>();
    let page = within(
        "page",
        asked.page,
        500,
        "This field must be a whole number from 1 to 500",
    );
    let size = within(
        "perPage",
        asked.per_page,
        100,
        "This field must be a whole number from 1 to 100",
    );
    let (page, page_size) = form.finish(page.and_then(|page| Ok((page, size?))))?;
    show(&staff, page, page_size).await
}

request_body! {
    /// A synchronisation of all games.
    struct SyncAll {
        /// Of a dry run: how many products to show, 1 to 100. A synchronisation reads all.
        #[schema(value_type = Option<i32>, minimum = 1)]
        limit: Option<i64> = "limit",
        /// `true` only shows what would be stored of the first page.
        dry_run: Option<bool> = "dryRun",
    }
}

/// Synchronises all games with G2A, or shows what would be stored of the first page.
#[utoipa::path(post, path = "/api/admin/scripts/sync-all-g2a-games", tag = "admin", operation_id = "syncAllGames", security(("bearer" = [])), request_body = SyncAll,
    responses((status = 200, description = "It has started, or the products", body = Answer<ScriptAnswer>),
    (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission supplier.write"),
    (status = 409, description = "Another synchronisation or test is open")))]
pub(crate) async fn sync_all(staff: RequireStaff, body: Body) -> Answered {
    let (asked, form) = body.read::<SyncAll>();
    let limit = asked.limit.unwrap_or(20);
    let limit = within(
        "limit",
        limit,
        i64::MAX,
        "This field must be a whole number, at least 1",
    );
    let limit = form.finish(limit)?;
    if asked.dry_run == Some(true) {
        return show(&staff, 1, limit.min(100)).await;
    }
    let asked = staff
        .office
        .submit_job(&staff.admin, &NewJob::new(JobKind::Full))
        .await?;
    let (job, _) = accepted(asked)?;
    let patience = if staff.office.has_worker(&staff.admin).await? {
        START
    } else {
        Duration::ZERO
    };
    let job = staff.office.wait_for_job(&staff.admin, job, patience).await?;
    answer::data(StatusCode::OK, &ScriptAnswer::from(ScriptResult::of(job, staff.now)))
}

async fn show(staff: &RequireStaff, page: i32, page_size: i32) -> Answered {
    if !staff.office.has_worker(&staff.admin).await? {
        return answer::data(StatusCode::OK, &ScriptAnswer::from(ScriptResult::no_worker()));
    }
    let new = NewJob {
        page,
        page_size,
        ..NewJob::new(JobKind::Listing)
    };
    let (job, _) = accepted(staff.office.submit_job(&staff.admin, &new).await?)?;
    let job = staff.office.wait_for_job(&staff.admin, job, PATIENCE).await?;
    answer::data(StatusCode::OK, &ScriptAnswer::from(ScriptResult::of(job, staff.now)))
}

fn within(path: &'static str, number: i64, most: i64, msg: &'static str) -> Result<i32, Vec<FieldError>> {
    let fault = || {
        vec![FieldError {
            path,
            code: "out_of_range",
            msg,
        }]
    };
    if !(1..=most).contains(&number) {
        return Err(fault());
    }
    Ok(i32::try_from(number).unwrap_or(i32::MAX))
}

/// Answers that fabricated data is not offered.
#[utoipa::path(post, path = "/api/admin/users/{id}/generate-fake-data", tag = "admin", operation_id = "generateFakeData", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of a user")),
    responses((status = 200, description = "Never", body = Message),
    (status = 403, description = "Not signed in as staff with the permission users.write"),
    (status = 410, description = "This shop does not fabricate orders or log-ins")))]
pub(crate) async fn fake_data(_staff: RequireStaff) -> Answered {
    Err(ApiError::refused(
        StatusCode::GONE,
        "gone",
        &"This shop does not fabricate orders, log-ins or keys.",
    ))
}
