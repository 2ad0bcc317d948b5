//! API tokens. `lockstep_auth` creates them.

use lockstep_auth::{Admin, ApiTokenError};
use lockstep_domain::admin::ApiToken;
use lockstep_domain::staff::Permission;
use lockstep_store::{Result, api_tokens};
use uuid::Uuid;

use crate::BackOffice;

impl BackOffice {
    /// The caller's API tokens; with the permission staff.write, those of all staff.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn tokens(&self, by: &Admin) -> Result<Vec<ApiToken>> {
        let owner = (!by.may(Permission::StaffWrite)).then(|| by.caller().user());
        api_tokens::list(&self.store, owner).await
    }

    /// Deletes an API token; with a token, only itself, unless it permits staff.write. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ApiTokenError`].
    pub async fn delete_token(&self, by: &Admin, id: Uuid) -> Result<(), ApiTokenError> {
        if by.token().is_some_and(|token| token != id) && !by.may(Permission::StaffWrite) {
            return Err(ApiTokenError::NotFound);
        }
        api_tokens::delete(&self.store, by.caller().user(), id).await
    }
}
