//! Rate limits of shopping: guests, orders, top-ups, exports, promo codes and pictures.

use std::time::Duration;

use lockstep_auth::limits::{Action, Attempt};
use lockstep_auth::{AuthError, ClientInfo, CurrentUser};
use lockstep_domain::limit::Rule;

use crate::{Shop, ShopError};

/// Maximum duration of an export of a user's data. A client that reads more slowly is disconnected.
pub(crate) const LONGEST_EXPORT: Duration = Duration::from_secs(EXPORT_SECONDS);
const EXPORT_SECONDS: u64 = 600;

/// A client must not be able to create millions of guests.
const NEW_GUEST: Action = Action::of_address("new-guest", Rule::new(60, 2));
// Thirty per minute: more than a person needs, fewer than a faulty script sends.
const ORDER: Action = Action::of_account("order", Rule::new(30, 2));
const TOP_UP: Action = Action::of_account("top-up", Rule::new(30, 2));
/// An export reads everything stored about the account.
const EXPORT: Action = Action::of_account("export", Rule::new(5, 720));
/// An export in progress: one at a time across all processes. It is given back when the export ends or, if that process
/// dies, after the maximum duration of an export.
const OPEN_EXPORT: Action = Action::of_account("open-export", Rule::new(1, EXPORT_SECONDS));
/// An invalid promo code: each is a guess.
const PROMO_CODE: Action = Action::new("promo-code", Rule::new(30, 5), Rule::new(10, 60));
/// An uploaded picture of the account, which is scaled and stored.
const PICTURE: Action = Action::of_account("picture", Rule::new(10, 60));

impl Shop {
    /// Counts an anonymous client that is about to become a guest.
    #[tracing::instrument(name = "shop.allow_new_guest", skip_all)]
    pub(crate) async fn allow_new_guest(&self, device: &ClientInfo) -> Result<(), AuthError> {
        self.auth().limits().take_address(NEW_GUEST, device).await
    }

    /// Counts an order; thirty per minute and user are allowed.
    #[tracing::instrument(name = "shop.allow_order", skip_all)]
    pub(crate) async fn allow_order(&self, caller: &CurrentUser) -> Result<(), AuthError> {
        self.auth().limits().take_user(&[ORDER], caller.user()).await
    }

    /// Counts the start of a top-up; thirty per minute and user are allowed.
    #[tracing::instrument(name = "shop.allow_top_up", skip_all)]
    pub(crate) async fn allow_top_up(&self, caller: &CurrentUser) -> Result<(), AuthError> {
        self.auth().limits().take_user(&[TOP_UP], caller.user()).await
    }

    /// Allows an export of the caller's data to start: one at a time across all processes, five in a row, then one
    /// every 12 minutes. It may take [`LONGEST_EXPORT`]; report its end with [`export_ended`](Self::export_ended).
    #[tracing::instrument(name = "shop.allow_export", skip_all)]
    pub(crate) async fn allow_export(&self, caller: &CurrentUser) -> Result<(), AuthError> {
        self.auth()
            .limits()
            .take_user(&[OPEN_EXPORT, EXPORT], caller.user())
            .await
    }

    /// Reports the end of an export, successful or not; the next one may start.
    pub(crate) async fn export_ended(&self, user: lockstep_domain::ids::UserId) {
        self.auth().limits().give_back_user(OPEN_EXPORT, user).await;
    }

    /// Counts a promo code attempt against the account and the address. The attempt with a valid code is [given
    /// back](Self::give_back_promo_code).
    #[tracing::instrument(name = "shop.try_promo_code", skip_all)]
    pub(crate) async fn try_promo_code(&self, caller: &CurrentUser, device: &ClientInfo) -> Result<Attempt, AuthError> {
        self.auth().limits().take_guess(PROMO_CODE, device, caller.user()).await
    }

    /// Gives an attempt back: the code was valid, or was not checked, so it was not a guess.
    pub(crate) async fn give_back_promo_code(&self, attempt: &Attempt) {
        self.auth().limits().give_back(attempt).await;
    }

    /// Counts a picture that the caller has uploaded, before it is processed.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when there were too many.
    #[tracing::instrument(name = "shop.allow_picture", skip_all)]
    pub async fn allow_picture(&self, caller: &CurrentUser) -> Result<(), ShopError> {
        Ok(self.auth().limits().take_user(&[PICTURE], caller.user()).await?)
    }
}
