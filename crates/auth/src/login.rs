//! Registration, login, token refresh and logout.

use std::time::Duration;

use lockstep_domain::account::{
    AuthData, AuthUser, Credentials, DEFAULT_NICKNAME, Email, NewPassword, Registration, Role, TokenPair,
};
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::secret::Secret;
use lockstep_store::accounts::totp::Proof;
use lockstep_store::accounts::{self, Account, AccountError, Login, NewAccount};
use lockstep_store::sessions::{self, ClientInfo, NewSession, Rotation};
use uuid::Uuid;

use crate::error::refused;
use crate::limits::{Action, Subject};
use crate::password::Verdict;
use crate::token::{Kind, TokenSubject};
use crate::{Auth, AuthError, CurrentUser, code};

impl Auth {
    /// Creates an account and logs the user in.
    ///
    /// # Errors
    /// [`AuthError::EmailTaken`], [`AuthError::RateLimited`], [`AuthError::Busy`], [`AuthError::Store`].
    #[tracing::instrument(name = "auth.register", skip_all)]
    pub async fn register(&self, registration: Registration, device: &ClientInfo) -> Result<AuthData, AuthError> {
        let inner = &*self.0;
        inner
            .limits
            .take(Action::REGISTER, device, Subject::Address(&registration.email))
            .await?;
        // The database's constraint decides; this check saves half a second of hashing.
        if accounts::by_email(&inner.store, &registration.email, device)
            .await?
            .is_some()
        {
            return Err(AuthError::EmailTaken);
        }
        let password_hash = inner.hasher.hash(&registration.password).await?;
        let user = UserId(Uuid::now_v7());
        let session = self.new_session(false);
        let bearer = TokenSubject {
            user,
            email: registration.email.as_str(),
            role: Role::User,
            session: session.id,
        };
        // Signed before the account is created: no account may exist without tokens.
        let tokens = inner
            .tokens
            .pair(bearer, session.refresh_id, inner.clock.now())
            .map_err(|_| AuthError::Internal)?;
        let new = NewAccount {
            id: user,
            email: registration.email.clone(),
            password_hash,
            nickname: registration.nickname.clone(),
            first_name: registration.first_name.clone(),
            last_name: registration.last_name.clone(),
        };
        accounts::register(
            &inner.store,
            &new,
            session,
            device,
            &code::verification_code(&inner.keys, user, &inner.random),
        )
        .await?;
        Ok(AuthData {
            user: AuthUser {
                id: user,
                email: registration.email.as_str().to_owned(),
                nickname: registration.nickname.unwrap_or_else(|| DEFAULT_NICKNAME.to_owned()),
                first_name: registration.first_name,
                last_name: registration.last_name,
                avatar: None,
                role: Role::User,
            },
            tokens,
        })
    }

    /// Logs a user in. Duration and error are the same whichever part was wrong.
    ///
    /// # Errors
    /// [`AuthError::WrongCredentials`], [`AuthError::SecondFactorNeeded`], [`AuthError::SecondFactorWrong`],
    /// [`AuthError::RateLimited`], [`AuthError::Busy`], [`AuthError::Store`].
    #[tracing::instrument(name = "auth.log_in", skip_all)]
    pub async fn log_in(&self, credentials: &Credentials, device: &ClientInfo) -> Result<AuthData, AuthError> {
        let inner = &*self.0;
        inner.limits.take_address(Action::LOGIN, device).await?;
        let found = accounts::by_email(&inner.store, &credentials.email, device).await?;
        let (account, known_place) = match found {
            Some((account, known_place)) => (Some(account), known_place),
            None => (None, false),
        };
        let subject = Subject::Address(&credentials.email);
        let taken = inner
            .limits
            .take_account(Action::LOGIN, device, subject, known_place)
            .await?;
        // Only of an account with a second factor may the end of what was typed be its code.
        let has_factor = account
            .as_ref()
            .is_some_and(|account| account.second_factor().is_some());
        let typed_behind = credentials.with_code_of_password().filter(|_| has_factor);
        let credentials = typed_behind.as_ref().unwrap_or(credentials);
        let hash = account.as_ref().map(|account| &account.password_hash);
        let verdict = inner.hasher.verify(&credentials.password, hash).await?;
        let user = account.as_ref().map(|account| account.id);
        let Some(account) = account.filter(|_| verdict != Verdict::Wrong) else {
            accounts::note_failure(&inner.store, user, device).await?;
            return Err(AuthError::WrongCredentials);
        };
        inner.limits.give_back(&taken).await;
        let proof = self.second_factor(&account, credentials, device).await?;
        let session = self.new_session(proof.is_some());
        let login = Login {
            user: account.id,
            password_hash: account.password_hash.clone(),
            proof,
            session,
            device: device.clone(),
        };
        let tokens = inner
            .tokens
            .pair(bearer(&account, session.id), session.refresh_id, inner.clock.now())
            .map_err(|_| AuthError::Internal)?;
        accounts::log_in(&inner.store, &login)
            .await
            .map_err(|error| match error {
                AccountError::Outdated if proof.is_some() => AuthError::SecondFactorWrong,
                AccountError::Outdated => AuthError::WrongCredentials,
                error => error.into(),
            })?;
        if verdict == Verdict::RightButOld {
            self.renew_hash(&account, &credentials.password).await;
        }
        Ok(AuthData {
            user: view(account),
            tokens,
        })
    }

    /// Signs the owner of a demo in and makes `password` theirs: the caller has checked a link that the program printed on
    /// `machine`, and that this is no production. The account is made when it is first needed. Recorded in the audit log.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] if the password breaks a rule; [`AuthError::Forbidden`] if the account is no owner any more; [`AuthError::Busy`], [`AuthError::Store`].
    #[tracing::instrument(name = "auth.log_in_demo_owner", skip_all)]
    pub async fn log_in_demo_owner(
        &self,
        email: &Email,
        password: &str,
        device: &ClientInfo,
        machine: &str,
    ) -> Result<AuthData, AuthError> {
        let inner = &*self.0;
        let new = NewPassword::parse(password, Some(email)).map_err(|fault| refused(fault, "password"))?;
        let found = accounts::by_email(&inner.store, email, device).await?;
        if found.as_ref().is_none_or(|(account, _)| !account.email_verified) {
            self.create_admin(email, password, machine).await?;
        }
        let account = match accounts::by_email(&inner.store, email, device).await? {
            Some((account, _)) if account.role == Role::Admin => account,
            _ => return Err(AuthError::Forbidden),
        };
        let password_hash = inner.hasher.hash(&new).await?;
        accounts::enter_by_link(&inner.store, account.id, &password_hash, machine).await?;
        let session = self.new_session(false);
        let tokens = inner
            .tokens
            .pair(bearer(&account, session.id), session.refresh_id, inner.clock.now())
            .map_err(|_| AuthError::Internal)?;
        let login = Login {
            user: account.id,
            password_hash,
            proof: None,
            session,
            device: device.clone(),
        };
        accounts::log_in(&inner.store, &login).await?;
        Ok(AuthData {
            user: view(account),
            tokens,
        })
    }

    /// Hashes the password of an account with the current settings. A failure is retried at the next login.
    async fn renew_hash(&self, account: &Account, password: &Secret) {
        // The login must not time out because of it.
        const WORTH: Duration = Duration::from_millis(700);
        let renewed = async {
            let new = self.0.hasher.renew(password).await?;
            accounts::renew_hash(&self.0.store, account.id, &account.password_hash, &new).await?;
            Ok::<_, AuthError>(())
        };
        match tokio::time::timeout(WORTH, renewed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(user = %account.id, %error, "a password could not be rehashed");
            }
            Err(_) => tracing::debug!(user = %account.id, "no time to rehash a password now"),
        }
    }

    /// Checks the second factor, if the account has one.
    async fn second_factor(
        &self,
        account: &Account,
        credentials: &Credentials,
        device: &ClientInfo,
    ) -> Result<Option<Proof>, AuthError> {
        let Some(factor) = account.second_factor() else {
            return Ok(None);
        };
        let typed = credentials.code.as_ref().ok_or(AuthError::SecondFactorNeeded)?;
        let inner = &*self.0;
        let taken = inner
            .limits
            .take_account(Action::SECOND_FACTOR, device, Subject::User(account.id), false)
            .await?;
        if let Some(proof) = self.proof(account.id, factor, typed) {
            inner.limits.give_back(&taken).await;
            return Ok(Some(proof));
        }
        accounts::note_failure(&inner.store, Some(account.id), device).await?;
        Err(AuthError::SecondFactorWrong)
    }

    /// Exchanges a refresh token for a new pair of tokens; each token is valid for one exchange.
    ///
    /// Several tabs may present the same token at the same moment, and a client may repeat a request whose response was
    /// lost: within the grace period all of them receive the same pair. After it, an old token ends the whole session,
    /// because two clients hold the chain and the server cannot determine which is the owner.
    ///
    /// # Errors
    /// [`AuthError::NotSignedIn`], [`AuthError::Store`].
    #[tracing::instrument(name = "auth.refresh", skip_all)]
    pub async fn refresh(&self, refresh_token: &str) -> Result<TokenPair, AuthError> {
        let inner = &*self.0;
        let claims = inner
            .tokens
            .read(refresh_token, Kind::Refresh, inner.clock.now())
            .map_err(|_| AuthError::NotSignedIn)?;
        let lifetime = inner.tokens.refresh_lifetime();
        let rotation = sessions::rotate(
            &inner.store,
            claims.sid,
            claims.jti,
            Uuid::new_v4(),
            lifetime,
            inner.refresh_grace,
        )
        .await?;
        match rotation {
            Rotation::Successor {
                holder,
                refresh_id,
                rotated_at,
            } if holder.user == claims.user_id => {
                let bearer = TokenSubject {
                    user: holder.user,
                    email: &holder.email,
                    role: holder.role,
                    session: holder.session,
                };
                inner
                    .tokens
                    .pair(bearer, refresh_id, rotated_at)
                    .map_err(|_| AuthError::Internal)
            }
            Rotation::Reused { user } => {
                tracing::warn!(%user, session = %claims.sid, "an old refresh token was used; the session has been ended");
                Err(AuthError::NotSignedIn)
            }
            Rotation::Successor { .. } | Rotation::Ended => Err(AuthError::NotSignedIn),
        }
    }

    /// Ends the caller's session and invalidates its tokens.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    #[tracing::instrument(name = "auth.log_out", skip_all)]
    pub async fn log_out(&self, caller: &CurrentUser) -> Result<(), AuthError> {
        sessions::end(&self.0.store, caller.session(), caller.user()).await?;
        Ok(())
    }

    fn new_session(&self, second_factor: bool) -> NewSession {
        NewSession {
            id: SessionId(Uuid::new_v4()),
            refresh_id: Uuid::new_v4(),
            lifetime: self.0.tokens.refresh_lifetime(),
            second_factor,
        }
    }
}

fn bearer(account: &Account, session: SessionId) -> TokenSubject<'_> {
    TokenSubject {
        user: account.id,
        email: &account.email,
        role: account.role,
        session,
    }
}

fn view(account: Account) -> AuthUser {
    AuthUser {
        id: account.id,
        email: account.email,
        nickname: account.nickname.unwrap_or_else(|| DEFAULT_NICKNAME.to_owned()),
        first_name: account.first_name,
        last_name: account.last_name,
        avatar: account.avatar,
        role: account.role,
    }
}
