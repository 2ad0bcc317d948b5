//! Outgoing webhooks: endpoints, secrets, and deliveries that are sent again.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_auth::Admin;
use lockstep_clock::Random;
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::{
    NewWebhookEndpoint, NewWebhookSecret, Page, WebhookDeliveryList, WebhookEndpoint, WebhookEndpointForm,
    WebhookReplayed, WebhookState,
};
use lockstep_store::StoreError;
use lockstep_store::admin::webhooks::{self, NewSecret, Window};
use lockstep_webhooks::{AddressError, AddressPolicy, new_secret, reachable};
use uuid::Uuid;

use crate::{BackOffice, ChangeError};

/// Hours for which a former secret signs along, unless staff say otherwise.
pub const OVERLAP_HOURS: u32 = 24;

/// The longest such time, in hours.
pub const MAX_OVERLAP_HOURS: u32 = 24 * 7;

/// The longest window that is replayed at once: as long as events are kept.
const LONGEST_WINDOW: TimeDelta = TimeDelta::days(14);

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The database refused it.
    #[error("{0}")]
    Change(#[from] ChangeError),
    /// No request may be made to the address.
    #[error("The address cannot be used: {0}")]
    Address(#[from] AddressError),
    /// Fields are invalid.
    #[error("Validation failed")]
    Fields(Vec<FieldError>),
}

impl From<StoreError> for WebhookError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

/// What this process needs for webhooks.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Where requests may go.
    pub addresses: AddressPolicy,
    /// The source of secrets.
    pub random: Random,
}

impl Default for WebhookSettings {
    /// Public addresses over https only.
    fn default() -> Self {
        Self {
            addresses: AddressPolicy::default(),
            random: Random::system(),
        }
    }
}

impl BackOffice {
    /// The endpoints, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn webhooks(&self, _by: &Admin) -> lockstep_store::Result<Vec<WebhookEndpoint>> {
        let read = self.store.read(|tx| Box::pin(webhooks::endpoints(tx, None))).await?;
        Ok(read.value)
    }

    /// An endpoint.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn webhook(&self, _by: &Admin, id: Uuid) -> lockstep_store::Result<Option<WebhookEndpoint>> {
        let read = self
            .store
            .read(|tx| Box::pin(webhooks::endpoints(tx, Some(id))))
            .await?;
        Ok(read.value.into_iter().next())
    }

    /// Creates an endpoint, with a secret that is shown this once. Recorded in the audit log.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn create_webhook(
        &self,
        by: &Admin,
        form: &WebhookEndpointForm,
    ) -> Result<NewWebhookEndpoint, WebhookError> {
        reachable(form.url.as_deref().unwrap_or_default(), self.webhooks.addresses).await?;
        let (id, secret) = (Uuid::now_v7(), self.new_webhook_secret());
        webhooks::create(&self.store, by.caller().user(), id, form, &secret).await?;
        Ok(NewWebhookEndpoint {
            listed: self.existing(by, id).await?,
            secret: secret.secret,
        })
    }

    /// Changes an endpoint. Recorded in the audit log.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn change_webhook(
        &self,
        by: &Admin,
        id: Uuid,
        form: &WebhookEndpointForm,
    ) -> Result<WebhookEndpoint, WebhookError> {
        if let Some(url) = &form.url {
            reachable(url, self.webhooks.addresses).await?;
        }
        webhooks::change(&self.store, by.caller().user(), id, form).await?;
        self.existing(by, id).await
    }

    async fn existing(&self, by: &Admin, id: Uuid) -> Result<WebhookEndpoint, WebhookError> {
        let found = self.webhook(by, id).await?;
        Ok(found.ok_or(ChangeError::NotFound("Webhook"))?)
    }

    fn new_webhook_secret(&self) -> NewSecret {
        NewSecret {
            id: Uuid::now_v7(),
            secret: new_secret(&self.webhooks.random),
        }
    }

    /// Deletes an endpoint with its deliveries. Recorded in the audit log.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn delete_webhook(&self, by: &Admin, id: Uuid) -> Result<(), WebhookError> {
        Ok(webhooks::delete(&self.store, by.caller().user(), id).await?)
    }

    /// Makes a new secret, which is shown this once; the one before signs along for `overlap_hours`. Recorded in the audit
    /// log.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn rotate_webhook_secret(
        &self,
        by: &Admin,
        id: Uuid,
        overlap_hours: Option<i64>,
    ) -> Result<NewWebhookSecret, WebhookError> {
        let hours = match overlap_hours {
            None => OVERLAP_HOURS,
            Some(hours) => u32::try_from(hours)
                .ok()
                .filter(|hours| *hours <= MAX_OVERLAP_HOURS)
                .ok_or_else(|| {
                    WebhookError::Fields(vec![FieldError {
                        path: "overlapHours",
                        code: "out_of_range",
                        msg: "This field must be a whole number from 0 to 168",
                    }])
                })?,
        };
        let secret = self.new_webhook_secret();
        webhooks::add_secret(&self.store, by.caller().user(), id, &secret, hours).await?;
        Ok(NewWebhookSecret {
            id: secret.id,
            secret: secret.secret,
        })
    }

    /// Ends a former secret at once. Recorded in the audit log.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn end_webhook_secret(&self, by: &Admin, id: Uuid, secret: Uuid) -> Result<(), WebhookError> {
        Ok(webhooks::end_secret(&self.store, by.caller().user(), id, secret).await?)
    }

    /// Deliveries of an endpoint, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn webhook_deliveries(
        &self,
        _by: &Admin,
        id: Uuid,
        state: Option<WebhookState>,
        page: Page,
    ) -> lockstep_store::Result<Option<WebhookDeliveryList>> {
        let read = self
            .store
            .read(|tx| Box::pin(webhooks::deliveries(tx, id, state, page)));
        Ok(read.await?.value)
    }

    /// Sends a delivery again, with the same `webhook-id`. Recorded in the audit log.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn replay_delivery(&self, by: &Admin, id: Uuid, delivery: Uuid) -> Result<(), WebhookError> {
        Ok(webhooks::replay(&self.store, by.caller().user(), id, delivery).await?)
    }

    /// Sends what was given up in a window, and what the endpoint never got; with `delivered_too`, everything. Recorded in
    /// the audit log.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn replay_deliveries(
        &self,
        by: &Admin,
        id: Uuid,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        after: Option<Uuid>,
        delivered_too: bool,
    ) -> Result<WebhookReplayed, WebhookError> {
        if until <= from || until - from > LONGEST_WINDOW {
            return Err(WebhookError::Fields(vec![FieldError {
                path: "until",
                code: "out_of_range",
                msg: "This field must be after from, by at most 14 days",
            }]));
        }
        let window = Window {
            from,
            until,
            after,
            delivered_too,
        };
        Ok(webhooks::replay_window(&self.store, by.caller().user(), id, window).await?)
    }

    /// Queues a test event; returns the id of its delivery. Recorded in the audit log.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn ping_webhook(&self, by: &Admin, id: Uuid) -> Result<Uuid, WebhookError> {
        Ok(webhooks::ping(&self.store, by.caller().user(), id).await?)
    }
}
