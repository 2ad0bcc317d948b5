//! Games: what staff make of them.

use lockstep_auth::Admin;
use lockstep_domain::GameId;
use lockstep_domain::admin::{GameCreated, GameForm, GameUpdated};
use lockstep_store::admin::game_edits;
use lockstep_store::audit::By;
use lockstep_store::jobs::{self, JobKind, NewJob};

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
        self.save_game(by, id, None, form).await
    }

    /// Changes a game; if `version` names one, only that.
    pub(crate) async fn save_game(
        &self,
        by: &Admin,
        id: GameId,
        version: Option<&str>,
        form: &GameForm,
    ) -> Result<GameUpdated, ChangeError> {
        let caller = by.caller();
        let changed = game_edits::update(&self.store, caller.user(), caller.session(), id, version, form).await?;
        if let Some(product) = changed.given_back {
            let look = NewJob {
                products: vec![product],
                ..NewJob::new(JobKind::Products)
            };
            // A worker asks G2A for the stock now. If another synchronisation is open, that one brings it.
            if let Err(error) = jobs::submit(&self.store, &By::Staff(caller.user()), &look).await {
                tracing::debug!(game = %id.0, "the stock of a game comes with the next synchronisation: {error}");
            }
        }
        Ok(changed.game)
    }

    /// Deletes a game that no order, key or cart refers to. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::InUse`], [`ChangeError::Store`].
    pub async fn delete_game(&self, by: &Admin, id: GameId) -> Result<(), ChangeError> {
        game_edits::delete(&self.store, by.caller().user(), id).await
    }
}
