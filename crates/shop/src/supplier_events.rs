//! Events that suppliers and relays send about purchases. Each is kept or applied once, in one transaction.

use lockstep_failpoint::failpoint;
use lockstep_store::deliveries;
use lockstep_store::fulfilment::events;

use crate::{Shop, ShopError};

pub use lockstep_store::deliveries::{Reason, Source, Unused};
pub use lockstep_store::fulfilment::events::{Event, Taken};

impl Shop {
    /// Applies an event to its order, or keeps it until the order is known.
    ///
    /// # Errors
    /// [`ShopError::Store`]; then nothing changes, and the sender sends the event again.
    #[tracing::instrument(name = "shop.take_supplier_event", skip_all)]
    pub async fn take_supplier_event(&self, event: Event) -> Result<Taken, ShopError> {
        failpoint!("webhook.before");
        let taken = self
            .store()
            .tx("webhook.take", move |tx| {
                let event = event.clone();
                Box::pin(async move { events::take(tx, &event).await })
            })
            .await?;
        failpoint!("webhook.after");
        Ok(taken)
    }

    /// Keeps a delivery that has no effect, with the reason and its body as it was sent.
    ///
    /// # Errors
    /// [`ShopError::Store`].
    #[tracing::instrument(name = "shop.keep_delivery", skip_all)]
    pub async fn keep_delivery(&self, unused: &Unused, body: &[u8]) -> Result<(), ShopError> {
        Ok(deliveries::keep(self.store(), unused, body).await?)
    }
}
