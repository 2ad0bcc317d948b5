//! The shop's logo: shown, uploaded, removed.

use askama::Template;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_admin::{LogoError, MAX_LOGO_BYTES};
use lockstep_domain::branding::Logo;
use lockstep_images::upload::{self, UploadError};
use lockstep_page::error::PageError;
use lockstep_page::{forms, page};

use super::layout;
use crate::gate::StaffForm;
use crate::layout::Layout;
use crate::rooms::picture_changes::refused;
use crate::staff::Staff;

pub(super) const LOGO: &str = "/admin/content/branding/logo";
/// The address that pictures are sent to.
pub(super) const UPLOAD: &str = "/admin/content/branding/logo/upload";
const BRANDING: &str = "/admin/content/branding";

#[derive(Template)]
#[template(path = "logo.html")]
struct LogoPage {
    layout: Layout,
    /// The logo that is in use.
    logo: Option<Logo>,
    /// What is known of it: name and value.
    facts: Vec<(&'static str, String)>,
    /// Why the file was refused.
    problem: Option<&'static str>,
}

async fn shown(staff: &Staff, problem: Option<&'static str>) -> Result<Response, PageError> {
    let words = staff.words();
    let logo = staff.office().logo(&staff.admin).await?;
    let mut facts = Vec::new();
    if let Some(logo) = &logo {
        facts.push((
            words.text("content.logo.size"),
            format!("{} × {}", logo.width, logo.height),
        ));
        let plate = match (logo.plate_light, logo.plate_dark) {
            (false, false) => "content.logo.plate.none",
            (true, false) => "content.logo.plate.light",
            (false, true) => "content.logo.plate.dark",
            (true, true) => "content.logo.plate.both",
        };
        facts.push((words.text("content.logo.plate"), words.text(plate).to_owned()));
    }
    let title = words.text("content.logo").to_owned();
    let page = LogoPage {
        layout: layout(staff, title, &[(words.text("content.branding"), BRANDING)]),
        logo,
        facts,
        problem,
    };
    let status = if problem.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    Ok(page::fresh(status, page.render()?))
}

/// `GET /admin/content/branding/logo`
pub(super) async fn page(staff: Staff) -> Result<Response, PageError> {
    shown(&staff, None).await
}

/// `POST /admin/content/branding/logo/upload`: a form with the file `image`.
pub(super) async fn upload(staff: Staff, request: Request) -> Result<Response, PageError> {
    let words = staff.words();
    let why = match upload::read(request, "image", MAX_LOGO_BYTES).await {
        Err(UploadError::NotAForm) => return Err(PageError::BadRequest),
        Err(UploadError::Refused(why)) => refused(why),
        Ok(upload) => match staff.office().set_logo(&staff.admin, upload.file).await {
            Ok(_) => return Ok(forms::done(&format!("{LOGO}?done=logo"))),
            Err(LogoError::File(why)) => refused(why),
            Err(LogoError::Shape) => "wrong.logo_shape",
            Err(LogoError::NotAllowed) => return Err(PageError::NotFound),
            Err(LogoError::Store(error)) => return Err(error.into()),
        },
    };
    let why = if why == "wrong.game_picture_too_large" {
        "wrong.logo_too_large"
    } else {
        why
    };
    shown(&staff, Some(words.text(why))).await
}

/// `POST /admin/content/branding/logo/remove`
pub(super) async fn remove(sent: StaffForm) -> Result<Response, PageError> {
    let staff = sent.staff;
    staff.office().remove_logo(&staff.admin).await?;
    Ok(forms::done(&format!("{LOGO}?done=no_logo")))
}
