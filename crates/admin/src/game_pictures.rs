//! The pictures of a game: uploaded, put in order, described, deleted.

use std::sync::Arc;

use bytes::Bytes;
use lockstep_auth::Admin;
use lockstep_domain::GameId;
use lockstep_domain::admin::{GamePicture, PlacedPicture};
use lockstep_domain::staff::Permission;
use lockstep_images::NoPicture;
use lockstep_store::Result;
use lockstep_store::accounts::staff;
use lockstep_store::admin::game_pictures::{self, NewPicture, PictureError};
use uuid::Uuid;

use crate::BackOffice;

/// Maximum size of an uploaded picture of a game in bytes.
pub const MAX_PICTURE_BYTES: usize = 8 * 1024 * 1024;
/// Maximum width of a stored picture in pixels.
const WIDTH: u32 = 1_920;
/// Maximum size of a stored picture in bytes, as in the database.
const STORED_BYTES: usize = 1024 * 1024;
/// How many uploads are scaled at once: each takes up to 128 MB.
pub(crate) const SCALED_AT_ONCE: usize = 1;

/// Why a picture was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddPictureError {
    /// The file is refused.
    #[error(transparent)]
    File(#[from] NoPicture),
    /// The game cannot have it.
    #[error(transparent)]
    Refused(#[from] PictureError),
    /// The sender's session or token has ended meanwhile, or they have lost the permission.
    #[error("Forbidden")]
    NotAllowed,
}

impl BackOffice {
    /// The pictures of a game in their order, without a generated cover.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.game_pictures", skip_all, fields(game = %game))]
    pub async fn game_pictures(&self, _by: &Admin, game: GameId) -> Result<Option<Vec<GamePicture>>> {
        let read = self.store.read(|tx| Box::pin(game_pictures::list(tx, game)));
        Ok(read.await?.value)
    }

    /// Adds `file` (PNG, JPEG or WebP, at most 16 megapixels) at the end of a game's pictures: decoded, scaled and encoded
    /// anew. Recorded in the audit log.
    ///
    /// # Errors
    /// [`AddPictureError`]; then nothing has changed.
    #[tracing::instrument(name = "admin.add_game_picture", skip_all, fields(game = %game))]
    pub async fn add_game_picture(
        &self,
        by: &Admin,
        game: GameId,
        file: Bytes,
        alt: String,
    ) -> Result<GamePicture, AddPictureError> {
        let (user, session) = (by.caller().user(), by.caller().session());
        let goes_on = staff::goes_on(&self.store, user, session, Permission::CatalogueWrite).await;
        if !goes_on.map_err(PictureError::from)? {
            return Err(AddPictureError::NotAllowed);
        }
        // What cannot be stored is not worth decoding.
        if self
            .game_pictures(by, game)
            .await
            .map_err(PictureError::from)?
            .is_none()
        {
            return Err(PictureError::NoSuchGame.into());
        }
        let image = self.pictures.fitted(file, WIDTH, STORED_BYTES).await?;
        let new = NewPicture {
            id: Uuid::new_v4(),
            image: Arc::from(&*image),
            alt,
        };
        Ok(game_pictures::add(&self.store, user, game, &new).await?)
    }

    /// Sets the order and the alternative texts of a game's pictures; those of `shown` that `wanted` leaves out are deleted.
    /// With `unlock` G2A's pictures come back with the next synchronisation. Recorded in the audit log.
    ///
    /// # Errors
    /// [`PictureError`]; then nothing has changed.
    pub async fn arrange_game_pictures(
        &self,
        by: &Admin,
        game: GameId,
        shown: &[Uuid],
        wanted: &[PlacedPicture],
        unlock: bool,
    ) -> Result<Vec<GamePicture>, PictureError> {
        game_pictures::arrange(&self.store, by.caller().user(), game, shown, wanted, unlock).await
    }

    /// Sets the alternative text of a picture. Recorded in the audit log.
    ///
    /// # Errors
    /// [`PictureError`]; then nothing has changed.
    pub async fn describe_game_picture(
        &self,
        by: &Admin,
        game: GameId,
        picture: Uuid,
        alt: &str,
    ) -> Result<GamePicture, PictureError> {
        game_pictures::describe(&self.store, by.caller().user(), game, picture, alt).await
    }

    /// Deletes a picture of a game. Recorded in the audit log.
    ///
    /// # Errors
    /// [`PictureError`]; then nothing has changed.
    pub async fn delete_game_picture(&self, by: &Admin, game: GameId, picture: Uuid) -> Result<(), PictureError> {
        game_pictures::delete(&self.store, by.caller().user(), game, picture).await
    }
}
