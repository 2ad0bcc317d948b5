//! Use cases of an existing account: password, e-mail address, two-factor authentication and deletion; and those of the
//! operator.

use lockstep_domain::account::{EMAIL_UNREACHABLE, Email, NewPassword, Role};
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::secret::Secret;
use lockstep_domain::staff::StaffRole;
use lockstep_store::accounts::totp::Proof;
use lockstep_store::accounts::{self, Account, AccountError, AdminMade, Deleted, NewAccount, Totp, staff};
use lockstep_store::audit::By;
use lockstep_store::sessions::{self, ClientInfo};
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::refused;
use crate::limits::{Action, Subject};
use crate::password::Verdict;
use crate::totp::{self, Enrolment};
use crate::{Admin, Auth, AuthError, CurrentUser, code, recovery};

impl Auth {
    /// Returns the caller's account after a check of the current password.
    async fn confirmed(
        &self,
        caller: &CurrentUser,
        password: &Secret,
        device: &ClientInfo,
    ) -> Result<Account, AuthError> {
        let until = self.0.hasher.patience_from_now();
        self.confirmed_until(caller, password, device, until).await
    }

    async fn confirmed_until(
        &self,
        caller: &CurrentUser,
        password: &Secret,
        device: &ClientInfo,
        until: Instant,
    ) -> Result<Account, AuthError> {
        let inner = &*self.0;
        inner.limits.take_address(Action::PASSWORD, device).await?;
        let subject = Subject::User(caller.user());
        let taken = inner
            .limits
            .take_account(Action::PASSWORD, device, subject, false)
            .await?;
        let account = accounts::by_id(&inner.store, caller.user()).await?;
        let hash = account.as_ref().map(|account| &account.password_hash);
        if inner.hasher.verify_until(password, hash, until).await? == Verdict::Wrong {
            return Err(AuthError::WrongPassword);
        }
        inner.limits.give_back(&taken).await;
        account.ok_or(AuthError::Account(AccountError::NotFound))
    }

    /// Confirms the caller's session with their password, for five minutes: what is dangerous for the shop requires it.
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`], [`AuthError::NotSignedIn`] when the session has ended meanwhile,
    /// [`AuthError::RateLimited`], [`AuthError::Busy`], [`AuthError::Store`].
    #[tracing::instrument(name = "auth.confirm", skip_all)]
    pub async fn confirm(&self, caller: &CurrentUser, password: &Secret, device: &ClientInfo) -> Result<(), AuthError> {
        self.confirmed(caller, password, device).await?;
        if staff::confirm(&self.0.store, caller.session()).await? {
            Ok(())
        } else {
            Err(AuthError::NotSignedIn)
        }
    }

    /// Changes the caller's password. All other sessions end, and the user receives an e-mail.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] if the new password breaks a rule, [`AuthError::WrongPassword`],
    /// [`AuthError::RateLimited`], [`AuthError::Busy`], [`AuthError::Store`].
    #[tracing::instrument(name = "auth.change_password", skip_all)]
    pub async fn change_password(
        &self,
        caller: &CurrentUser,
        current: &Secret,
        new: &str,
        device: &ClientInfo,
    ) -> Result<(), AuthError> {
        let owner = Email::parse(caller.email()).ok();
        let new = NewPassword::parse(new, owner.as_ref()).map_err(|fault| refused(fault, "newPassword"))?;
        let until = self.0.hasher.patience_from_now();
        let account = self.confirmed_until(caller, current, device, until).await?;
        let hash = self.0.hasher.hash_until(&new, until).await?;
        accounts::change_password(
            &self.0.store,
            account.id,
            &account.password_hash,
            &hash,
            Some(caller.session()),
        )
        .await?;
        Ok(())
    }

    /// Sends a reset link if an account has this address. Neither the result nor the response time reveals whether one
    /// does.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] when no e-mail can be sent to such an address, [`AuthError::RateLimited`] (both the same with
    /// and without an account), [`AuthError::Store`].
    #[tracing::instrument(name = "auth.forgot_password", skip_all)]
    pub async fn forgot_password(&self, email: &Email, device: &ClientInfo) -> Result<(), AuthError> {
        if !email.takes_mail() {
            return Err(AuthError::Invalid(vec![EMAIL_UNREACHABLE]));
        }
        let inner = &*self.0;
        inner
            .limits
            .take(Action::ASK_FOR_RESET, device, Subject::Address(email))
            .await?;
        // An account costs more work than none. Both cases respond after the same time, which is longer than that work
        // takes.
        let code = code::reset(&inner.keys, &inner.random);
        let (sent, ()) = tokio::join!(
            accounts::send_reset(&inner.store, email, &code),
            tokio::time::sleep(inner.reset_time)
        );
        Ok(sent?)
    }

    /// Sets a new password with a reset link. Every session ends, and the link becomes invalid.
    ///
    /// # Errors
    /// [`AuthError::LinkNotValid`], [`AuthError::Invalid`], [`AuthError::RateLimited`], [`AuthError::Busy`],
    /// [`AuthError::Store`].
    #[tracing::instrument(name = "auth.reset_password", skip_all)]
    pub async fn reset_password(&self, token: &str, new: &str, device: &ClientInfo) -> Result<(), AuthError> {
        let inner = &*self.0;
        inner.limits.take_address(Action::USE_RESET, device).await?;
        for hash in code::reset_hashes(&inner.keys, token) {
            let Some((_, email)) = accounts::reset_owner(&inner.store, &hash).await? else {
                continue;
            };
            let owner = Email::parse(&email).ok();
            let new = NewPassword::parse(new, owner.as_ref()).map_err(|fault| refused(fault, "newPassword"))?;
            let new = inner.hasher.hash(&new).await?;
            return match accounts::reset_password(&inner.store, &hash, &new, device).await {
                Ok(_) => Ok(()),
                Err(AccountError::NotFound) => Err(AuthError::LinkNotValid),
                Err(error) => Err(error.into()),
            };
        }
        Err(AuthError::LinkNotValid)
    }

    /// Sends the caller a new verification code; the previous one becomes invalid.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] when no e-mail can be sent to the caller's address, [`AuthError::Account`] with
    /// [`AccountError::AlreadyVerified`], [`AuthError::RateLimited`], [`AuthError::Store`].
    #[tracing::instrument(name = "auth.send_verification", skip_all)]
    pub async fn send_verification(&self, caller: &CurrentUser, device: &ClientInfo) -> Result<(), AuthError> {
        if !Email::of_existing_account(caller.email()).is_ok_and(|email| email.takes_mail()) {
            return Err(AuthError::Invalid(vec![EMAIL_UNREACHABLE]));
        }
        let inner = &*self.0;
        inner
            .limits
            .take(Action::ASK_FOR_VERIFICATION, device, Subject::User(caller.user()))
            .await?;
        accounts::send_verification(
            &inner.store,
            caller.user(),
            &code::verification_code(&inner.keys, caller.user(), &inner.random),
        )
        .await?;
        Ok(())
    }

    /// Verifies the caller's address with the code that was sent to it.
    ///
    /// # Errors
    /// [`AuthError::WrongCode`], [`AuthError::CodeNotValid`], [`AuthError::RateLimited`], [`AuthError::Store`].
    #[tracing::instrument(name = "auth.verify_email", skip_all)]
    pub async fn verify_email(&self, caller: &CurrentUser, typed: &str, device: &ClientInfo) -> Result<(), AuthError> {
        let inner = &*self.0;
        inner
            .limits
            .take(Action::VERIFY, device, Subject::User(caller.user()))
            .await?;
        let attempt = accounts::spend_attempt(&inner.store, caller.user())
            .await?
            .ok_or(AuthError::CodeNotValid)?;
        if !code::is_verification(&inner.keys, caller.user(), typed, &attempt.hash) {
            return Err(AuthError::WrongCode { left: attempt.left });
        }
        accounts::verify_email(&inner.store, caller.user(), attempt.id)
            .await
            .map_err(|error| match error {
                AccountError::NotFound => AuthError::CodeNotValid,
                error => error.into(),
            })
    }

    /// Starts to set up an authenticator. Nothing changes until [`confirm_second_factor`](Self::confirm_second_factor).
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`], [`AuthError::Account`] with [`AccountError::SecondFactorExists`],
    /// [`AuthError::RateLimited`], [`AuthError::Busy`], [`AuthError::Store`].
    #[tracing::instrument(name = "auth.offer_second_factor", skip_all)]
    pub async fn offer_second_factor(
        &self,
        caller: &CurrentUser,
        password: &Secret,
        device: &ClientInfo,
    ) -> Result<Enrolment, AuthError> {
        let account = self.confirmed(caller, password, device).await?;
        let (nonce, shared, sealed) = totp::make(&self.0.keys, account.id, &self.0.random);
        accounts::offer_totp(&self.0.store, account.id, nonce, &sealed).await?;
        totp::enrolment(&shared, &self.0.issuer, &account.email).ok_or(AuthError::Internal)
    }

    /// Turns two-factor authentication on with a first code. Other sessions end. Returns ten recovery codes, which
    /// cannot be shown again.
    ///
    /// # Errors
    /// [`AuthError::SecondFactorWrong`], [`AuthError::RateLimited`], [`AuthError::Account`], [`AuthError::Store`].
    #[tracing::instrument(name = "auth.confirm_second_factor", skip_all)]
    pub async fn confirm_second_factor(
        &self,
        caller: &CurrentUser,
        typed: &Secret,
        device: &ClientInfo,
    ) -> Result<Vec<Secret>, AuthError> {
        let inner = &*self.0;
        inner
            .limits
            .take(Action::SECOND_FACTOR, device, Subject::User(caller.user()))
            .await?;
        let account = accounts::by_id(&inner.store, caller.user())
            .await?
            .ok_or(AccountError::NotFound)?;
        let factor = account
            .totp
            .filter(|totp| !totp.confirmed)
            .ok_or(AccountError::Outdated)?;
        let secrets = totp::secrets(&inner.keys, account.id, &factor).map_err(|_| AccountError::Outdated)?;
        let step = totp::step_of(&secrets, typed, inner.clock.now()).ok_or(AuthError::SecondFactorWrong)?;
        let (codes, hashes) = recovery::make(account.id, &inner.random);
        accounts::confirm_totp(&inner.store, account.id, &factor.nonce, step, &hashes, caller.session()).await?;
        Ok(codes)
    }

    /// Returns the number of the caller's unused recovery codes.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    #[tracing::instrument(name = "auth.recovery_codes_left", skip_all)]
    pub async fn recovery_codes_left(&self, caller: &CurrentUser) -> Result<u64, AuthError> {
        let account = accounts::by_id(&self.0.store, caller.user()).await?;
        let left = account.and_then(|account| Some(account.second_factor()?.recovery.len()));
        Ok(left.map_or(0, |left| u64::try_from(left).unwrap_or(u64::MAX)))
    }

    /// Replaces the caller's recovery codes; requires the password and a code.
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`], [`AuthError::SecondFactorWrong`], [`AuthError::Account`] with
    /// [`AccountError::Outdated`] if two-factor authentication is off, [`AuthError::RateLimited`], [`AuthError::Busy`],
    /// [`AuthError::Store`].
    #[tracing::instrument(name = "auth.new_recovery_codes", skip_all)]
    pub async fn new_recovery_codes(
        &self,
        caller: &CurrentUser,
        password: &Secret,
        typed: &Secret,
        device: &ClientInfo,
    ) -> Result<Vec<Secret>, AuthError> {
        let account = self.confirmed(caller, password, device).await?;
        let proof = self.proof_of_owner(&account, typed, device).await?;
        let proof = proof.ok_or(AccountError::Outdated)?;
        let (codes, hashes) = recovery::make(account.id, &self.0.random);
        accounts::replace_recovery_codes(&self.0.store, account.id, proof, &hashes)
            .await
            .map_err(used_meanwhile)?;
        Ok(codes)
    }

    /// Checks a typed code of the second factor; `None` if the account has no second factor.
    async fn proof_of_owner(
        &self,
        account: &Account,
        typed: &Secret,
        device: &ClientInfo,
    ) -> Result<Option<Proof>, AuthError> {
        let inner = &*self.0;
        inner
            .limits
            .take(Action::SECOND_FACTOR, device, Subject::User(account.id))
            .await?;
        match account.second_factor() {
            None => Ok(None),
            Some(factor) => self
                .proof(account.id, factor, typed)
                .map(Some)
                .ok_or(AuthError::SecondFactorWrong),
        }
    }

    /// Recognises a typed proof: an unused authenticator code, or a recovery code.
    pub(crate) fn proof(&self, user: UserId, factor: &Totp, typed: &Secret) -> Option<Proof> {
        if let Some(hash) = recovery::typed(user, typed) {
            let is_known = factor.recovery.iter().any(|known| known == hash.as_slice());
            return is_known.then_some(Proof::Recovery(hash));
        }
        let secrets = totp::secrets(&self.0.keys, user, factor)
            .inspect_err(|error| tracing::error!(%user, "the second factor of an account: {error}"))
            .ok()?;
        let step = totp::step_of(&secrets, typed, self.0.clock.now()).filter(|step| *step > factor.last_step)?;
        Some(Proof::Step(step))
    }

    /// Turns two-factor authentication off; requires the password and a code.
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`], [`AuthError::SecondFactorWrong`], [`AuthError::RateLimited`], [`AuthError::Busy`],
    /// [`AuthError::Store`].
    #[tracing::instrument(name = "auth.remove_second_factor", skip_all)]
    pub async fn remove_second_factor(
        &self,
        caller: &CurrentUser,
        password: &Secret,
        typed: &Secret,
        device: &ClientInfo,
    ) -> Result<(), AuthError> {
        let account = self.confirmed(caller, password, device).await?;
        let proof = self.proof_of_owner(&account, typed, device).await?;
        accounts::remove_totp(&self.0.store, account.id, proof)
            .await
            .map_err(used_meanwhile)
    }

    /// Removes the second factor of the account with this address on behalf of the operator, because its owner lost it.
    ///
    /// All sessions of the account end, the action is recorded in the audit log, and the owner receives an e-mail.
    /// Returns `false` if there was no second factor. `machine` names the host where the operator ran the command.
    ///
    /// # Errors
    /// [`AuthError::Account`] with [`AccountError::NotFound`], [`AuthError::Store`].
    #[tracing::instrument(name = "auth.reset_second_factor", skip_all)]
    pub async fn reset_second_factor(&self, email: &Email, machine: &str) -> Result<bool, AuthError> {
        Ok(accounts::reset_totp(&self.0.store, email.as_str(), machine).await?)
    }

    /// Deletes the caller's account: personal data is deleted; orders and transactions are kept without a name.
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`]; [`AuthError::Account`] with the reason why the account cannot be deleted;
    /// [`AuthError::RateLimited`], [`AuthError::Busy`], [`AuthError::Store`].
    #[tracing::instrument(name = "auth.delete_account", skip_all)]
    pub async fn delete_account(
        &self,
        caller: &CurrentUser,
        password: &Secret,
        give_up_balance: bool,
        device: &ClientInfo,
    ) -> Result<Deleted, AuthError> {
        let account = self.confirmed(caller, password, device).await?;
        Ok(accounts::delete(&self.0.store, account.id, give_up_balance).await?)
    }

    /// Returns the caller's sessions, newest first.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    #[tracing::instrument(name = "auth.sessions", skip_all)]
    pub async fn sessions(&self, caller: &CurrentUser) -> Result<Vec<sessions::SessionView>, AuthError> {
        Ok(sessions::list(&self.0.store, caller.user()).await?)
    }

    /// Ends one of the caller's sessions. Does nothing if it has already ended or belongs to another user.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    #[tracing::instrument(name = "auth.end_session", skip_all)]
    pub async fn end_session(&self, caller: &CurrentUser, session: SessionId) -> Result<(), AuthError> {
        sessions::end(&self.0.store, session, caller.user()).await?;
        Ok(())
    }

    /// Ends all of the caller's sessions except the current one; returns their number.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    #[tracing::instrument(name = "auth.end_other_sessions", skip_all)]
    pub async fn end_other_sessions(&self, caller: &CurrentUser) -> Result<u64, AuthError> {
        Ok(sessions::end_others(&self.0.store, caller.user(), Some(caller.session())).await?)
    }

    /// Changes a user's role, effective with their next request. Recorded in the audit log.
    ///
    /// # Errors
    /// [`AuthError::Account`] with [`AccountError::Refused`], [`AccountError::LastAdmin`] or [`AccountError::NotFound`];
    /// [`AuthError::Store`].
    #[tracing::instrument(name = "auth.change_role", skip_all)]
    pub async fn change_role(&self, by: &Admin, user: UserId, role: Role) -> Result<(), AuthError> {
        let role = match role {
            Role::User => StaffRole::None,
            Role::Admin => StaffRole::Owner,
        };
        staff::change_role(&self.0.store, &By::Staff(by.caller().user()), user, &role).await?;
        Ok(())
    }

    /// Changes the role of the account with this address on behalf of the operator, and returns the role before.
    /// Recorded in the audit log. `machine` names the host where the operator ran the command.
    ///
    /// # Errors
    /// [`AuthError::Account`] with [`AccountError::UnknownRole`], [`AccountError::LastAdmin`] or
    /// [`AccountError::NotFound`]; [`AuthError::Store`].
    pub async fn assign_role(&self, email: &Email, role: &StaffRole, machine: &str) -> Result<StaffRole, AuthError> {
        Ok(staff::assign_role(&self.0.store, email.as_str(), role, machine).await?)
    }

    /// Creates an administrator on behalf of the operator (command line). An existing account is promoted and keeps its
    /// password, unless its address was never verified. Recorded in the audit log; `machine` names the host of the operator.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] if the password breaks a rule, [`AuthError::Busy`], [`AuthError::Store`].
    #[tracing::instrument(name = "auth.create_admin", skip_all)]
    pub async fn create_admin(&self, email: &Email, password: &str, machine: &str) -> Result<AdminMade, AuthError> {
        let password = NewPassword::parse(password, Some(email)).map_err(|fault| refused(fault, "password"))?;
        let new = NewAccount {
            id: UserId(Uuid::now_v7()),
            email: email.clone(),
            password_hash: self.0.hasher.hash(&password).await?,
            nickname: None,
            first_name: None,
            last_name: None,
        };
        Ok(accounts::create_admin(&self.0.store, &new, machine).await?)
    }
}

/// Maps the error of a code that a concurrent request used first.
fn used_meanwhile(error: AccountError) -> AuthError {
    match error {
        AccountError::Outdated => AuthError::SecondFactorWrong,
        error => error.into(),
    }
}
