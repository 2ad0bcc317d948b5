//! Changing a cart. A visitor without a session becomes a guest by the first write; the answer says so, because it has
//! to carry the cookie.

use lockstep_auth::{Caller, Device};
use lockstep_domain::cart::{Moved, Visitor};
use lockstep_domain::ids::GameId;
use lockstep_store::carts;
use lockstep_store::guests::Writer;
use lockstep_store::orders::Idempotency;
use uuid::Uuid;

use crate::{Shop, ShopError};

impl Shop {
    /// Puts copies of a game into the visitor's cart, on top of those already there. Called twice it adds twice,
    /// unless both calls carry the same key.
    ///
    /// # Errors
    /// [`ShopError`]; nothing is changed then, and nobody becomes a guest.
    pub async fn add_to_cart(
        &self,
        visitor: Visitor,
        game: GameId,
        quantity: i64,
        device: &Device,
        key: Option<&Idempotency>,
    ) -> Result<Writer, ShopError> {
        self.admit(visitor, device).await?;
        let limits = self.limits();
        Ok(match key {
            Some(key) => carts::add_once(self.store(), visitor, game, quantity, limits, key).await?,
            None => carts::add(self.store(), visitor, game, quantity, limits).await?,
        })
    }

    /// Sets how many copies of a game are in the visitor's cart; zero or less takes it out, a missing line is made.
    /// `None`: there was nothing to take out and nobody to take it from.
    ///
    /// # Errors
    /// [`ShopError`]; nothing is changed then, and nobody becomes a guest.
    pub async fn set_in_cart(
        &self,
        visitor: Visitor,
        game: GameId,
        quantity: i64,
        device: &Device,
    ) -> Result<Option<Writer>, ShopError> {
        if quantity > 0 {
            self.admit(visitor, device).await?;
        }
        Ok(carts::set(self.store(), visitor, game, quantity, self.limits()).await?)
    }

    /// Takes a game out of the visitor's cart; fine when it is not there.
    ///
    /// # Errors
    /// [`ShopError::Refused`] with what the database says.
    pub async fn remove_from_cart(&self, visitor: Visitor, game: GameId) -> Result<(), ShopError> {
        carts::remove(self.store(), visitor, game).await?;
        Ok(())
    }

    /// Empties the visitor's cart.
    ///
    /// # Errors
    /// [`ShopError::Refused`] with what the database says.
    pub async fn clear_cart(&self, visitor: Visitor) -> Result<(), ShopError> {
        carts::clear(self.store(), visitor).await?;
        Ok(())
    }

    /// Moves a guest's cart into the caller's, exactly once however often it is asked for.
    ///
    /// # Errors
    /// [`ShopError::Refused`]; the guest's cart is still there then.
    pub async fn move_cart(&self, caller: &Caller, guest: Option<Uuid>) -> Result<Moved, ShopError> {
        Ok(self.auth().move_cart(caller, guest).await?)
    }
}
