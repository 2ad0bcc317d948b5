//! Consent to deliver keys before the withdrawal period ends: who asks for it, and what a shopper agrees to.

use lockstep_auth::{ClientInfo, CurrentUser};
use lockstep_domain::consent::{AgreedWording, ConsentMode, Wording};
use lockstep_domain::ids::OrderId;
use lockstep_domain::law::Duties;
use lockstep_store::orders;

use crate::{Shop, ShopError};

impl Shop {
    /// Who asks for consent.
    pub fn consent_mode(&self) -> ConsentMode {
        self.0.parts.consent
    }

    /// The duties that the shop fulfils.
    pub fn duties(&self) -> &Duties {
        &self.0.parts.duties
    }

    /// What a client agrees to that was shown this version of the wording in this language; `None` if there is none.
    pub fn agreed(version: &str, language: &str, device: &ClientInfo) -> Option<AgreedWording> {
        let wording = Wording::of_version(version)?;
        let (language, text) = wording.text(language)?;
        Some(AgreedWording {
            version: wording.version,
            language,
            text,
            address: device.address().map(|address| address.to_string()),
            user_agent: device.user_agent().map(str::to_owned),
        })
    }

    /// Records the consent of an order of the caller: its keys are shown from now on. An order that has one keeps it.
    ///
    /// # Errors
    /// [`ShopError::NotFound`] when the order does not exist or belongs to another user; [`ShopError::Refused`] when there
    /// are too many requests.
    #[tracing::instrument(name = "shop.consent", skip_all, fields(%order))]
    pub async fn consent(
        &self,
        caller: &CurrentUser,
        order: OrderId,
        wording: &AgreedWording,
    ) -> Result<(), ShopError> {
        self.allow_order(caller).await?;
        if !orders::consent(self.store(), caller.user(), order, wording).await? {
            return Err(ShopError::NotFound("Order"));
        }
        self.cache().catch_up().await?;
        Ok(())
    }
}
