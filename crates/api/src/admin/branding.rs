//! The shop's looks.

use std::sync::Arc;

use http::StatusCode;
use lockstep_admin::ChangeError;
use lockstep_domain::branding::{Branding, BrandingFault, BrandingFields, BrandingForm};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::RequireStaff;
use super::routes::{StaffRoute, at};
use crate::answer::{self, Answered};
use crate::body::{Body, request_body};
use crate::error::ApiError;

#[derive(OpenApi)]
#[openapi(paths(show, change))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/settings/branding")
            .get(Permission::ContentRead, show)
            .put(Permission::ContentWrite, change),
    ]
}

request_body! {
    /// The shop's looks, whole: what is missing or null is as shipped.
    struct BrandingBody {
        /// The shop's name.
        #[schema(max_length = 60)]
        name: Option<String> = "name",
        /// The accent colour of the light theme, as `#0b6356`. It needs a contrast of 4.5:1 with every background.
        #[schema(max_length = 7)]
        accent_light: Option<String> = "accentLight",
        /// The accent colour of the dark theme.
        #[schema(max_length = 7)]
        accent_dark: Option<String> = "accentDark",
        /// The rows of the home page in their order: `best`, `new`, `preorders`, `genres`, `picked`; each at most once.
        #[schema(max_items = 5)]
        shelves: Option<Vec<String>> = "shelves",
        /// The games of the row `picked`: ids or slugs.
        #[schema(max_items = 24)]
        picked: Option<Vec<String>> = "picked",
        /// The version that the form showed.
        #[schema(minimum = 0)]
        version: i64 = "version",
    }
}

fn form(body: &Body) -> Result<(BrandingForm, i64), ApiError> {
    let (fields, form) = body.read::<BrandingBody>();
    let entered = BrandingFields {
        name: fields.name.unwrap_or_default(),
        accent_light: fields.accent_light.unwrap_or_default(),
        accent_dark: fields.accent_dark.unwrap_or_default(),
        shelves: fields.shelves,
        picked: fields.picked.unwrap_or_default(),
    };
    let checked = form.finish(Ok(entered))?.checked().map_err(refused)?;
    Ok((checked, fields.version))
}

/// A colour's refusal has its contrast and the nearest colour in its message; fields are reported together.
fn refused(faults: Vec<BrandingFault>) -> ApiError {
    if let Some(fault) = faults
        .iter()
        .find(|fault| matches!(fault, BrandingFault::Contrast { .. }))
    {
        return ApiError::invalid(fault.path(), fault.to_string());
    }
    let fields = faults.into_iter().filter_map(|fault| match fault {
        BrandingFault::Field(error) => Some(error),
        BrandingFault::Contrast { .. } => None,
    });
    ApiError::Fields(fields.collect())
}

/// Returns the shop's name, accent colours, and the rows of the home page.
///
/// `nameOfSettings` is the name that the settings of the program give the shop; it wins over `name`.
#[utoipa::path(get, path = "/api/admin/settings/branding", tag = "admin", operation_id = "adminBranding", security(("bearer" = [])),
    responses((status = 200, description = "The looks", body = Answer<Branding>),
    (status = 403, description = "Not signed in as staff with the permission content.read")))]
pub(crate) async fn show(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.branding(&staff.admin).await?)
}

/// Sets the shop's name, accent colours, and the rows of the home page.
///
/// Every page shows them within a second.
#[utoipa::path(put, path = "/api/admin/settings/branding", tag = "admin", operation_id = "changeBranding", security(("bearer" = [])), request_body = BrandingBody,
    responses((status = 200, description = "The looks", body = Answer<Branding>),
    (status = 400, description = "Invalid fields; `invalid_parameter`: a colour's contrast is too low, with its contrast and the nearest colour that passes"),
    (status = 403, description = "Not signed in as staff with the permission content.write"),
    (status = 409, description = "`outdated`: changed meanwhile; with what is stored now")))]
pub(crate) async fn change(staff: RequireStaff, body: Body) -> Answered {
    let (form, seen) = form(&body)?;
    match staff.office.put_branding(&staff.admin, &form, seen).await {
        Ok(()) => answer::data(StatusCode::OK, &staff.office.branding(&staff.admin).await?),
        Err(error @ ChangeError::Outdated(_)) => {
            let current = staff.office.branding(&staff.admin).await?;
            Err(ApiError::Outdated {
                message: error.to_string(),
                current: Arc::new(serde_json::to_value(&current).unwrap_or_default()),
            })
        }
        Err(error) => Err(error.into()),
    }
}
