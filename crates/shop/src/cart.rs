//! Changes to a cart. A visitor without a session becomes a guest with the first write; the returned [`Writer`] reports
//! this, because the response has to set the cookie.

use lockstep_auth::{Caller, Device};
use lockstep_domain::cart::{Moved, Visitor};
use lockstep_domain::ids::GameId;
use lockstep_store::carts;
use lockstep_store::guests::Writer;
use lockstep_store::orders::Idempotency;
use uuid::Uuid;

use crate::{Shop, ShopError};

impl Shop {
    /// Adds `quantity` units of a game to the visitor's cart. Two calls add twice, unless both have the same
    /// idempotency key.
    ///
    /// # Errors
    /// [`ShopError`]; then nothing changes and no guest is created.
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

    /// Sets the quantity of a game in the visitor's cart. Zero or less removes it, and a missing item is added. Returns
    /// `None` when there is nothing to remove and the visitor has no cart.
    ///
    /// # Errors
    /// [`ShopError`]; then nothing changes and no guest is created.
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

    /// Removes a game from the visitor's cart. Does nothing when it is not in the cart.
    ///
    /// # Errors
    /// [`ShopError::Refused`] with the database's error.
    pub async fn remove_from_cart(&self, visitor: Visitor, game: GameId) -> Result<(), ShopError> {
        carts::remove(self.store(), visitor, game).await?;
        Ok(())
    }

    /// Empties the visitor's cart.
    ///
    /// # Errors
    /// [`ShopError::Refused`] with the database's error.
    pub async fn clear_cart(&self, visitor: Visitor) -> Result<(), ShopError> {
        carts::clear(self.store(), visitor).await?;
        Ok(())
    }

    /// Moves a guest's cart into the caller's, exactly once even if called repeatedly.
    ///
    /// # Errors
    /// [`ShopError::Refused`]; then the guest's cart is unchanged.
    pub async fn move_cart(&self, caller: &Caller, guest: Option<Uuid>) -> Result<Moved, ShopError> {
        Ok(self.auth().move_cart(caller, guest).await?)
    }
}
