//! Withdrawal from a contract, without a log-in. The answer is the same whether or not there is such an order.

use chrono::{DateTime, Utc};
use lockstep_auth::ClientInfo;
use lockstep_auth::limits::Action;
use lockstep_domain::limit::Rule;
use lockstep_domain::withdrawal::WithdrawalForm;
use lockstep_store::withdrawals::{self, Declaration};
use uuid::Uuid;

use crate::{Shop, ShopError};

/// Each sends an e-mail to an address that anybody can enter.
const WITHDRAWAL: Action = Action::new("withdrawal", Rule::new(10, 360), Rule::new(5, 3_600));

impl Shop {
    /// Stores a declaration and has its arrival acknowledged by e-mail; returns when it arrived. The same `id` again changes
    /// nothing. `language` is the ISO 639-1 code of the page.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when there were too many from this address or for this contact; [`ShopError::Store`].
    #[tracing::instrument(name = "shop.withdraw", skip_all)]
    pub async fn withdraw(
        &self,
        id: Uuid,
        form: &WithdrawalForm,
        language: &'static str,
        device: &ClientInfo,
    ) -> Result<DateTime<Utc>, ShopError> {
        self.auth()
            .limits()
            .take_recipient(WITHDRAWAL, device, &form.contact)
            .await?;
        let said = Declaration {
            id,
            name: form.name.clone(),
            order_number: form.order_number.clone(),
            contact: form.contact.as_str().to_owned(),
            language,
            address: device.address().map(|address| address.to_string()),
        };
        Ok(withdrawals::declare(self.store(), &said).await?)
    }
}
