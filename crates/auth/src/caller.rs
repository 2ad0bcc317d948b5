//! Who a request speaks for, once a token has been held against the database.

use lockstep_domain::account::Role;
use lockstep_domain::cart::Visitor;
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_store::sessions::Holder;

use crate::token::Kind;
use crate::{Auth, AuthError};

/// Somebody who is signed in, as the database knew them a moment ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(Holder);

impl Caller {
    /// Who.
    pub fn user(&self) -> UserId {
        self.0.user
    }

    /// Their session.
    pub fn session(&self) -> SessionId {
        self.0.session
    }

    /// Their address.
    pub fn email(&self) -> &str {
        &self.0.email
    }

    /// What they may do now.
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Whether their address is proved.
    pub fn email_verified(&self) -> bool {
        self.0.email_verified
    }

    /// Whether a code of the authenticator was given in this session.
    pub fn second_factor(&self) -> bool {
        self.0.second_factor
    }

    /// As whom they shop.
    pub fn visitor(&self) -> Visitor {
        Visitor::User(self.0.user)
    }
}

/// Somebody who may run the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin(Caller);

impl Admin {
    /// The admin as anybody else.
    pub fn caller(&self) -> &Caller {
        &self.0
    }
}

impl Auth {
    /// Who carries this access token: one signature, and the session as `find` knows it. What the token says about role
    /// and address does not count; the database does.
    ///
    /// # Errors
    /// [`AuthError::NotSignedIn`] whatever is wrong with it, and what `find` says.
    pub async fn authenticate<F, E>(&self, token: &str, find: impl FnOnce(UserId, SessionId) -> F) -> Result<Caller, E>
    where
        F: Future<Output = Result<Option<Holder>, E>>,
        E: From<AuthError>,
    {
        let claims = self
            .0
            .tokens
            .read(token, Kind::Access)
            .map_err(|_| AuthError::NotSignedIn)?;
        find(claims.user_id, claims.sid)
            .await?
            .filter(|holder| holder.user == claims.user_id && holder.session == claims.sid)
            .map(Caller)
            .ok_or_else(|| AuthError::NotSignedIn.into())
    }

    /// The caller as an admin.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`]; [`AuthError::AdminNeedsSecondFactor`] where one is required and this session has given
    /// none.
    pub fn admin(&self, caller: Caller) -> Result<Admin, AuthError> {
        if caller.role() != Role::Admin {
            return Err(AuthError::Forbidden);
        }
        if self.0.admin_second_factor && !caller.second_factor() {
            return Err(AuthError::AdminNeedsSecondFactor);
        }
        Ok(Admin(caller))
    }
}
