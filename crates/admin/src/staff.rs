//! Who is on the staff, and their roles.

use lockstep_auth::Admin;
use lockstep_domain::account::Email;
use lockstep_domain::admin::{RoleDetail, StaffMember};
use lockstep_domain::staff::StaffRole;
use lockstep_store::Result;
use lockstep_store::accounts::AccountError;
use lockstep_store::admin::staff;

use crate::{BackOffice, NewRole, RoleError, UserChangeError};

impl BackOffice {
    /// The members of staff, owners first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.staff_members", skip_all)]
    pub async fn staff_members(&self, _by: &Admin) -> Result<Vec<StaffMember>> {
        Ok(self.store.read(|tx| Box::pin(staff::members(tx))).await?.value)
    }

    /// The roles but that of an owner, by name.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.role_details", skip_all)]
    pub async fn role_details(&self, _by: &Admin) -> Result<Vec<RoleDetail>> {
        Ok(self.store.read(|tx| Box::pin(staff::roles(tx))).await?.value)
    }

    /// Gives the account with this address a role of staff, effective from its next request. Recorded in the audit log.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] if there is no such account; otherwise as [`give_role`](Self::give_role).
    pub async fn make_staff(&self, by: &Admin, email: &Email, role: &StaffRole) -> Result<(), UserChangeError> {
        let address = email.as_str().to_owned();
        let read = self
            .store
            .read(|tx| Box::pin(async move { staff::account(tx, &address).await }));
        let found = read.await?.value.ok_or(AccountError::NotFound)?;
        self.give_role(by, found, role).await
    }

    /// Makes a role. Recorded in the audit log.
    ///
    /// # Errors
    /// [`RoleError`].
    pub async fn create_role(&self, by: &Admin, new: &NewRole) -> Result<(), RoleError> {
        staff::create_role(&self.store, by.caller().user(), new).await
    }

    /// Changes a role, effective from its members' next request; `seen` are the permissions that the form showed.
    /// Recorded in the audit log.
    ///
    /// # Errors
    /// [`RoleError`].
    pub async fn change_staff_role(&self, by: &Admin, new: &NewRole, seen: &NewRole) -> Result<(), RoleError> {
        staff::change_role(&self.store, by.caller().user(), new, seen).await
    }

    /// Deletes a role that is not assigned. Recorded in the audit log.
    ///
    /// # Errors
    /// [`RoleError`].
    pub async fn delete_staff_role(&self, by: &Admin, name: &str) -> Result<(), RoleError> {
        staff::delete_role(&self.store, by.caller().user(), name).await
    }
}
