//! Changes to a cart. A principal without a session becomes a guest with the first write; the returned [`Writer`]
//! reports this, because the response has to set the cookie.

use lockstep_auth::{Admin, ClientInfo};
use lockstep_domain::cart::Principal;
use lockstep_domain::ids::{GameId, UserId};
use lockstep_store::carts;
use lockstep_store::guests::{ShopperError, Writer};
use lockstep_store::idempotency::Idempotency;

use crate::{Shop, ShopError};

impl Shop {
    /// Adds `quantity` units of a game to the principal's cart. Two calls add twice, unless both have the same
    /// idempotency key.
    ///
    /// # Errors
    /// [`ShopError`]; then nothing changes and no guest is created.
    #[tracing::instrument(name = "shop.add_to_cart", skip_all, fields(%game))]
    pub async fn add_to_cart(
        &self,
        principal: Principal,
        game: GameId,
        quantity: i64,
        device: &ClientInfo,
        key: Option<&Idempotency>,
    ) -> Result<Writer, ShopError> {
        self.admit(principal, device).await?;
        let limits = self.limits();
        Ok(match key {
            Some(key) => carts::add_once(self.store(), principal, game, quantity, limits, key).await?,
            None => carts::add(self.store(), principal, game, quantity, limits).await?,
        })
    }

    /// Sets the quantity of a game in the principal's cart. Zero or less removes it, and a missing item is added.
    /// Returns `None` when there is nothing to remove and the principal has no cart.
    ///
    /// # Errors
    /// [`ShopError`]; then nothing changes and no guest is created.
    #[tracing::instrument(name = "shop.set_in_cart", skip_all, fields(%game))]
    pub async fn set_in_cart(
        &self,
        principal: Principal,
        game: GameId,
        quantity: i64,
        device: &ClientInfo,
    ) -> Result<Option<Writer>, ShopError> {
        if quantity > 0 {
            self.admit(principal, device).await?;
        }
        Ok(carts::set(self.store(), principal, game, quantity, self.limits()).await?)
    }

    /// Removes a game from the principal's cart. Does nothing when it is not in the cart.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    #[tracing::instrument(name = "shop.remove_from_cart", skip_all, fields(%game))]
    pub async fn remove_from_cart(&self, principal: Principal, game: GameId) -> Result<(), ShopError> {
        carts::remove(self.store(), principal, game).await?;
        Ok(())
    }

    /// Makes `items` the cart of a user, on behalf of an admin. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ShopError::NotFound`] when there is no such user, [`ShopError::Shopper`]; then nothing changes.
    pub async fn replace_cart(&self, admin: &Admin, user: UserId, items: &[(GameId, i64)]) -> Result<(), ShopError> {
        let admin = admin.caller().user();
        match carts::replace(self.store(), admin, user, items, self.limits()).await {
            Err(ShopperError::NoSuchShopper) => Err(ShopError::NotFound("User")),
            result => Ok(result?),
        }
    }

    /// Empties the principal's cart.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    #[tracing::instrument(name = "shop.clear_cart", skip_all)]
    pub async fn clear_cart(&self, principal: Principal) -> Result<(), ShopError> {
        carts::clear(self.store(), principal).await?;
        Ok(())
    }
}
