//! Changes of a game's pictures: uploads, their order, their texts, and deleting them.

use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_admin::{AddPictureError, MAX_PICTURE_BYTES, PictureError};
use lockstep_domain::GameId;
use lockstep_domain::admin::{PlacedPicture, alt_text};
use lockstep_images::NoPicture;
use lockstep_images::upload::{self, UploadError};
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use uuid::Uuid;

use super::{game, game_pictures};
use crate::gate::StaffForm;
use crate::staff::Staff;

/// Where the section of pictures is.
fn done(game: GameId, what: &str) -> Response {
    forms::done(&format!("/admin/catalogue/{game}?done={what}#pictures"))
}

/// `POST /admin/catalogue/{id}/pictures/add`: a form with the file `image` and its text.
pub(crate) async fn add(staff: Staff, Path(id): Path<String>, request: Request) -> Result<Response, PageError> {
    let words = staff.words();
    let sheet = game::read(&staff, &id).await?;
    let id = GameId(sheet.game.id);
    let (why, alt) = match upload::read(request, "image", MAX_PICTURE_BYTES).await {
        Err(UploadError::NotAForm) => return Err(PageError::BadRequest),
        Err(UploadError::Refused(why)) => (refused(why), String::new()),
        Ok(upload) => {
            let text = upload.fields.get("alt").cloned().unwrap_or_default();
            match alt_text("alt", &text) {
                Err(_) => ("wrong.alt_invalid", text),
                Ok(alt) => match staff
                    .office()
                    .add_game_picture(&staff.admin, id, upload.file, alt)
                    .await
                {
                    Ok(_) => return Ok(done(id, "picture_added")),
                    Err(AddPictureError::File(why)) => (refused(why), text),
                    Err(AddPictureError::Refused(PictureError::TooMany)) => ("wrong.too_many_pictures", text),
                    Err(AddPictureError::Refused(PictureError::Store(error))) => return Err(error.into()),
                    Err(AddPictureError::Refused(_) | AddPictureError::NotAllowed) => return Err(PageError::NotFound),
                },
            }
        }
    };
    let locked = &sheet.game.locked_fields;
    let mut section = game_pictures::read(&staff, id, locked, &Form::default()).await?;
    section.upload = (Some(words.text(why).to_owned()), alt);
    game::show_with(&staff, &sheet, section, StatusCode::UNPROCESSABLE_ENTITY).await
}

pub(crate) const fn refused(why: NoPicture) -> &'static str {
    match why {
        NoPicture::Missing => "wrong.picture_missing",
        NoPicture::TooLarge => "wrong.game_picture_too_large",
        NoPicture::Unreadable => "wrong.picture_unreadable",
        NoPicture::Incomplete => "wrong.picture_incomplete",
        NoPicture::Busy => "wrong.picture_busy",
    }
}

/// `POST /admin/catalogue/{id}/pictures`: the places and texts of the pictures that were shown, and which are deleted.
pub(crate) async fn save(Path(id): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let sheet = game::read(&staff, &id).await?;
    let id = GameId(sheet.game.id);
    let shown: Vec<Uuid> = form.values("picture").filter_map(|id| id.parse().ok()).collect();
    let (wanted, is_sound) = placed(&form, &shown);
    if !is_sound {
        form.wrong("", words.text("wrong.alt_invalid"));
    }
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if form.is_sound() {
        let unlock = form.value("unlock") == "yes";
        match staff
            .office()
            .arrange_game_pictures(&staff.admin, id, &shown, &wanted, unlock)
            .await
        {
            Ok(_) => return Ok(done(id, "pictures_saved")),
            Err(PictureError::Outdated(_)) => {
                status = StatusCode::CONFLICT;
                form.wrong("", words.text("wrong.pictures_changed"));
            }
            Err(PictureError::Store(error)) => return Err(error.into()),
            Err(_) => return Err(PageError::NotFound),
        }
    }
    let section = game_pictures::read(&staff, id, &sheet.game.locked_fields, &form).await?;
    game::show_with(&staff, &sheet, section, status).await
}

/// The pictures that stay, in their new order; and whether every text is valid. Of two with the same place, the one that
/// was shown first stays first.
fn placed(form: &Form, shown: &[Uuid]) -> (Vec<PlacedPicture>, bool) {
    let mut is_sound = true;
    let mut wanted: Vec<(u32, PlacedPicture)> = Vec::new();
    for (i, id) in shown.iter().enumerate() {
        let name = id.to_string();
        if form.values("delete").any(|deleted| deleted == name) {
            continue;
        }
        let alt = alt_text("alt", form.value(&game_pictures::field("alt", &name)));
        is_sound &= alt.is_ok();
        let place = form.value(&game_pictures::field("place", &name)).parse();
        let place = place.unwrap_or_else(|_| u32::try_from(i + 1).unwrap_or(u32::MAX));
        wanted.push((place, PlacedPicture { id: *id, alt: alt.ok() }));
    }
    wanted.sort_by_key(|(place, _)| *place);
    (wanted.into_iter().map(|(_, placed)| placed).collect(), is_sound)
}
