//! What happened, and what a text names: for pages that lead from one thing to the next.

use lockstep_auth::Admin;
use lockstep_domain::admin::{AuditList, Found, OrderHistory, Page};
use lockstep_domain::ids::{OrderId, UserId};
use lockstep_domain::staff::{Permission, StaffRole};
use lockstep_store::Result;
use lockstep_store::accounts::staff;
use lockstep_store::admin::history;
use lockstep_store::impersonations::{self, RecordedRequest};
use uuid::Uuid;

use crate::changes::by_staff;
use crate::views::reading;
use crate::{BackOffice, UserChangeError};

/// Maximum number of requests in a list.
const MOST_REQUESTS: u32 = 200;
/// Longest text that can name something, in bytes: a key.
const MAX_NAME: usize = 2_000;

impl BackOffice {
    /// Everything that happened to an order: bookings, purchases at G2A, views of its keys, incidents, and what staff did.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.order_history", skip_all, fields(order = %id))]
    pub async fn order_history(&self, _by: &Admin, id: OrderId) -> Result<Option<OrderHistory>> {
        let read = self.store.read(|tx| Box::pin(history::of_order(tx, id))).await?;
        Ok(read.value)
    }

    /// The audit log, newest first; of one action and about one thing, if given.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.audit", skip_all)]
    pub async fn audit(
        &self,
        _by: &Admin,
        action: Option<&str>,
        subject: Option<Uuid>,
        page: Page,
    ) -> Result<AuditList> {
        let action = action.map(str::to_owned);
        let read = self
            .store
            .read(|tx| Box::pin(async move { history::audit(tx, action.as_deref(), subject, page).await }));
        Ok(read.await?.value)
    }

    /// What `text` names exactly, as far as the caller may see it. A whole key is found by its keyed hash.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.find", skip_all)]
    pub async fn find(&self, by: &Admin, text: &str) -> Result<Vec<Found>> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_NAME || text.contains('\0') {
            return Ok(Vec::new());
        }
        let hashes: Vec<Vec<u8>> = if by.may(Permission::KeysRead) {
            self.keys.hashes(text).iter().map(|hash| hash.to_vec()).collect()
        } else {
            Vec::new()
        };
        let text = text.to_owned();
        let read = self
            .store
            .read(|tx| Box::pin(async move { history::find(tx, &text, &hashes).await }));
        let mut found = read.await?.value;
        found.retain(|found| by.may(reading(found)));
        Ok(found)
    }

    /// The name of a user's role: `USER`, `OWNER`, or one of [`staff_roles`](Self::staff_roles).
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn role_of(&self, _by: &Admin, user: UserId) -> Result<Option<String>> {
        Ok(self.store.read(|tx| Box::pin(history::role_of(tx, user))).await?.value)
    }

    /// The newest requests that staff made as the customer `user`, at most two hundred.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn impersonated_requests(&self, _by: &Admin, user: UserId) -> Result<Vec<RecordedRequest>> {
        impersonations::requests(&self.store, user, MOST_REQUESTS).await
    }

    /// The names of all roles of staff but that of an owner.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn staff_roles(&self, _by: &Admin) -> Result<Vec<String>> {
        staff::roles(&self.store).await
    }

    /// Gives a user a role of staff, or takes it, effective from their next request. Recorded in the audit log.
    ///
    /// # Errors
    /// [`UserChangeError`]; then nothing has changed.
    pub async fn give_role(&self, by: &Admin, user: UserId, role: &StaffRole) -> Result<(), UserChangeError> {
        staff::change_role(&self.store, &by_staff(by), user, role).await?;
        Ok(())
    }
}
