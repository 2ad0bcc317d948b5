//! What staff change: accounts, orders and promo codes. Each change is recorded in the audit log.

use lockstep_auth::Admin;
use lockstep_domain::account::Role;
use lockstep_domain::admin::{PromoCodeRow, PromoCodeStatistics, UserDetail};
use lockstep_domain::ids::{OrderId, UserId};
use lockstep_store::accounts::{AccountError, delete_by_staff, staff};
use lockstep_store::admin::{promo_codes, user_change};
use lockstep_store::audit::By;
use lockstep_store::fulfilment::EmailSettings;
use lockstep_store::{Result, orders};
use uuid::Uuid;

use crate::{
    BackOffice, ChangedOrder, NewPromoCode, OrderChange, OrderChangeError, PromoCodeChange, PromoCodeError, UserChange,
    UserChangeError,
};

pub(crate) fn by_staff(by: &Admin) -> By {
    By::Staff(by.caller().user())
}

impl BackOffice {
    /// Changes names, role and balance of a user, all or nothing, and returns the user.
    ///
    /// # Errors
    /// [`UserChangeError`]; then nothing has changed.
    pub async fn change_user(
        &self,
        by: &Admin,
        id: UserId,
        change: &UserChange,
    ) -> Result<Option<UserDetail>, UserChangeError> {
        let caller = by.caller();
        let changed = user_change::change(&self.store, caller.user(), caller.session(), id, change).await;
        if let Err(UserChangeError::BalanceChanged { .. }) = &changed {
            // They are asked to look again.
            user_change::refuse_balances(&self.store, caller.session(), id).await?;
        }
        changed?;
        Ok(self.user(by, id).await?)
    }

    /// Changes the role of a user, effective from their next request, and returns the user.
    ///
    /// # Errors
    /// [`UserChangeError`]; then nothing has changed.
    pub async fn change_role(&self, by: &Admin, id: UserId, role: Role) -> Result<Option<UserDetail>, UserChangeError> {
        staff::change_role(&self.store, &by_staff(by), id, &user_change::given(role)).await?;
        Ok(self.user(by, id).await?)
    }

    /// Deletes the account of a user without orders.
    ///
    /// # Errors
    /// [`UserChangeError`]; then nothing has changed.
    pub async fn delete_user(&self, by: &Admin, id: UserId) -> Result<(), UserChangeError> {
        delete_by_staff(&self.store, by.caller().user(), id)
            .await
            .map(drop)
            .map_err(|error: AccountError| error.into())
    }

    /// Makes true what `change` says about an order, or refuses it.
    ///
    /// # Errors
    /// [`OrderChangeError`]; then nothing has changed.
    pub async fn change_order(
        &self,
        by: &Admin,
        id: OrderId,
        change: &OrderChange,
    ) -> Result<ChangedOrder, OrderChangeError> {
        orders::change(&self.store, by.caller().user(), id, change, &EmailSettings::default()).await
    }

    /// The promo codes, newest first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn promo_codes(&self, _by: &Admin) -> Result<Vec<PromoCodeRow>> {
        let read = self.store.read(|tx| Box::pin(promo_codes::list(tx))).await?;
        Ok(read.value)
    }

    /// A promo code.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn promo_code(&self, _by: &Admin, id: Uuid) -> Result<Option<PromoCodeRow>> {
        let read = self.store.read(|tx| Box::pin(promo_codes::detail(tx, id))).await?;
        Ok(read.value)
    }

    /// Figures about all promo codes.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn promo_code_statistics(&self, _by: &Admin) -> Result<PromoCodeStatistics> {
        let read = self.store.read(|tx| Box::pin(promo_codes::statistics(tx))).await?;
        Ok(read.value)
    }

    /// Creates a promo code and returns it.
    ///
    /// # Errors
    /// [`PromoCodeError`].
    pub async fn create_promo_code(&self, by: &Admin, new: &NewPromoCode) -> Result<PromoCodeRow, PromoCodeError> {
        let id = lockstep_store::promo_codes::create(&self.store, new, &by_staff(by)).await?;
        let made = self.promo_code(by, id).await?;
        made.ok_or_else(|| PromoCodeError::Unknown(new.code.clone()))
    }

    /// Changes a promo code and returns it.
    ///
    /// # Errors
    /// [`PromoCodeError`]; then nothing has changed.
    pub async fn change_promo_code(
        &self,
        by: &Admin,
        id: Uuid,
        change: &PromoCodeChange,
    ) -> Result<PromoCodeRow, PromoCodeError> {
        promo_codes::change(&self.store, &by_staff(by), id, change).await
    }

    /// Deletes a promo code that no order used.
    ///
    /// # Errors
    /// [`PromoCodeError`]; then nothing has changed.
    pub async fn delete_promo_code(&self, by: &Admin, id: Uuid) -> Result<(), PromoCodeError> {
        promo_codes::delete(&self.store, &by_staff(by), id).await
    }
}
