//! What staff keep for themselves in the console: saved views of lists, and the pages that they have opened last; and
//! whether they may still follow a page.

use lockstep_auth::Admin;
use lockstep_domain::admin::Found;
use lockstep_domain::staff::Permission;
use lockstep_store::accounts::staff;
use lockstep_store::{Result, views};
use uuid::Uuid;

use crate::{BackOffice, NamedThing, SavedView, ViewError, ViewForm};

/// The permission that sharing a view of a list needs, by what reading the list needs: who may change what a list shows may
/// share views of it.
pub const fn sharing(reading: Option<Permission>) -> Permission {
    match reading {
        Some(Permission::CartsRead) => Permission::CartsWrite,
        Some(Permission::CatalogueRead) => Permission::CatalogueWrite,
        Some(Permission::ContentRead) => Permission::ContentWrite,
        Some(Permission::EmailRead) => Permission::EmailWrite,
        Some(Permission::KeysRead) => Permission::KeysWrite,
        Some(Permission::OrdersRead) => Permission::OrdersWrite,
        Some(Permission::PaymentsRead) => Permission::OrdersRefund,
        Some(Permission::PricesRead) => Permission::PricesWrite,
        Some(Permission::PromotionsRead) => Permission::PromotionsWrite,
        Some(Permission::SupplierRead) => Permission::SupplierWrite,
        Some(Permission::SystemRead) => Permission::SystemWrite,
        Some(Permission::UsersRead) => Permission::UsersWrite,
        Some(Permission::WebhooksRead) => Permission::WebhooksWrite,
        _ => Permission::StaffWrite,
    }
}

/// What the pages of a thing need.
pub(crate) const fn reading(found: &Found) -> Permission {
    match found {
        Found::Order(_) => Permission::OrdersRead,
        Found::User(_) => Permission::UsersRead,
        Found::Game(_) => Permission::CatalogueRead,
        Found::PromoCode(_) => Permission::PromotionsRead,
        Found::Key(_) => Permission::KeysRead,
    }
}

impl BackOffice {
    /// The views that the caller sees: their own, and shared ones; of one list, or of all. Whether the caller may open their
    /// lists is not checked.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn saved_views(&self, by: &Admin, list: Option<&str>) -> Result<Vec<SavedView>> {
        views::of_list(&self.store, by.caller().user(), list).await
    }

    /// A view, if it is the caller's own or shared.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn saved_view(&self, by: &Admin, id: Uuid) -> Result<Option<SavedView>> {
        views::by_id(&self.store, by.caller().user(), id).await
    }

    /// Saves a view of the list at a path, and returns its id. Recorded in the audit log if it is shared.
    ///
    /// # Errors
    /// [`ViewError`]; then nothing has changed.
    pub async fn save_view(&self, by: &Admin, list: &str, form: &ViewForm) -> Result<Uuid, ViewError> {
        views::create(&self.store, by.caller().user(), list, form).await
    }

    /// Changes a view: the caller's own, or one that is shared. Recorded in the audit log if it was or is shared.
    ///
    /// # Errors
    /// [`ViewError`]; then nothing has changed.
    pub async fn change_view(&self, by: &Admin, id: Uuid, form: &ViewForm) -> Result<(), ViewError> {
        views::change(&self.store, by.caller().user(), id, form).await
    }

    /// Deletes a view: the caller's own, or one that is shared. Recorded in the audit log if it was shared.
    ///
    /// # Errors
    /// [`ViewError::NotFound`], [`ViewError::Store`].
    pub async fn delete_view(&self, by: &Admin, id: Uuid) -> Result<(), ViewError> {
        views::delete(&self.store, by.caller().user(), id).await
    }

    /// Remembers that the caller has opened the page of `thing`; of the last 20.
    pub async fn saw(&self, by: &Admin, thing: &Found) {
        // The page is shown all the same.
        if let Err(error) = views::saw(&self.store, by.caller().user(), thing).await {
            tracing::debug!(%error, "a page that was opened is not remembered");
        }
    }

    /// The things whose pages the caller has opened last and may still open, newest first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn recent_things(&self, by: &Admin) -> Result<Vec<NamedThing>> {
        let mut things = views::recent(&self.store, by.caller().user()).await?;
        things.retain(|thing| by.may(reading(&thing.found)));
        Ok(things)
    }

    /// What things are called that [`find`](Self::find) has found.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn named_things(&self, _by: &Admin, things: &[Found]) -> Result<Vec<NamedThing>> {
        views::named(&self.store, things).await
    }

    /// Whether the caller's session goes on and they still have `permission`: what is read now counts, not what was true when
    /// the request began.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn may_still(&self, by: &Admin, permission: Permission) -> Result<bool> {
        let caller = by.caller();
        staff::goes_on(&self.store, caller.user(), caller.session(), permission).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody shares with a permission that only reads.
    #[test]
    fn sharing_needs_more_than_reading() {
        for permission in Permission::ALL {
            let needed = sharing(Some(*permission));
            assert!(needed.name().strip_suffix(".read").is_none(), "{permission}: {needed}");
        }
        assert_eq!(sharing(None), Permission::StaffWrite);
    }
}
