//! One's own account, as far as `lockstep_auth` has nothing to say about it.

use lockstep_auth::Caller;
use lockstep_domain::account::{ProfileChange, ProfileFacts};
use lockstep_store::accounts::{self, LoginRecord};

use crate::{Shop, ShopError};

/// How many log-ins are shown.
const MOST_LOGINS: u32 = 100;

impl Shop {
    /// Changes the caller's names and returns the profile as it is then.
    ///
    /// # Errors
    /// [`ShopError`].
    pub async fn change_profile(&self, caller: &Caller, change: &ProfileChange) -> Result<ProfileFacts, ShopError> {
        accounts::change_profile(self.store(), caller.user(), change).await?;
        self.profile(caller).await
    }

    /// The caller's latest log-ins and attempts, newest first.
    ///
    /// # Errors
    /// [`ShopError::Refused`] with what the database says.
    pub async fn logins(&self, caller: &Caller) -> Result<Vec<LoginRecord>, ShopError> {
        Ok(accounts::login_history(self.store(), caller.user(), MOST_LOGINS).await?)
    }
}
