//! Tokens of staff who act as a customer.

use chrono::{DateTime, Utc};
use lockstep_domain::account::Role;
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::secret::Secret;
use lockstep_store::impersonations::{self, ImpersonationError, NewImpersonation};
use uuid::Uuid;

use crate::current_user::Admin;
use crate::token::{IMPERSONATION_LIFETIME, Kind, TokenSubject};
use crate::{Auth, AuthError};

/// The token of somebody who acts as a customer.
#[derive(Debug)]
pub struct ImpersonationToken {
    /// The token itself.
    pub token: Secret,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl Auth {
    /// Lets `by` act as the customer `user`, for twenty minutes and at most as long as their own session; it ends the
    /// one before. `reason` has 1 to 500 characters.
    ///
    /// # Errors
    /// [`ImpersonationError`].
    pub async fn impersonate(
        &self,
        by: &Admin,
        user: UserId,
        reason: &str,
    ) -> Result<ImpersonationToken, ImpersonationError> {
        let new = NewImpersonation {
            session: SessionId(Uuid::new_v4()),
            staff: by.caller().user(),
            staff_session: by.caller().session(),
            user,
            reason: reason.to_owned(),
            lifetime: IMPERSONATION_LIFETIME,
        };
        let begun = impersonations::begin(&self.0.store, &new).await?;
        let subject = TokenSubject {
            user,
            email: &begun.email,
            role: Role::User,
            session: new.session,
        };
        let token = self.0.tokens.impersonation(subject, self.0.clock.now());
        // Signing fails by a bug only; the session then ends without a request.
        let token = token.map_err(|_| ImpersonationError::SignedOut)?;
        Ok(ImpersonationToken {
            token,
            expires_at: begun.expires_at,
        })
    }

    /// User and session of the token of somebody who acts as a customer; `None` for every other token. Whether it still
    /// counts, the database says.
    pub fn impersonation_of(&self, token: &str) -> Option<(UserId, SessionId)> {
        let claims = self
            .0
            .tokens
            .read(token, Kind::Impersonation, self.0.clock.now())
            .ok()?;
        Some((claims.user_id, claims.sid))
    }

    /// Ends an impersonation; succeeds if it has already ended.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn end_impersonation(&self, session: SessionId) -> Result<(), AuthError> {
        Ok(impersonations::end(&self.0.store, session).await?)
    }
}
