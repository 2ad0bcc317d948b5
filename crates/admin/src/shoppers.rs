//! Carts, wishlists and ways to pay, as far as staff change or count them.

use chrono::{DateTime, Utc};
use lockstep_auth::Admin;
use lockstep_domain::admin::WishlistStatistics;
use lockstep_store::Result;
use lockstep_store::admin::wishes;

use crate::BackOffice;

impl BackOffice {
    /// What users wish for, in numbers.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn wishlist_statistics(&self, _by: &Admin) -> Result<WishlistStatistics> {
        let read = self.store.read(|tx| Box::pin(wishes::statistics(tx))).await?;
        Ok(read.value)
    }

    /// When the shop was installed; `None` is impossible in a running shop.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn installed_at(&self, _by: &Admin) -> Result<Option<DateTime<Utc>>> {
        self.store.installed_at().await
    }
}
