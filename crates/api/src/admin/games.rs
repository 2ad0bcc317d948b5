//! Games: made, changed and deleted.

use axum::extract::Path;
use http::StatusCode;
use lockstep_domain::admin::{GameCreated, GameEntry, GameForm, GameUpdated};
use lockstep_domain::catalogue::{Answer, PICTURES};
use lockstep_domain::{GameId, Money};
use utoipa::OpenApi;

use super::RequireStaff;
use crate::answer::{self, Answered, Message};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;

/// The operations; their routes are in [`super::catalogue`], beside those that read.
#[derive(OpenApi)]
#[openapi(paths(create, update, delete))]
pub(super) struct Description;

request_body! {
    /// A game. A new one needs `title` and `price`; of a known one, what is not sent stays.
    ///
    /// `platform` and `genre` are the first of each: changing one leaves the others. `platforms` and `genres` are all of
    /// them. Names that the shop does not know yet are created.
    struct GameFields {
        /// Title.
        #[schema(min_length = 1, max_length = 300)]
        title: Option<String> = "title",
        /// URL slug, by default made from the title. A former one redirects.
        #[schema(max_length = 300)]
        slug: Option<String> = "slug",
        /// HTML, which is cleaned, or plain text.
        #[schema(max_length = 60000)]
        description: Option<String> = "description",
        /// Price in EUR, at most two decimals.
        #[schema(value_type = Option<f64>)]
        price: Option<Money> = "price",
        /// Price before the reduction in EUR, above the price; `null` or 0 removes it.
        #[schema(value_type = Option<f64>)]
        original_price: Option<Money> = "originalPrice" => changed_money(),
        /// Address of the cover; empty for the one that the shop generates.
        #[schema(max_length = 2000)]
        image_url: Option<String> = "imageUrl",
        /// First platform.
        #[schema(max_length = 100)]
        platform: Option<String> = "platform",
        /// All platforms.
        #[schema(max_items = 50)]
        platforms: Option<Vec<String>> = "platforms",
        /// First genre.
        #[schema(max_length = 100)]
        genre: Option<String> = "genre",
        /// All genres.
        #[schema(max_items = 50)]
        genres: Option<Vec<String>> = "genres",
        /// All tags.
        #[schema(max_items = 50)]
        tags: Option<Vec<String>> = "tags",
        /// All categories.
        #[schema(max_items = 50)]
        categories: Option<Vec<String>> = "categories",
        /// Publisher; empty for none.
        #[schema(max_length = 100)]
        publisher: Option<String> = "publisher" => changed_text(),
        /// Developer; empty for none.
        #[schema(max_length = 100)]
        developer: Option<String> = "developer" => changed_text(),
        /// Release date, `YYYY-MM-DD`, UTC.
        #[schema(max_length = 30)]
        release_date: Option<String> = "releaseDate",
        /// Whether it is announced but not yet released.
        is_preorder: Option<bool> = "isPreorder",
        /// `false` holds a game that G2A supplies back, `true` gives it back to G2A's stock. A game of the shop's own is
        /// in stock while an unsold key of it is stored.
        in_stock: Option<bool> = "inStock",
        /// Fields of a game that G2A supplies that no synchronisation may change. Those that this request changes are
        /// added; those that are left out are G2A's again.
        #[schema(max_items = 15)]
        locked_fields: Option<Vec<String>> = "lockedFields",
    }
}

/// The address of a game's picture for a form, whose field for addresses takes absolute ones only.
pub(super) fn shown_picture(stored: String, public_url: &str) -> String {
    if stored.starts_with('/') {
        format!("{public_url}{stored}")
    } else {
        stored
    }
}

/// The stored form of an address that [`shown_picture`] may have made.
fn stored_picture(sent: String, public_url: &str) -> String {
    match sent.strip_prefix(public_url) {
        Some(path) if path.starts_with(COVERS) || path.starts_with(PICTURES) => path.to_owned(),
        _ => sent,
    }
}

/// Where generated covers are.
const COVERS: &str = "/api/covers/";

fn form(staff: &RequireStaff, body: &Body, is_new: bool) -> Result<GameForm, ApiError> {
    let (fields, form) = body.read::<GameFields>();
    let entry = GameEntry {
        title: fields.title,
        slug: fields.slug,
        description: fields.description,
        price: fields.price,
        original_price: fields.original_price,
        image: fields.image_url.map(|sent| stored_picture(sent, &staff.public_url)),
        platform: fields.platform,
        platforms: fields.platforms,
        genre: fields.genre,
        genres: fields.genres,
        tags: fields.tags,
        categories: fields.categories,
        publisher: fields.publisher,
        developer: fields.developer,
        release_date: fields.release_date,
        is_preorder: fields.is_preorder,
        in_stock: fields.in_stock,
        is_hidden: None,
        locked: fields.locked_fields,
    };
    form.finish(GameForm::new(entry, is_new))
}

/// Creates a game of the shop's own.
#[utoipa::path(post, path = "/api/admin/games", tag = "admin", operation_id = "createGame", security(("bearer" = [])), request_body = GameFields,
    responses((status = 201, description = "The game", body = Answer<GameCreated>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator"), (status = 409, description = "The slug is taken")))]
pub(crate) async fn create(staff: RequireStaff, body: Body) -> Answered {
    let form = form(&staff, &body, true)?;
    let game = staff.office.create_game(&staff.admin, &form).await?;
    answer::data(StatusCode::CREATED, &game)
}

/// Changes a game.
///
/// Fields whose value changes become staff's: no synchronisation with G2A changes them from then on.
#[utoipa::path(put, path = "/api/admin/games/{id}", tag = "admin", operation_id = "updateGame", security(("bearer" = [])), request_body = GameFields,
    params(("id" = Uuid, Path, description = "ID of the game")),
    responses((status = 200, description = "The game", body = Answer<GameUpdated>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such game"),
    (status = 409, description = "The slug is taken")))]
pub(crate) async fn update(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (id, form) = (GameId(uuid_in("id", &id)?), form(&staff, &body, false)?);
    let game = staff.office.update_game(&staff.admin, id, &form).await?;
    answer::data(StatusCode::OK, &game)
}

/// Deletes a game that no order, key or cart refers to.
///
/// The synchronisation does not bring a product of G2A back.
#[utoipa::path(delete, path = "/api/admin/games/{id}", tag = "admin", operation_id = "deleteGame", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the game")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such game"),
    (status = 409, description = "Orders, keys or carts refer to it")))]
pub(crate) async fn delete(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let id = GameId(uuid_in("id", &id)?);
    staff.office.delete_game(&staff.admin, id).await?;
    answer::message(StatusCode::OK, "The game is deleted")
}
