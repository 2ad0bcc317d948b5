//! `/api/admin/settings/branding/logo`: the shop's logo.

use axum::extract::Request;
use http::StatusCode;
use lockstep_admin::{LogoError, MAX_LOGO_BYTES};
use lockstep_auth::AuthError;
use lockstep_domain::branding::Logo;
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use lockstep_images::upload::{self, UploadError};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use super::routes::{StaffRoute, Streamed, at};
use super::{RequireStaff, found};
use crate::answer::{self, Answered, Message};
use crate::error::ApiError;

/// Also in the list of paths with larger bodies.
pub(super) const LOGO: &str = "/api/admin/settings/branding/logo";

#[derive(OpenApi)]
#[openapi(paths(show, replace, remove), components(schemas(LogoFile)))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at(LOGO)
            .get(Permission::ContentRead, show)
            .post(Streamed(Permission::ContentWrite), replace)
            .delete(Permission::ContentWrite, remove),
    ]
}

/// A logo in a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: the form is read field by field")]
struct LogoFile {
    /// PNG, JPEG or WebP, at most 2 MiB and 16 megapixels.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
}

/// The logo that pages and e-mails show in place of the shop's name.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ShopLogo {
    /// New with every picture.
    id: Uuid,
    /// Address of the picture.
    url: String,
    /// Width in pixels, at most 480.
    width: u32,
    /// Height in pixels, at most 160.
    height: u32,
    /// In the light theme it stands on a dark plate: without, it could hardly be seen.
    plate_light: bool,
    /// In the dark theme it stands on a light plate.
    plate_dark: bool,
}

fn shown(staff: &RequireStaff, logo: Logo) -> ShopLogo {
    ShopLogo {
        id: logo.id,
        url: format!("{}/api/logo/{}", staff.public_url, logo.file()),
        width: logo.width,
        height: logo.height,
        plate_light: logo.plate_light,
        plate_dark: logo.plate_dark,
    }
}

/// Returns the shop's logo.
#[utoipa::path(get, path = "/api/admin/settings/branding/logo", tag = "admin", operation_id = "shopLogo", security(("bearer" = [])),
    responses((status = 200, description = "The logo", body = Answer<ShopLogo>),
    (status = 403, description = "Not signed in as staff with the permission content.read"),
    (status = 404, description = "The shop has none; its name stands in its place")))]
pub(crate) async fn show(staff: RequireStaff) -> Answered {
    let logo = staff.office.logo(&staff.admin).await?;
    answer::data(StatusCode::OK, &shown(&staff, found(logo, "Logo")?))
}

/// Uploads the shop's logo, in place of the one before.
///
/// The file is decoded, scaled to at most 480 × 160 pixels and stored anew as PNG; nothing else of it is kept.
#[utoipa::path(post, path = "/api/admin/settings/branding/logo", tag = "admin", operation_id = "replaceShopLogo", security(("bearer" = [])),
    request_body(content = LogoFile, content_type = "multipart/form-data", description = "A form with the file `image`"),
    responses((status = 201, description = "The logo", body = Answer<ShopLogo>),
    (status = 400, description = "No such form, no picture (`picture_missing`, `picture_unreadable`, `picture_incomplete`), or one that is too small or too narrow (`logo_shape`)"),
    (status = 403, description = "Not signed in as staff with the permission content.write"),
    (status = 413, description = "The file is larger than 2 MiB"), (status = 503, description = "Other pictures are being processed (`pictures_busy`)")))]
pub(crate) async fn replace(staff: RequireStaff, request: Request) -> Answered {
    let upload = upload::read(request, "image", MAX_LOGO_BYTES)
        .await
        .map_err(|error| match error {
            UploadError::Refused(why) => ApiError::from(why),
            UploadError::NotAForm => ApiError::refused(
                StatusCode::BAD_REQUEST,
                "invalid_body",
                &"Send multipart/form-data with the file as image.",
            ),
        })?;
    let logo = staff.office.set_logo(&staff.admin, upload.file).await?;
    answer::data(StatusCode::CREATED, &shown(&staff, logo))
}

/// Removes the shop's logo; its name stands in its place.
#[utoipa::path(delete, path = "/api/admin/settings/branding/logo", tag = "admin", operation_id = "removeShopLogo", security(("bearer" = [])),
    responses((status = 200, body = Message), (status = 403, description = "Not signed in as staff with the permission content.write")))]
pub(crate) async fn remove(staff: RequireStaff) -> Answered {
    staff.office.remove_logo(&staff.admin).await?;
    answer::message(StatusCode::OK, "Logo removed")
}

impl From<LogoError> for ApiError {
    fn from(error: LogoError) -> Self {
        match error {
            LogoError::File(why) => why.into(),
            LogoError::Shape => Self::refused(StatusCode::BAD_REQUEST, "logo_shape", &error),
            LogoError::NotAllowed => AuthError::Forbidden.into(),
            LogoError::Store(error) => error.into(),
        }
    }
}
