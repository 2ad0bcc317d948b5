//! Staff who act as a customer: each of their requests is recorded before it is answered.

use chrono::{DateTime, Utc};
use lockstep_auth::AuthError;
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::staff::Permission;
use lockstep_store::accounts::staff;
use lockstep_store::impersonations::{self, Deed};

use crate::{Shop, ShopError};

/// Somebody of the staff who acts as a customer, in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impersonation {
    /// Its session: the request runs within [`lockstep_auth::as_customer`] of it, or it is nobody's.
    pub session: SessionId,
    /// The customer.
    pub user: UserId,
    /// Their address.
    pub email: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl Shop {
    /// Finds out who acts as a customer with `token`, and records their request. `None` if the token is another one.
    ///
    /// # Errors
    /// [`ShopError::Refused`] with [`AuthError::NotSignedIn`] when it has ended: by time, with the session or the
    /// permission of the member of staff, or because the customer has come to the staff; [`ShopError`] when the
    /// database does not answer.
    #[tracing::instrument(name = "shop.impersonation", skip_all)]
    pub async fn impersonation(&self, token: &str, deed: Deed<'_>) -> Result<Option<Impersonation>, ShopError> {
        let Some((user, session)) = self.auth().impersonation_of(token) else {
            return Ok(None);
        };
        let ended = || ShopError::Refused(AuthError::NotSignedIn);
        self.cache().catch_up().await?;
        let remembered = self.remembered(user, session).await?.ok_or_else(ended)?;
        let expires_at = remembered.expires_at;
        let holder = remembered.holder_at(self.clock().now()).ok_or_else(ended)?;
        let by = holder.impersonated_by.ok_or_else(ended)?;
        let goes_on = staff::goes_on(self.store(), by.user, by.session, Permission::UsersImpersonate).await?;
        if !(goes_on && impersonations::record(self.store(), session, deed).await?) {
            return Err(ended());
        }
        Ok(Some(Impersonation {
            session,
            user,
            email: holder.email,
            expires_at,
        }))
    }
}
