//! Who wants no announcements: the token of an e-mail decides, without a log-in.

use lockstep_store::mail::announcements;

use crate::{Shop, ShopError};

impl Shop {
    /// Whether the recipient with this token gets announcements; `None` if the token is not ours.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    #[tracing::instrument(name = "shop.is_subscribed", skip_all)]
    pub async fn is_subscribed(&self, token: &str) -> Result<Option<bool>, ShopError> {
        Ok(announcements::is_subscribed(self.store(), token).await?)
    }

    /// Sends no more announcements to the recipient with this token. False if the token is not ours.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    #[tracing::instrument(name = "shop.unsubscribe", skip_all)]
    pub async fn unsubscribe(&self, token: &str) -> Result<bool, ShopError> {
        Ok(announcements::unsubscribe(self.store(), token).await?)
    }
}
