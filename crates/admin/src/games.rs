//! Games: what staff make of them.

use lockstep_auth::Admin;
use lockstep_domain::GameId;
use lockstep_domain::admin::{GameCreated, GameForm, GameUpdated};
use lockstep_store::admin::game_edits;

use crate::{BackOffice, ChangeError};

impl BackOffice {
    /// Makes a game of the shop's own. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::SlugTaken`], [`ChangeError::Store`].
    pub async fn create_game(&self, by: &Admin, form: &GameForm) -> Result<GameCreated, ChangeError> {
        game_edits::create(&self.store, by.caller().user(), form).await
    }

    /// Changes a game; of a game that G2A supplies, the changed fields are staff's from then on. What the form repeats of
    /// what the session was shown stays as it is by now. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::SlugTaken`], [`ChangeError::Invalid`], [`ChangeError::Store`].
    pub async fn update_game(&self, by: &Admin, id: GameId, form: &GameForm) -> Result<GameUpdated, ChangeError> {
        game_edits::update(&self.store, by.caller().user(), by.caller().session(), id, form).await
    }

    /// Deletes a game that no order, key or cart refers to. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::InUse`], [`ChangeError::Store`].
    pub async fn delete_game(&self, by: &Admin, id: GameId) -> Result<(), ChangeError> {
        game_edits::delete(&self.store, by.caller().user(), id).await
    }
}
