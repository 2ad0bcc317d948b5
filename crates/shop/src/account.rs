//! The caller's account: the parts that do not concern authentication (`lockstep_auth`).

use std::sync::Arc;

use lockstep_auth::CurrentUser;
use lockstep_domain::account::{ProfileChange, ProfileFacts};
use lockstep_store::accounts::{self, LoginRecord};
use uuid::Uuid;

use crate::{Shop, ShopError};

/// Maximum number of log-ins that are returned.
const MOST_LOGINS: u32 = 100;

impl Shop {
    /// Changes the caller's names and returns the new profile.
    ///
    /// # Errors
    /// [`ShopError`].
    #[tracing::instrument(name = "shop.change_profile", skip_all)]
    pub async fn change_profile(
        &self,
        caller: &CurrentUser,
        change: &ProfileChange,
    ) -> Result<ProfileFacts, ShopError> {
        accounts::change_profile(self.store(), caller.user(), change).await?;
        self.profile(caller).await
    }

    /// Stores `image`, a WebP of at most 128 KiB, as the caller's picture under a new id.
    ///
    /// # Errors
    /// [`ShopError`].
    #[tracing::instrument(name = "shop.set_picture", skip_all)]
    pub async fn set_picture(&self, caller: &CurrentUser, image: &[u8]) -> Result<(), ShopError> {
        Ok(accounts::set_avatar(self.store(), caller.user(), Uuid::new_v4(), Arc::from(image)).await?)
    }

    /// Deletes the caller's picture.
    ///
    /// # Errors
    /// [`ShopError`].
    #[tracing::instrument(name = "shop.remove_picture", skip_all)]
    pub async fn remove_picture(&self, caller: &CurrentUser) -> Result<(), ShopError> {
        Ok(accounts::remove_avatar(self.store(), caller.user()).await?)
    }

    /// The picture with this id as WebP; it is public to everyone who knows its address.
    ///
    /// # Errors
    /// [`ShopError`].
    #[tracing::instrument(name = "shop.picture", skip_all)]
    pub async fn picture(&self, id: Uuid) -> Result<Option<Vec<u8>>, ShopError> {
        Ok(accounts::avatar(self.store(), id).await?)
    }

    /// The caller's latest log-ins and attempts, newest first.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    #[tracing::instrument(name = "shop.logins", skip_all)]
    pub async fn logins(&self, caller: &CurrentUser) -> Result<Vec<LoginRecord>, ShopError> {
        Ok(accounts::login_history(self.store(), caller.user(), MOST_LOGINS).await?)
    }
}
