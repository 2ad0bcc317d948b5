//! "Tell me when it is back": what a member waits for. Read from the database itself; nobody asks often.

use lockstep_auth::Caller;
use lockstep_domain::cart::StockAlert;
use lockstep_domain::ids::GameId;
use lockstep_store::stock_alerts;

use crate::{Arrival, Shop, ShopError};

impl Shop {
    /// Tells the caller by a letter when the game is to be had again, once. Called twice it changes nothing more.
    ///
    /// # Errors
    /// [`ShopError::Refused`]: no such game, it is in stock, or more than fit.
    pub async fn wait_for(&self, caller: &Caller, game: GameId) -> Result<(), ShopError> {
        Ok(stock_alerts::add(self.store(), caller.user(), game, self.limits()).await?)
    }

    /// Tells the caller nothing about the game any more; fine when they did not wait for it.
    ///
    /// # Errors
    /// [`ShopError::Refused`] with what the database says.
    pub async fn wait_no_longer(&self, caller: &Caller, game: GameId) -> Result<(), ShopError> {
        Ok(stock_alerts::remove(self.store(), caller.user(), game).await?)
    }
}

impl Arrival {
    /// What they wait for, newest first.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when they are not signed in, or with what the database says.
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
