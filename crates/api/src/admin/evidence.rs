//! `/api/admin/disputes/{id}/evidence`: the case file of a dispute, and its submission.

use axum::body::Body as Content;
use axum::extract::Path;
use http::StatusCode;
use http::header::{self, HeaderValue};
use lockstep_admin::EvidenceError;
use lockstep_domain::admin::EvidenceCase;
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::routes::{StaffRoute, at};
use super::{RequireStaff, found};
use crate::answer::{self, Answered, PdfFile};
use crate::body::uuid_in;
use crate::error::ApiError;
use crate::params::Ask;

#[derive(OpenApi)]
#[openapi(paths(evidence, submit))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/disputes/{id}/evidence")
            .get(Permission::UsersRead, evidence)
            .post(Permission::OrdersRefund, submit),
    ]
}

/// Returns the case file of a dispute: what the shop knows about the payment, and what would be submitted.
///
/// As a PDF document, or signed: JSON with `content` (the case as a text), `signature` and `publicKey` (Ed25519, hexadecimal),
/// which `lockstep evidence verify` checks without the shop.
#[utoipa::path(get, path = "/api/admin/disputes/{id}/evidence", tag = "admin", operation_id = "adminDisputeEvidence", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the dispute"),
    ("format" = Option<String>, Query, max_length = 100, description = "`json` (default), `pdf`, or `signed`")),
    responses((status = 200, description = "The case; another format as an attachment",
        content((Answer<EvidenceCase> = "application/json"), (PdfFile = "application/pdf"))),
    (status = 400, description = "Invalid parameter"), (status = 403, description = "Not signed in as staff with the permission users.read"),
    (status = 404, description = "There is no such dispute")))]
pub(crate) async fn evidence(Path(id): Path<String>, staff: RequireStaff, ask: Ask) -> Answered {
    let id = uuid_in("id", &id)?;
    let (content, kind, ending) = match ask.text("format")?.as_deref() {
        None | Some("json") => {
            let case = staff.office.evidence(&staff.admin, id).await?;
            return answer::data(StatusCode::OK, &found(case, "Dispute")?);
        }
        Some("pdf") => {
            let document = staff.office.evidence_document(&staff.admin, id, staff.now).await?;
            (Content::from(found(document, "Dispute")?), "application/pdf", "pdf")
        }
        Some("signed") => {
            let export = staff.office.evidence_export(&staff.admin, id).await?;
            (Content::from(found(export, "Dispute")?), "application/json", "json")
        }
        Some(_) => return Err(ApiError::invalid("format", "must be json, pdf or signed")),
    };
    let mut response = answer::streamed(content);
    let name = format!("attachment; filename=\"evidence-{id}.{ending}\"");
    let name = HeaderValue::try_from(name).map_err(|error| ApiError::Bug(Some(std::sync::Arc::new(error))))?;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// Has the evidence about a dispute submitted to the payment provider. It takes evidence once.
#[utoipa::path(post, path = "/api/admin/disputes/{id}/evidence", tag = "admin", operation_id = "submitDisputeEvidence", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the dispute")),
    responses((status = 202, description = "The case; the provider gets the evidence next", body = Answer<EvidenceCase>),
    (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission orders.refund, or it is the caller's own payment"),
    (status = 404, description = "There is no such dispute"),
    (status = 409, description = "The provider does not ask for evidence, or has it already")))]
pub(crate) async fn submit(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let id = uuid_in("id", &id)?;
    let submitted = staff.office.submit_evidence(&staff.admin, id).await;
    submitted.map_err(|error| match error {
        EvidenceError::NotFound => ApiError::NotFound("Dispute"),
        EvidenceError::NotAsked => ApiError::refused(StatusCode::CONFLICT, "evidence_not_asked", &error),
        EvidenceError::Already => ApiError::refused(StatusCode::CONFLICT, "evidence_submitted", &error),
        EvidenceError::Own => ApiError::refused(StatusCode::FORBIDDEN, "own_payment", &error),
        EvidenceError::Store(error) => error.into(),
    })?;
    let case = staff.office.evidence(&staff.admin, id).await?;
    answer::data(StatusCode::ACCEPTED, &found(case, "Dispute")?)
}
