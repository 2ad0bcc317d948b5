//! The user that a request acts for, after its token was checked against the database.

use lockstep_domain::account::Role;
use lockstep_domain::cart::Principal;
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::staff::{Permission, Permissions};
use lockstep_store::accounts::staff;
use lockstep_store::sessions::TokenUser;
use uuid::Uuid;

use crate::token::Kind;
use crate::{Auth, AuthError};

/// A signed-in user, with the data that the database had when the request was authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentUser(TokenUser);

impl CurrentUser {
    pub(crate) fn of_api_token(owner: TokenUser) -> Self {
        Self(owner)
    }

    /// ID of the user.
    pub fn user(&self) -> UserId {
        self.0.user
    }

    /// ID of the session.
    pub fn session(&self) -> SessionId {
        self.0.session
    }

    /// E-mail address of the user.
    pub fn email(&self) -> &str {
        &self.0.email
    }

    /// Current role of the user.
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Whether the user's e-mail address is verified.
    pub fn email_verified(&self) -> bool {
        self.0.email_verified
    }

    /// Whether a second factor was given in this session.
    pub fn second_factor(&self) -> bool {
        self.0.second_factor
    }

    /// Whether staff act as the user.
    pub fn is_impersonated(&self) -> bool {
        self.0.impersonated_by.is_some()
    }

    /// The principal whose cart and wishlist the user has.
    pub fn principal(&self) -> Principal {
        Principal::User(self.0.user)
    }
}

/// A member of staff, with the permissions that the database had when the request was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    caller: CurrentUser,
    permissions: Permissions,
    /// The API token that the request is made with.
    token: Option<Uuid>,
}

impl Admin {
    /// The member of staff as a plain user.
    pub fn caller(&self) -> &CurrentUser {
        &self.caller
    }

    pub(crate) fn with_token(caller: CurrentUser, permissions: Permissions, token: Uuid) -> Self {
        Self {
            caller,
            permissions,
            token: Some(token),
        }
    }

    /// The API token with which the request is made, if it is made with one.
    pub fn token(&self) -> Option<Uuid> {
        self.token
    }

    /// Whether they have `permission`.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(permission)
    }
}

impl Auth {
    /// Authenticates the bearer of an access token: checks the signature, then the session that `find` returns. The
    /// role and address in the token are ignored; the database decides.
    ///
    /// # Errors
    /// [`AuthError::NotSignedIn`] for any fault of the token, and the errors of `find`.
    pub async fn authenticate<F, E>(
        &self,
        token: &str,
        find: impl FnOnce(UserId, SessionId) -> F,
    ) -> Result<CurrentUser, E>
    where
        F: Future<Output = Result<Option<TokenUser>, E>>,
        E: From<AuthError>,
    {
        let (tokens, now) = (&self.0.tokens, self.0.clock.now());
        let claims = tokens
            .read(token, Kind::Access, now)
            .or_else(|_| tokens.read(token, Kind::Impersonation, now))
            .map_err(|_| AuthError::NotSignedIn)?;
        let is_impersonation = claims.kind == Kind::Impersonation;
        find(claims.user_id, claims.sid)
            .await?
            .filter(|holder| holder.user == claims.user_id && holder.session == claims.sid)
            .filter(|holder| holder.impersonated_by.is_some() == is_impersonation)
            .map(CurrentUser)
            .ok_or_else(|| AuthError::NotSignedIn.into())
    }

    /// Finds out whether the caller is staff, and their permissions. The database is asked each time: a change counts
    /// with the next request in every process.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`]; [`AuthError::AdminNeedsSecondFactor`] if a second factor is required and was not given
    /// in this session; [`AuthError::Store`].
    pub async fn admin(&self, caller: CurrentUser) -> Result<Admin, AuthError> {
        if caller.is_impersonated() {
            return Err(AuthError::Forbidden);
        }
        let permissions = staff::permissions(&self.0.store, caller.user()).await?;
        if permissions.is_empty() {
            return Err(AuthError::Forbidden);
        }
        if self.0.admin_second_factor && !caller.second_factor() {
            return Err(AuthError::AdminNeedsSecondFactor);
        }
        Ok(Admin {
            caller,
            permissions,
            token: None,
        })
    }

    /// Whether the member of staff gave their password within the last five minutes, as what is dangerous requires.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn is_confirmed(&self, admin: &Admin) -> Result<bool, AuthError> {
        Ok(staff::is_confirmed(&self.0.store, admin.caller.session()).await?)
    }
}
