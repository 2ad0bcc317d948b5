//! The context of one request: who makes it, and their own data as of its start.

use std::sync::Arc;

use lockstep_auth::{AuthError, CurrentUser};
use lockstep_domain::account::ProfileFacts;
use lockstep_domain::cached::ValueKey;
use lockstep_domain::cart::{Cart, CartOwner, Principal, Wishlist};
use lockstep_domain::ids::{SessionId, ShopperId, UserId};
use lockstep_domain::language::Language;
use lockstep_store::sessions::{self, CachedSession, TokenUser};
use lockstep_store::{accounts, acting, carts, wishlists};
use uuid::Uuid;

use crate::guests::Guest;
use crate::{CachedJson, Shop, ShopError};

/// The principal of one request. Data read through it includes everything committed before the request, but not
/// necessarily the request's own writes: read those through [`Shop::cart`] and its like.
#[derive(Debug, Clone)]
pub struct RequestContext {
    shop: Shop,
    caller: Option<CurrentUser>,
    cookie: Option<Uuid>,
    guest: Option<Guest>,
    newcomer: Option<Uuid>,
}

impl Shop {
    /// Identifies the caller by a valid access token, else by a guest's cookie, else as anonymous. Costs one refresh of
    /// the cache from the invalidation log, shared by concurrent requests; an anonymous request costs nothing.
    ///
    /// # Errors
    /// [`ShopError`] when nothing can be read. An invalid token is not an error: see [`RequestContext::signed_in`].
    #[tracing::instrument(name = "shop.arrive", skip_all)]
    pub async fn arrive(&self, token: Option<&str>, cookie: Option<Uuid>) -> Result<RequestContext, ShopError> {
        let caller = match token {
            Some(token) => match self.caller(token).await {
                Ok(caller) => Some(caller),
                Err(ShopError::Refused(AuthError::NotSignedIn)) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        let guest = match (&caller, cookie) {
            (None, Some(cookie)) => Some(self.guest(cookie).await?),
            _ => None,
        };
        if caller.is_none() && guest.is_some_and(|guest| guest != Guest::Unknown) {
            self.cache().catch_up().await?;
        }
        Ok(RequestContext {
            shop: self.clone(),
            caller,
            cookie,
            guest,
            newcomer: None,
        })
    }

    /// Resolves an access token. The session is cached, and the cache is refreshed first, so that a log-out, a new role
    /// or a new password takes effect at once, even when another process made the change.
    ///
    /// # Errors
    /// [`ShopError::Refused`] with [`AuthError::NotSignedIn`] for any invalid token; [`ShopError::Read`].
    #[tracing::instrument(name = "shop.caller", skip_all)]
    pub async fn caller(&self, token: &str) -> Result<CurrentUser, ShopError> {
        self.auth()
            .authenticate(token, |user, session| self.holder(user, session))
            .await
    }

    async fn holder(&self, user: UserId, session: SessionId) -> Result<Option<TokenUser>, ShopError> {
        self.cache().catch_up().await?;
        let Some(remembered) = self.remembered(user, session).await? else {
            return Ok(None);
        };
        let now = self.clock().now();
        if remembered.is_stale_at(now) {
            sessions::touch(self.store(), session).await?;
        }
        // Staff act as a customer only in a request that was recorded as theirs: one that got around that is nobody's.
        Ok(remembered
            .holder_at(now)
            .filter(|holder| holder.impersonated_by.is_none() || acting::customer() == Some(session)))
    }

    /// Whether a session is still valid, as far as this process knows. Does not count as use of the session.
    pub(crate) async fn goes_on(&self, user: UserId, session: SessionId) -> Result<bool, ShopError> {
        let remembered = self.remembered(user, session).await?;
        Ok(remembered.is_some_and(|remembered| remembered.holder_at(self.clock().now()).is_some()))
    }

    pub(crate) async fn remembered(
        &self,
        user: UserId,
        session: SessionId,
    ) -> Result<Option<CachedSession>, ShopError> {
        let key = ValueKey::<CachedSession>::session(user, session);
        let cached = self
            .cache()
            .find(key, move |tx| Box::pin(sessions::remember(tx, session, user)))
            .await?;
        let session = cached.map(|cached| cached.part(|session| session)).transpose()?;
        Ok(session.map(Arc::unwrap_or_clone))
    }

    /// A principal's cart, including everything written before the call.
    ///
    /// # Errors
    /// [`ShopError::Read`].
    #[tracing::instrument(name = "shop.cart", skip_all)]
    pub async fn cart(&self, principal: Principal) -> Result<CachedJson<Cart>, ShopError> {
        self.cache().catch_up().await?;
        self.cart_of(principal).await
    }

    /// A principal's wishlist, including everything written before the call.
    ///
    /// # Errors
    /// [`ShopError::Read`].
    #[tracing::instrument(name = "shop.wishlist", skip_all)]
    pub async fn wishlist(&self, principal: Principal) -> Result<CachedJson<Wishlist>, ShopError> {
        self.cache().catch_up().await?;
        self.wishlist_of(principal).await
    }

    /// The caller's profile, including everything written before the call.
    ///
    /// # Errors
    /// [`ShopError::Read`]; [`ShopError::Refused`] when the account no longer exists.
    #[tracing::instrument(name = "shop.profile", skip_all)]
    pub async fn profile(&self, caller: &CurrentUser) -> Result<ProfileFacts, ShopError> {
        self.cache().catch_up().await?;
        self.profile_of(caller).await
    }

    async fn cart_of(&self, principal: Principal) -> Result<CachedJson<Cart>, ShopError> {
        let Some(owner) = owner(principal) else {
            return CachedJson::of(&Cart::EMPTY);
        };
        let cached = self
            .cache()
            .find(ValueKey::cart(owner), move |tx| {
                Box::pin(async move {
                    let cart = carts::load(tx, owner).await?;
                    // Guest ids can be invented, so an empty answer is not cached for a day.
                    let is_kept = matches!(owner, CartOwner::User(_)) || !cart.items.is_empty();
                    Ok(is_kept.then_some(cart))
                })
            })
            .await?;
        CachedJson::or(cached.as_ref(), &Cart::EMPTY)
    }

    async fn wishlist_of(&self, principal: Principal) -> Result<CachedJson<Wishlist>, ShopError> {
        let Some(owner) = owner(principal) else {
            return CachedJson::of(&Wishlist::default());
        };
        let cached = self
            .cache()
            .find(ValueKey::wishlist(owner), move |tx| {
                Box::pin(async move {
                    let wishlist = wishlists::load(tx, owner).await?;
                    let is_kept = matches!(owner, CartOwner::User(_)) || !wishlist.items.is_empty();
                    Ok(is_kept.then_some(wishlist))
                })
            })
            .await?;
        CachedJson::or(cached.as_ref(), &Wishlist::default())
    }

    async fn profile_of(&self, caller: &CurrentUser) -> Result<ProfileFacts, ShopError> {
        let user = caller.user();
        let cached = self
            .cache()
            .find(ValueKey::profile(user), move |tx| Box::pin(accounts::profile(tx, user)))
            .await?;
        let facts = cached.map(|cached| cached.part(|facts| facts)).transpose()?;
        facts
            .map(Arc::unwrap_or_clone)
            .ok_or(ShopError::Refused(AuthError::Account(accounts::AccountError::NotFound)))
    }
}

impl RequestContext {
    pub(crate) fn shop(&self) -> &Shop {
        &self.shop
    }

    /// Stores the language in which the user reads pages. E-mails to the user are written in it.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when the caller is not signed in; [`ShopError`] when the database does not answer.
    #[tracing::instrument(name = "shop.reads_in", skip_all)]
    pub async fn reads_in(&self, language: Language) -> Result<(), ShopError> {
        let caller = self.signed_in()?;
        if caller.is_impersonated() {
            return Ok(()); // it is not the customer who reads
        }
        let user = caller.user();
        sessions::set_language(self.shop.store(), user, language).await?;
        Ok(())
    }

    /// The identity whose cart and wishlist this request uses.
    pub fn principal(&self) -> Principal {
        match (&self.caller, self.guest) {
            (Some(caller), _) => caller.principal(),
            (None, Some(Guest::Alive | Guest::Renewed)) => Principal::Guest(self.cookie),
            (None, _) => self.newcomer.map_or(Principal::Guest(None), Principal::Newcomer),
        }
    }

    /// Adds the id from a guest token (`Auth::newcomer`): the guest that an anonymous principal becomes with the first
    /// write.
    #[must_use]
    pub fn with_newcomer(self, newcomer: Option<Uuid>) -> Self {
        Self { newcomer, ..self }
    }

    /// True for an anonymous principal without a guest token: a private answer should include a new one.
    pub fn needs_guest_token(&self) -> bool {
        matches!(self.principal(), Principal::Guest(None))
    }

    /// The signed-in caller, if there is one.
    pub fn caller(&self) -> Option<&CurrentUser> {
        self.caller.as_ref()
    }

    /// The signed-in caller.
    ///
    /// # Errors
    /// [`ShopError::Refused`] with [`AuthError::NotSignedIn`].
    pub fn signed_in(&self) -> Result<&CurrentUser, ShopError> {
        self.caller.as_ref().ok_or(ShopError::Refused(AuthError::NotSignedIn))
    }

    /// The guest id in the cookie, even for a signed-in caller: this guest's data may be moved to the caller.
    pub fn cookie(&self) -> Option<Uuid> {
        self.cookie
    }

    /// The guest whose lifetime this request has extended; the cookie's expiry has to be extended as well.
    pub fn renewed(&self) -> Option<Uuid> {
        self.cookie.filter(|_| self.guest == Some(Guest::Renewed))
    }

    /// The principal's cart.
    ///
    /// # Errors
    /// [`ShopError::Read`].
    pub async fn cart(&self) -> Result<CachedJson<Cart>, ShopError> {
        self.shop.cart_of(self.principal()).await
    }

    /// The principal's wishlist.
    ///
    /// # Errors
    /// [`ShopError::Read`].
    pub async fn wishlist(&self) -> Result<CachedJson<Wishlist>, ShopError> {
        self.shop.wishlist_of(self.principal()).await
    }

    /// The caller's profile.
    ///
    /// # Errors
    /// [`ShopError::Refused`] when the caller is not signed in or the account no longer exists; [`ShopError::Read`].
    pub async fn profile(&self) -> Result<ProfileFacts, ShopError> {
        self.shop.profile_of(self.signed_in()?).await
    }
}

/// The owner of a principal's cart and wishlist; `None` for visitors without either.
fn owner(principal: Principal) -> Option<CartOwner> {
    match principal {
        Principal::User(user) => Some(CartOwner::User(user)),
        Principal::Guest(cookie) => cookie.map(|id| CartOwner::Guest(ShopperId(id))),
        Principal::Newcomer(_) => None,
    }
}
