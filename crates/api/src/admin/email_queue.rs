//! The e-mail queue, and e-mails to many.

use std::collections::BTreeMap;

use axum::extract::Path;
use http::StatusCode;
use lockstep_domain::admin::{EmailBulkResult, EmailJob, EmailQueueList, EmailRetries, EmailState};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::routes::{StaffRoute, at};
use super::{Paged, RequireStaff, found};
use crate::answer::{self, Answered, Message, MessageWith};
use crate::body::{Body, request_body, uuid_in};
use crate::params::Ask;
use crate::visit::Key;

#[derive(OpenApi)]
#[openapi(paths(list, retry, retry_failed, send_to_many, job))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/email-jobs/{id}").get(Permission::EmailRead, job),
        at("/api/admin/email-templates/bulk-send").post(Permission::EmailWrite, send_to_many),
        at("/api/admin/email-queue").get(Permission::EmailRead, list),
        at("/api/admin/email-queue/retry").post(Permission::EmailWrite, retry_failed),
        at("/api/admin/email-queue/{id}/retry").post(Permission::EmailWrite, retry),
    ]
}

/// Returns the e-mails of the last 30 days in one state, without their contents.
///
/// Recipients are masked for staff without `users.read`.
#[utoipa::path(get, path = "/api/admin/email-queue", tag = "admin", operation_id = "adminEmailQueue", security(("bearer" = [])),
    params(("state" = Option<EmailState>, Query, description = "`waiting` (default), `failed` (given up) or `sent`"), Paged<50>),
    responses((status = 200, description = "A page of e-mails", body = Answer<EmailQueueList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission email.read")))]
pub(crate) async fn list(staff: RequireStaff, ask: Ask, Paged(page): Paged<50>) -> Answered {
    let state = ask.parsed::<EmailState>("state")?.unwrap_or(EmailState::Waiting);
    answer::data(
        StatusCode::OK,
        &staff.office.email_queue(&staff.admin, state, page).await?,
    )
}

/// Has an e-mail sent that was given up, or that waits after a failure.
///
/// The content of one that was given up is kept while it is of use: a link until it expires, other e-mails for days.
#[utoipa::path(post, path = "/api/admin/email-queue/{id}/retry", tag = "admin", operation_id = "retryEmail", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the e-mail")),
    responses((status = 200, description = "It is due now", body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission email.write"), (status = 404, description = "There is no such e-mail"),
    (status = 409, description = "`in_use`: it was sent, is being sent, or is of no use any more")))]
pub(crate) async fn retry(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    staff.office.retry_email(&staff.admin, uuid_in("id", &id)?).await?;
    answer::message(StatusCode::OK, "The e-mail is due now")
}

/// Has all e-mails sent that were given up, or that wait after a failure: at most 1,000 per call, the oldest first.
#[utoipa::path(post, path = "/api/admin/email-queue/retry", tag = "admin", operation_id = "retryFailedEmails", security(("bearer" = [])),
    responses((status = 200, description = "How many are due now", body = Answer<EmailRetries>),
    (status = 403, description = "Not signed in as staff with the permission email.write")))]
pub(crate) async fn retry_failed(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.retry_failed_emails(&staff.admin).await?)
}

request_body! {
    /// An e-mail to many. `batchSize` is ignored: the queue has its own pace, 300 e-mails a minute.
    struct BulkRequest {
        /// `announcement`: the other e-mails are about one account.
        template_name: String = "templateName",
        /// 1 to 1,000 addresses.
        #[schema(value_type = Vec<String>)]
        emails: Option<Vec<String>> = "emails",
        /// `title` (required), `message` and `link`.
        #[schema(value_type = BTreeMap<String, String>)]
        variables: BTreeMap<String, String> = "variables" => values(),
    }
}

/// The result, and once more for front-ends that look for it below `data`.
#[derive(Serialize, ToSchema)]
struct Bulk {
    #[serde(flatten)]
    result: EmailBulkResult,
    data: EmailBulkResult,
}

/// Queues an announcement for many addresses, all or none.
///
/// `sent` is the number of addresses for which it is queued: it goes to the mail server after all other e-mails, 300 a
/// minute. Each has a link and the headers to unsubscribe with one click; who did is not written to.
#[utoipa::path(post, path = "/api/admin/email-templates/bulk-send", tag = "admin", operation_id = "sendBulkEmail", security(("bearer" = [])), request_body = BulkRequest, params(
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "For a day, a repeated key with the same body queues once and returns the same response")),
    responses((status = 200, description = "Queued", body = MessageWith<Bulk>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as staff with the permission email.write"), (status = 409, description = "`idempotency_key_reused`")))]
pub(crate) async fn send_to_many(staff: RequireStaff, Key(key): Key, body: Body) -> Answered {
    let (request, mut form) = body.read::<BulkRequest>();
    if request.emails.is_none() {
        form.missing("emails");
    }
    let request = form.finish(Ok(request))?;
    let emails = request.emails.unwrap_or_default();
    let (template, values) = (&request.template_name, &request.variables);
    let sent = staff
        .office
        .send_to_many(&staff.admin, template, &emails, values, key.as_ref());
    let result = sent.await?;
    let data = result.clone();
    answer::message_with("The e-mails are queued", Bulk { result, data })
}

/// Returns the progress of an e-mail to many.
#[utoipa::path(get, path = "/api/admin/email-jobs/{id}", tag = "admin", operation_id = "adminEmailJob", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "`jobId` of the answer that queued it")),
    responses((status = 200, description = "The progress", body = Answer<EmailJob>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission email.read"), (status = 404, description = "There is no such job")))]
pub(crate) async fn job(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let job = staff.office.email_job(&staff.admin, uuid_in("id", &id)?).await?;
    answer::data(StatusCode::OK, &found(job, "E-mail job")?)
}
