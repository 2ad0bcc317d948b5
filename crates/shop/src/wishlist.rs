//! Changing a wishlist; guests begin with it as with a cart.

use lockstep_auth::{Caller, Device};
use lockstep_domain::cart::{Moved, Visitor};
use lockstep_domain::ids::GameId;
use lockstep_store::guests::Writer;
use lockstep_store::wishlists;
use uuid::Uuid;

use crate::{Shop, ShopError};

impl Shop {
    /// Puts a game on the visitor's wishlist. Called twice it changes nothing more.
    ///
    /// # Errors
    /// [`ShopError`]; nothing is changed then, and nobody becomes a guest.
    pub async fn add_to_wishlist(&self, visitor: Visitor, game: GameId, device: &Device) -> Result<Writer, ShopError> {
        self.admit(visitor, device).await?;
        Ok(wishlists::add(self.store(), visitor, game, self.limits()).await?)
    }

    /// Takes a game off the visitor's wishlist; fine when it is not there.
    ///
    /// # Errors
    /// [`ShopError::Refused`] with what the database says.
    pub async fn remove_from_wishlist(&self, visitor: Visitor, game: GameId) -> Result<(), ShopError> {
        wishlists::remove(self.store(), visitor, game).await?;
        Ok(())
    }

    /// Moves a guest's wishlist to the caller's, exactly once however often it is asked for.
    ///
    /// # Errors
    /// [`ShopError::Refused`]; the guest's wishlist is still there then.
    pub async fn move_wishlist(&self, caller: &Caller, guest: Option<Uuid>) -> Result<Moved, ShopError> {
        Ok(self.auth().move_wishlist(caller, guest).await?)
    }
}
