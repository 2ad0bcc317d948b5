//! Changes to a wishlist. As with a cart, an anonymous principal becomes a guest with the first write.

use lockstep_auth::ClientInfo;
use lockstep_domain::cart::Principal;
use lockstep_domain::ids::GameId;
use lockstep_store::guests::Writer;
use lockstep_store::wishlists;

use crate::{Shop, ShopError};

impl Shop {
    /// Adds a game to the principal's wishlist. Calling it again has no effect.
    ///
    /// # Errors
    /// [`ShopError`]; then nothing changes and no guest is created.
    #[tracing::instrument(name = "shop.add_to_wishlist", skip_all, fields(%game))]
    pub async fn add_to_wishlist(
        &self,
        principal: Principal,
        game: GameId,
        device: &ClientInfo,
    ) -> Result<Writer, ShopError> {
        self.admit(principal, device).await?;
        Ok(wishlists::add(self.store(), principal, game, self.limits()).await?)
    }

    /// Removes a game from the principal's wishlist. Does nothing when it is not there.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    #[tracing::instrument(name = "shop.remove_from_wishlist", skip_all, fields(%game))]
    pub async fn remove_from_wishlist(&self, principal: Principal, game: GameId) -> Result<(), ShopError> {
        wishlists::remove(self.store(), principal, game).await?;
        Ok(())
    }
}
