//! `/api/admin/users/{id}/export`: what is stored about a user.

use axum::body::Body;
use axum::extract::{Path, State};
use futures::{StreamExt as _, stream};
use http::HeaderMap;
use http::header::{self, HeaderValue};
use lockstep_auth::AuthError;
use lockstep_domain::ids::UserId;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::routes::{StaffRoute, at};
use super::{RequireStaff, found};
use crate::Api;
use crate::answer::{self, Answered, PdfFile};
use crate::body::uuid_in;
use crate::error::ApiError;

#[derive(OpenApi)]
#[openapi(paths(export))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![at("/api/admin/users/{id}/export").get(Permission::UsersRead, export)]
}

/// Exports what is stored about a user: a PDF report, or everything as JSON.
///
/// The report has the account and the newest 100 orders and transactions. With `Accept: application/json`, and neither
/// `application/pdf` nor `*/*` in it, the response is the export that the user can ask for, streamed: if the connection
/// breaks, the JSON is incomplete.
#[utoipa::path(get, path = "/api/admin/users/{id}/export", tag = "admin", operation_id = "adminExportUser", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the user")),
    responses((status = 200, description = "The report or the export, as an attachment",
        content((PdfFile = "application/pdf"), (Object = "application/json"))),
    (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission users.read"),
    (status = 404, description = "There is no such user"), (status = 503, description = "Too many concurrent exports")))]
pub(crate) async fn export(
    State(api): Api,
    Path(id): Path<String>,
    staff: RequireStaff,
    headers: HeaderMap,
) -> Answered {
    let id = UserId(uuid_in("id", &id)?);
    let (mut response, kind, ending) = if wants_json(&headers) {
        // It has the cart, the bookings and what else the account has.
        if !(staff.admin.may(Permission::CartsRead) && staff.admin.may(Permission::PaymentsRead)) {
            return Err(AuthError::Forbidden.into());
        }
        let mut export = api.shop.export_of(id).await?;
        staff.office.record_export(&staff.admin, id, "json").await?;
        export.wrap("{\"success\":true,\"data\":", "}");
        // Fused, because compression polls once more after the end.
        let chunks = stream::unfold(export, |mut export| async move { Some((export.next().await?, export)) }).fuse();
        (answer::streamed(Body::from_stream(chunks)), "application/json", "json")
    } else {
        let report = staff.office.user_report(&staff.admin, id, staff.now).await?;
        let report = found(report, "User")?;
        (answer::streamed(Body::from(report)), "application/pdf", "pdf")
    };
    let name = format!("attachment; filename=\"user-report-{id}.{ending}\"");
    let name = HeaderValue::try_from(name).map_err(|error| ApiError::Bug(Some(std::sync::Arc::new(error))))?;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_DISPOSITION, name);
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// Whether only JSON is accepted. Common HTTP clients name JSON first and then everything, also where they expect a file.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let types: Vec<&str> = accepted
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or(range).trim())
        .collect();
    let names = |name: &str| types.iter().any(|range| range.eq_ignore_ascii_case(name));
    names("application/json") && !names("application/pdf") && !names("*/*")
}
