//! Stock alerts: the sold-out games that a user waits for. Read from the database without a cache, because such
//! requests are rare.

use lockstep_auth::CurrentUser;
use lockstep_domain::cart::StockAlert;
use lockstep_domain::ids::GameId;
use lockstep_store::stock_alerts;

use crate::{RequestContext, Shop, ShopError};

impl Shop {
    /// Sends the caller one e-mail when the game is available again. Calling it again has no effect.
    ///
    /// # Errors
    /// [`ShopError::Shopper`]: the game does not exist, is in stock, or the caller has too many alerts.
    #[tracing::instrument(name = "shop.wait_for", skip_all, fields(%game))]
    pub async fn wait_for(&self, caller: &CurrentUser, game: GameId) -> Result<(), ShopError> {
        Ok(stock_alerts::add(self.store(), caller.user(), game, self.limits()).await?)
    }

    /// Removes the caller's alert for a game. Does nothing when there is none.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    #[tracing::instrument(name = "shop.wait_no_longer", skip_all, fields(%game))]
    pub async fn wait_no_longer(&self, caller: &CurrentUser, game: GameId) -> Result<(), ShopError> {
        Ok(stock_alerts::remove(self.store(), caller.user(), game).await?)
    }
}

impl RequestContext {
    /// The caller's alerts, newest first.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when the caller is not signed in, [`ShopError::Store`].
    #[tracing::instrument(name = "shop.stock_alerts", skip_all)]
    pub async fn stock_alerts(&self) -> Result<Vec<StockAlert>, ShopError> {
        let user = self.signed_in()?.user();
        let read = self
            .shop()
            .store()
            .read(move |tx| Box::pin(stock_alerts::list(tx, user)))
            .await?;
        Ok(read.value)
    }
}
