//! Registration and log-in, after which the guest's cart and wishlist belong to the user.

use lockstep_auth::{AuthError, ClientInfo, CurrentUser};
use lockstep_domain::account::{AuthData, Credentials, Registration};
use lockstep_domain::cart::Moved;
use lockstep_domain::ids::UserId;
use lockstep_store::{carts, wishlists};
use uuid::Uuid;

use crate::{Shop, ShopError};

/// What was moved from the guest. `None` means that it could not be moved now; it stays with the guest, and the move
/// can be retried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MovedIn {
    /// Result for the cart.
    pub cart: Option<Moved>,
    /// Result for the wishlist.
    pub wishlist: Option<Moved>,
}

/// Result of a registration or log-in.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedIn {
    /// Tokens and user.
    pub data: AuthData,
    /// What was moved from the guest.
    pub moved: MovedIn,
}

impl Shop {
    /// Creates an account, logs the user in and moves the cart and wishlist of `guest` (the value of the cookie, if
    /// any).
    ///
    /// # Errors
    /// Those of [`lockstep_auth::Auth::register`].
    #[tracing::instrument(name = "shop.register", skip_all)]
    pub async fn register(
        &self,
        registration: Registration,
        device: &ClientInfo,
        guest: Option<Uuid>,
    ) -> Result<SignedIn, AuthError> {
        let data = self.auth().register(registration, device).await?;
        let moved = self.move_in(guest, data.user.id).await;
        Ok(SignedIn { data, moved })
    }

    /// Logs a user in and moves the cart and wishlist of `guest`.
    ///
    /// # Errors
    /// Those of [`lockstep_auth::Auth::log_in`].
    #[tracing::instrument(name = "shop.log_in", skip_all)]
    pub async fn log_in(
        &self,
        credentials: &Credentials,
        device: &ClientInfo,
        guest: Option<Uuid>,
    ) -> Result<SignedIn, AuthError> {
        let data = self.auth().log_in(credentials, device).await?;
        let moved = self.move_in(guest, data.user.id).await;
        Ok(SignedIn { data, moved })
    }

    /// Moves cart and wishlist for a user who has just signed in. The sign-in succeeds in any case; what could not be
    /// moved stays with the guest, and the front-end retries with its next page.
    async fn move_in(&self, guest: Option<Uuid>, user: UserId) -> MovedIn {
        let Some(guest) = guest else {
            return MovedIn {
                cart: Some(Moved::default()),
                wishlist: Some(Moved::default()),
            };
        };
        let cart = carts::move_to_user(self.store(), guest, user, self.limits())
            .await
            .inspect_err(|error| tracing::warn!(%user, %error, "a guest's cart could not be moved"));
        let wishlist = wishlists::move_to_user(self.store(), guest, user, self.limits())
            .await
            .inspect_err(|error| tracing::warn!(%user, %error, "a guest's wishlist could not be moved"));
        MovedIn {
            cart: cart.ok(),
            wishlist: wishlist.ok(),
        }
    }

    /// Moves a guest's cart into the caller's, exactly once even if called repeatedly. Does nothing without a guest.
    ///
    /// # Errors
    /// [`ShopError::Store`]; then the guest's cart is unchanged.
    #[tracing::instrument(name = "shop.move_cart", skip_all)]
    pub async fn move_cart(&self, caller: &CurrentUser, guest: Option<Uuid>) -> Result<Moved, ShopError> {
        let Some(guest) = guest else {
            return Ok(Moved::default());
        };
        Ok(carts::move_to_user(self.store(), guest, caller.user(), self.limits()).await?)
    }

    /// Moves a guest's wishlist to the caller's, exactly once even if called repeatedly. Does nothing without a guest.
    ///
    /// # Errors
    /// [`ShopError::Store`]; then the guest's wishlist is unchanged.
    #[tracing::instrument(name = "shop.move_wishlist", skip_all)]
    pub async fn move_wishlist(&self, caller: &CurrentUser, guest: Option<Uuid>) -> Result<Moved, ShopError> {
        let Some(guest) = guest else {
            return Ok(Moved::default());
        };
        Ok(wishlists::move_to_user(self.store(), guest, caller.user(), self.limits()).await?)
    }
}
