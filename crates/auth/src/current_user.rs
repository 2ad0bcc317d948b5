//! The user that a request acts for, after its token was checked against the database.

use lockstep_domain::account::Role;
use lockstep_domain::cart::Principal;
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_store::sessions::TokenUser;

use crate::token::Kind;
use crate::{Auth, AuthError};

/// A signed-in user, with the data that the database had when the request was authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentUser(TokenUser);

impl CurrentUser {
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

    /// The principal whose cart and wishlist the user has.
    pub fn principal(&self) -> Principal {
        Principal::User(self.0.user)
    }
}

/// A user with administrator rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin(CurrentUser);

impl Admin {
    /// The administrator as a plain user.
    pub fn caller(&self) -> &CurrentUser {
        &self.0
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
        let claims = self
            .0
            .tokens
            .read(token, Kind::Access, self.0.clock.now())
            .map_err(|_| AuthError::NotSignedIn)?;
        find(claims.user_id, claims.sid)
            .await?
            .filter(|holder| holder.user == claims.user_id && holder.session == claims.sid)
            .map(CurrentUser)
            .ok_or_else(|| AuthError::NotSignedIn.into())
    }

    /// Grants administrator rights to the caller.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`]; [`AuthError::AdminNeedsSecondFactor`] if a second factor is required and was not given
    /// in this session.
    pub fn admin(&self, caller: CurrentUser) -> Result<Admin, AuthError> {
        if caller.role() != Role::Admin {
            return Err(AuthError::Forbidden);
        }
        if self.0.admin_second_factor && !caller.second_factor() {
            return Err(AuthError::AdminNeedsSecondFactor);
        }
        Ok(Admin(caller))
    }
}
