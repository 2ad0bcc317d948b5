//! `/api/admin/games/{id}/images…`: the pictures of a game.

use std::sync::Arc;

use axum::extract::{Path, Request};
use http::StatusCode;
use lockstep_admin::{AddPictureError, MAX_PICTURE_BYTES, PictureError};
use lockstep_auth::AuthError;
use lockstep_domain::GameId;
use lockstep_domain::admin::{GamePicture, GamePictures, MAX_GAME_PICTURES, PlacedPicture, alt_text};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use lockstep_images::NoPicture;
use lockstep_images::upload::{self, UploadError};
use serde_json::{Map, Value};
use utoipa::OpenApi;
use uuid::Uuid;

use super::routes::{StaffRoute, Streamed, at};
use super::{RequireStaff, found};
use crate::answer::{self, Answered, Message};
use crate::body::{Body, Objects, request_body, uuid_in};
use crate::error::ApiError;

/// Maximum size of a request with a picture in bytes.
pub(crate) const MAX_UPLOAD: u64 = (MAX_PICTURE_BYTES + upload::AROUND) as u64;

#[derive(OpenApi)]
#[openapi(
    paths(list, add, arrange, describe, delete),
    components(schemas(PictureFile, PlacedImage))
)]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/games/{id}/images")
            .get(Permission::CatalogueRead, list)
            .post(Streamed(Permission::CatalogueWrite), add)
            .put(Permission::CatalogueWrite, arrange),
        at("/api/admin/games/{id}/images/{imageId}")
            .put(Permission::CatalogueWrite, describe)
            .delete(Permission::CatalogueWrite, delete),
    ]
}

/// Whether a path is that of an upload, whose body is larger and takes longer than others.
pub(crate) fn is_upload(path: &str) -> bool {
    let id = path
        .strip_prefix("/api/admin/games/")
        .and_then(|rest| rest.strip_suffix("/images"));
    id.is_some_and(|id| !id.contains('/')) || path == super::logo::LOGO
}

/// A picture in a form.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only described: the form is read field by field")]
struct PictureFile {
    /// PNG, JPEG or WebP, at most 8 MiB and 16 megapixels.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// Alternative text, at most 300 characters.
    #[schema(max_length = 300)]
    alt: Option<String>,
}

/// The pictures with absolute addresses.
fn shown(staff: &RequireStaff, pictures: Vec<GamePicture>) -> GamePictures {
    GamePictures {
        images: pictures.into_iter().map(|picture| absolute(staff, picture)).collect(),
    }
}

fn absolute(staff: &RequireStaff, mut picture: GamePicture) -> GamePicture {
    picture.url = super::games::shown_picture(picture.url, &staff.public_url);
    picture
}

/// Returns the pictures of a game: the cover, then the gallery.
///
/// A cover that the shop generates is not among them.
#[utoipa::path(get, path = "/api/admin/games/{id}/images", tag = "admin", operation_id = "adminGameImages", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the game")),
    responses((status = 200, description = "The pictures", body = Answer<GamePictures>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission catalogue.read"),
    (status = 404, description = "There is no such game")))]
pub(crate) async fn list(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let pictures = staff
        .office
        .game_pictures(&staff.admin, GameId(uuid_in("id", &id)?))
        .await?;
    answer::data(StatusCode::OK, &shown(&staff, found(pictures, "Game")?))
}

/// Uploads a picture: the last of the gallery, or the cover of a game without other pictures.
///
/// The file is decoded and stored anew as WebP, at most 1,920 pixels wide; nothing else of it is kept. What staff change of
/// the pictures of a game that G2A supplies, no synchronisation changes from then on.
#[utoipa::path(post, path = "/api/admin/games/{id}/images", tag = "admin", operation_id = "addGameImage", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the game")),
    request_body(content = PictureFile, content_type = "multipart/form-data", description = "A form with the file `image`"),
    responses((status = 201, description = "The picture", body = Answer<GamePicture>),
    (status = 400, description = "No such form, no picture (`picture_missing`, `picture_unreadable`, `picture_incomplete`), or an invalid text"),
    (status = 403, description = "Not signed in as staff with the permission catalogue.write"),
    (status = 404, description = "There is no such game"), (status = 409, description = "The game has 20 pictures (`too_many_pictures`)"),
    (status = 413, description = "The file is larger than 8 MiB"), (status = 503, description = "Other pictures are being processed (`pictures_busy`)")))]
pub(crate) async fn add(Path(id): Path<String>, staff: RequireStaff, request: Request) -> Answered {
    let id = GameId(uuid_in("id", &id)?);
    let upload = upload::read(request, "image", MAX_PICTURE_BYTES)
        .await
        .map_err(|error| match error {
            UploadError::Refused(why) => ApiError::from(why),
            UploadError::NotAForm => ApiError::refused(
                StatusCode::BAD_REQUEST,
                "invalid_body",
                &"Send multipart/form-data with the file as image.",
            ),
        })?;
    let alt = upload.fields.get("alt").map(String::as_str).unwrap_or_default();
    let alt = alt_text("alt", alt).map_err(ApiError::Fields)?;
    let picture = staff
        .office
        .add_game_picture(&staff.admin, id, upload.file, alt)
        .await?;
    answer::data(StatusCode::CREATED, &absolute(&staff, picture))
}

request_body! {
    /// The pictures of a game in a new order, the cover first.
    struct PictureOrder {
        /// All pictures of the game, each with its `id`; with `alt`, its text is set as well.
        #[schema(value_type = Vec<PlacedImage>, max_items = 20)]
        images: Vec<PlacedPicture> = "images" => objects(&PLACED),
        /// `true` gives the pictures back to G2A: its own come with the next synchronisation.
        unlock: Option<bool> = "unlock",
    }
}

/// A picture in a new order.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only described: the objects are read field by field")]
struct PlacedImage {
    /// ID of the picture.
    id: Uuid,
    /// Alternative text, at most 300 characters; what is left out stays.
    #[schema(max_length = 300)]
    alt: Option<String>,
}

const PLACED: Objects<PlacedPicture> = Objects {
    read: placed,
    most: MAX_GAME_PICTURES,
    msg: "This field must be a list of at most 20 pictures, each with its id and perhaps a text (alt) of one line",
};

fn placed(fields: &Map<String, Value>) -> Option<PlacedPicture> {
    let alt = fields.get("alt").filter(|alt| !alt.is_null());
    let alt = alt.map(|alt| alt.as_str().and_then(|alt| alt_text("images", alt).ok()));
    Some(PlacedPicture {
        id: fields.get("id")?.as_str()?.parse().ok()?,
        // Without a text it stays; with one that is none, nothing is read.
        alt: match alt {
            Some(alt) => Some(alt?),
            None => None,
        },
    })
}

/// Sets the order of a game's pictures, the cover first, and their texts.
///
/// The list must have every picture of the game: otherwise somebody has changed them, and the answer (409, `outdated`)
/// has them as they are by now in `error.current`.
#[utoipa::path(put, path = "/api/admin/games/{id}/images", tag = "admin", operation_id = "arrangeGameImages", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the game")), request_body = PictureOrder,
    responses((status = 200, description = "The pictures", body = Answer<GamePictures>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as staff with the permission catalogue.write"),
    (status = 404, description = "There is no such game"), (status = 409, description = "The game has other pictures (`outdated`)")))]
pub(crate) async fn arrange(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let id = GameId(uuid_in("id", &id)?);
    let (order, mut form) = body.read::<PictureOrder>();
    form.missing("images");
    let order = form.finish(Ok(order))?;
    let known: Vec<Uuid> = order.images.iter().map(|placed| placed.id).collect();
    let unlock = order.unlock.unwrap_or_default();
    let arranged = staff
        .office
        .arrange_game_pictures(&staff.admin, id, &known, &order.images, unlock)
        .await;
    match arranged {
        Ok(pictures) => answer::data(StatusCode::OK, &shown(&staff, pictures)),
        Err(error @ PictureError::Outdated(_)) => Err(with_current(&staff, error)),
        Err(error) => Err(error.into()),
    }
}

/// Adds the pictures as they are by now to a refusal.
fn with_current(staff: &RequireStaff, error: PictureError) -> ApiError {
    let message = error.to_string();
    let PictureError::Outdated(pictures) = error else {
        return error.into();
    };
    match serde_json::to_value(shown(staff, pictures)) {
        Ok(current) => ApiError::Outdated {
            message,
            current: Arc::new(current),
        },
        Err(_) => ApiError::refused(StatusCode::CONFLICT, "outdated", &message),
    }
}

request_body! {
    /// What to change about a picture.
    struct PictureText {
        /// Alternative text; empty for none.
        #[schema(max_length = 300)]
        alt: String = "alt",
    }
}

/// Sets the alternative text of a picture.
#[utoipa::path(put, path = "/api/admin/games/{id}/images/{imageId}", tag = "admin", operation_id = "describeGameImage", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the game"), ("imageId" = Uuid, Path, description = "ID of the picture")),
    request_body = PictureText,
    responses((status = 200, description = "The picture", body = Answer<GamePicture>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as staff with the permission catalogue.write"),
    (status = 404, description = "There is no such game or picture")))]
pub(crate) async fn describe(Path((id, picture)): Path<(String, String)>, staff: RequireStaff, body: Body) -> Answered {
    let (id, picture) = (GameId(uuid_in("id", &id)?), uuid_in("imageId", &picture)?);
    let (PictureText { alt }, form) = body.read();
    let alt = form.finish(alt_text("alt", &alt))?;
    let picture = staff
        .office
        .describe_game_picture(&staff.admin, id, picture, &alt)
        .await?;
    answer::data(StatusCode::OK, &absolute(&staff, picture))
}

/// Deletes a picture of a game.
///
/// The cover is then the next picture, or the one that the shop generates.
#[utoipa::path(delete, path = "/api/admin/games/{id}/images/{imageId}", tag = "admin", operation_id = "deleteGameImage", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the game"), ("imageId" = Uuid, Path, description = "ID of the picture")),
    responses((status = 200, body = Message), (status = 400, description = "An ID is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission catalogue.write"),
    (status = 404, description = "There is no such game or picture")))]
pub(crate) async fn delete(Path((id, picture)): Path<(String, String)>, staff: RequireStaff) -> Answered {
    let (id, picture) = (GameId(uuid_in("id", &id)?), uuid_in("imageId", &picture)?);
    staff.office.delete_game_picture(&staff.admin, id, picture).await?;
    answer::message(StatusCode::OK, "The picture is deleted")
}

impl From<NoPicture> for ApiError {
    fn from(why: NoPicture) -> Self {
        let (status, code) = match why {
            NoPicture::Missing => (StatusCode::BAD_REQUEST, "picture_missing"),
            NoPicture::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            NoPicture::Unreadable => (StatusCode::BAD_REQUEST, "picture_unreadable"),
            NoPicture::Incomplete => (StatusCode::BAD_REQUEST, "picture_incomplete"),
            NoPicture::Busy => (StatusCode::SERVICE_UNAVAILABLE, "pictures_busy"),
        };
        Self::refused(status, code, &why)
    }
}

impl From<PictureError> for ApiError {
    fn from(error: PictureError) -> Self {
        let code = match error {
            PictureError::Store(error) => return error.into(),
            PictureError::NoSuchGame => return Self::NotFound("Game"),
            PictureError::NotFound => return Self::NotFound("Picture"),
            PictureError::TooMany => "too_many_pictures",
            PictureError::Outdated(_) => "outdated",
        };
        Self::refused(StatusCode::CONFLICT, code, &error)
    }
}

impl From<AddPictureError> for ApiError {
    fn from(error: AddPictureError) -> Self {
        match error {
            AddPictureError::File(why) => why.into(),
            AddPictureError::Refused(error) => error.into(),
            AddPictureError::NotAllowed => AuthError::Forbidden.into(),
        }
    }
}
