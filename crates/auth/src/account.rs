//! What somebody does with an account: password, address, second factor, deletion; and what the operator does.

use chrono::Utc;
use lockstep_domain::account::{Email, NewPassword, Role};
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::secret::Secret;
use lockstep_store::accounts::totp::Proof;
use lockstep_store::accounts::{self, Account, AccountError, AdminMade, Deleted, NewAccount, Totp};
use lockstep_store::sessions::{self, Device};
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::refused;
use crate::limits::{Action, Subject};
use crate::password::Verdict;
use crate::totp::{self, Enrolment};
use crate::{Admin, Auth, AuthError, Caller, code, recovery};

impl Auth {
    /// The caller's account, after their password was asked for once more.
    async fn confirmed(&self, caller: &Caller, password: &Secret, device: &Device) -> Result<Account, AuthError> {
        let until = self.0.hasher.patience_from_now();
        self.confirmed_until(caller, password, device, until).await
    }

    async fn confirmed_until(
        &self,
        caller: &Caller,
        password: &Secret,
        device: &Device,
        until: Instant,
    ) -> Result<Account, AuthError> {
        let inner = &*self.0;
        inner.limits.take_address(Action::Password, device).await?;
        let subject = Subject::User(caller.user());
        let taken = inner
            .limits
            .take_account(Action::Password, device, subject, false)
            .await?;
        let account = accounts::by_id(&inner.store, caller.user()).await?;
        let hash = account.as_ref().map(|account| &account.password_hash);
        if inner.hasher.verify_until(password, hash, until).await? == Verdict::Wrong {
            return Err(AuthError::WrongPassword);
        }
        inner.limits.give_back(&taken).await;
        account.ok_or(AuthError::Account(AccountError::NotFound))
    }

    /// Changes the caller's password. All other sessions end, and the owner gets a letter.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] with the fault of the new one, [`AuthError::WrongPassword`], [`AuthError::RateLimited`],
    /// [`AuthError::Busy`], [`AuthError::Store`].
    pub async fn change_password(
        &self,
        caller: &Caller,
        current: &Secret,
        new: &str,
        device: &Device,
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

    /// Sends a reset link, if there is such an account; whether there is, is not told, nor to be seen from the time it takes.
    ///
    /// # Errors
    /// [`AuthError::RateLimited`] (the same with and without an account), [`AuthError::Store`].
    pub async fn forgot_password(&self, email: &Email, device: &Device) -> Result<(), AuthError> {
        let inner = &*self.0;
        inner
            .limits
            .take(Action::AskForReset, device, Subject::Address(email))
            .await?;
        // An account costs more work than none. Both answers come after the same time, which that work never needs.
        let code = code::reset(&inner.keys);
        let (sent, ()) = tokio::join!(
            accounts::send_reset(&inner.store, email, &code),
            tokio::time::sleep(inner.reset_time)
        );
        Ok(sent?)
    }

    /// Sets a new password by a link. Every session ends; the link is used up.
    ///
    /// # Errors
    /// [`AuthError::LinkNotValid`], [`AuthError::Invalid`], [`AuthError::RateLimited`], [`AuthError::Busy`],
    /// [`AuthError::Store`].
    pub async fn reset_password(&self, token: &str, new: &str, device: &Device) -> Result<(), AuthError> {
        let inner = &*self.0;
        inner.limits.take_address(Action::UseReset, device).await?;
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

    /// Sends the caller a new verification code; the one before is worth nothing then.
    ///
    /// # Errors
    /// [`AuthError::Account`] with [`AccountError::AlreadyVerified`], [`AuthError::RateLimited`], [`AuthError::Store`].
    pub async fn send_verification(&self, caller: &Caller, device: &Device) -> Result<(), AuthError> {
        let inner = &*self.0;
        inner
            .limits
            .take(Action::AskForVerification, device, Subject::User(caller.user()))
            .await?;
        accounts::send_verification(
            &inner.store,
            caller.user(),
            &code::verification_code(&inner.keys, caller.user()),
        )
        .await?;
        Ok(())
    }

    /// Proves the caller's address by the code that was sent to it.
    ///
    /// # Errors
    /// [`AuthError::WrongCode`], [`AuthError::CodeNotValid`], [`AuthError::RateLimited`], [`AuthError::Store`].
    pub async fn verify_email(&self, caller: &Caller, typed: &str, device: &Device) -> Result<(), AuthError> {
        let inner = &*self.0;
        inner
            .limits
            .take(Action::Verify, device, Subject::User(caller.user()))
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

    /// Offers the caller an authenticator. Nothing changes until [`confirm_second_factor`](Self::confirm_second_factor).
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`], [`AuthError::Account`] with [`AccountError::SecondFactorExists`],
    /// [`AuthError::RateLimited`], [`AuthError::Busy`], [`AuthError::Store`].
    pub async fn offer_second_factor(
        &self,
        caller: &Caller,
        password: &Secret,
        device: &Device,
    ) -> Result<Enrolment, AuthError> {
        let account = self.confirmed(caller, password, device).await?;
        let (nonce, shared, sealed) = totp::make(&self.0.keys, account.id);
        accounts::offer_totp(&self.0.store, account.id, nonce, &sealed).await?;
        totp::enrolment(&shared, &self.0.issuer, &account.email).ok_or(AuthError::Internal)
    }

    /// Turns the second factor on, by a first code. Other sessions end. The answer is ten recovery codes,
    /// which nobody can be shown again.
    ///
    /// # Errors
    /// [`AuthError::SecondFactorWrong`], [`AuthError::RateLimited`], [`AuthError::Account`], [`AuthError::Store`].
    pub async fn confirm_second_factor(
        &self,
        caller: &Caller,
        typed: &Secret,
        device: &Device,
    ) -> Result<Vec<Secret>, AuthError> {
        let inner = &*self.0;
        inner
            .limits
            .take(Action::SecondFactor, device, Subject::User(caller.user()))
            .await?;
        let account = accounts::by_id(&inner.store, caller.user())
            .await?
            .ok_or(AccountError::NotFound)?;
        let factor = account
            .totp
            .filter(|totp| !totp.confirmed)
            .ok_or(AccountError::Outdated)?;
        let secrets = totp::secrets(&inner.keys, account.id, &factor).map_err(|_| AccountError::Outdated)?;
        let step = totp::step_of(&secrets, typed, Utc::now()).ok_or(AuthError::SecondFactorWrong)?;
        let (codes, hashes) = recovery::make(account.id);
        accounts::confirm_totp(&inner.store, account.id, &factor.nonce, step, &hashes, caller.session()).await?;
        Ok(codes)
    }

    /// How many of the caller's recovery codes were not used yet.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn recovery_codes_left(&self, caller: &Caller) -> Result<u64, AuthError> {
        let account = accounts::by_id(&self.0.store, caller.user()).await?;
        let left = account.and_then(|account| Some(account.second_factor()?.recovery.len()));
        Ok(left.map_or(0, |left| u64::try_from(left).unwrap_or(u64::MAX)))
    }

    /// Makes new recovery codes in place of those before: password and a code.
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`], [`AuthError::SecondFactorWrong`], [`AuthError::Account`] with
    /// [`AccountError::Outdated`] without a second factor, [`AuthError::RateLimited`], [`AuthError::Busy`],
    /// [`AuthError::Store`].
    pub async fn new_recovery_codes(
        &self,
        caller: &Caller,
        password: &Secret,
        typed: &Secret,
        device: &Device,
    ) -> Result<Vec<Secret>, AuthError> {
        let account = self.confirmed(caller, password, device).await?;
        let proof = self.proof_of_owner(&account, typed, device).await?;
        let proof = proof.ok_or(AccountError::Outdated)?;
        let (codes, hashes) = recovery::make(account.id);
        accounts::replace_recovery_codes(&self.0.store, account.id, proof, &hashes)
            .await
            .map_err(used_meanwhile)?;
        Ok(codes)
    }

    /// The second factor that was typed, checked; `None` when the account has none.
    async fn proof_of_owner(
        &self,
        account: &Account,
        typed: &Secret,
        device: &Device,
    ) -> Result<Option<Proof>, AuthError> {
        let inner = &*self.0;
        inner
            .limits
            .take(Action::SecondFactor, device, Subject::User(account.id))
            .await?;
        match account.second_factor() {
            None => Ok(None),
            Some(factor) => self
                .proof(account.id, factor, typed)
                .map(Some)
                .ok_or(AuthError::SecondFactorWrong),
        }
    }

    /// What was typed as a proof, if it is one: a code of the authenticator that was not used yet, or a recovery code.
    pub(crate) fn proof(&self, user: UserId, factor: &Totp, typed: &Secret) -> Option<Proof> {
        if let Some(hash) = recovery::typed(user, typed) {
            let is_known = factor.recovery.iter().any(|known| known == hash.as_slice());
            return is_known.then_some(Proof::Recovery(hash));
        }
        let secrets = totp::secrets(&self.0.keys, user, factor)
            .inspect_err(|error| tracing::error!(%user, "the second factor of an account: {error}"))
            .ok()?;
        let step = totp::step_of(&secrets, typed, Utc::now()).filter(|step| *step > factor.last_step)?;
        Some(Proof::Step(step))
    }

    /// Turns the second factor off again: password and a code.
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`], [`AuthError::SecondFactorWrong`], [`AuthError::RateLimited`], [`AuthError::Busy`],
    /// [`AuthError::Store`].
    pub async fn remove_second_factor(
        &self,
        caller: &Caller,
        password: &Secret,
        typed: &Secret,
        device: &Device,
    ) -> Result<(), AuthError> {
        let account = self.confirmed(caller, password, device).await?;
        let proof = self.proof_of_owner(&account, typed, device).await?;
        accounts::remove_totp(&self.0.store, account.id, proof)
            .await
            .map_err(used_meanwhile)
    }

    /// Takes the second factor of the account with this address away because its owner lost it, on the operator's word.
    /// All its sessions end, it goes into the audit log, and its owner gets an e-mail. False when there was none. `machine`
    /// is where the operator said so.
    ///
    /// # Errors
    /// [`AuthError::Account`] with [`AccountError::NotFound`], [`AuthError::Store`].
    pub async fn reset_second_factor(&self, email: &Email, machine: &str) -> Result<bool, AuthError> {
        Ok(accounts::reset_totp(&self.0.store, email.as_str(), machine).await?)
    }

    /// Deletes the caller's account: what is personal goes, orders and bookings stay without a name.
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`]; [`AuthError::Account`] with what stands in the way; [`AuthError::RateLimited`],
    /// [`AuthError::Busy`], [`AuthError::Store`].
    pub async fn delete_account(
        &self,
        caller: &Caller,
        password: &Secret,
        give_up_balance: bool,
        device: &Device,
    ) -> Result<Deleted, AuthError> {
        let account = self.confirmed(caller, password, device).await?;
        Ok(accounts::delete(&self.0.store, account.id, give_up_balance).await?)
    }

    /// The caller's sessions, newest first.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn sessions(&self, caller: &Caller) -> Result<Vec<sessions::Listed>, AuthError> {
        Ok(sessions::list(&self.0.store, caller.user()).await?)
    }

    /// Ends one of the caller's sessions; fine when it has ended, and nothing happens to anybody else's.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn end_session(&self, caller: &Caller, session: SessionId) -> Result<(), AuthError> {
        sessions::end(&self.0.store, session, caller.user()).await?;
        Ok(())
    }

    /// Ends all of the caller's sessions but the present one; returns how many.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn end_other_sessions(&self, caller: &Caller) -> Result<u64, AuthError> {
        Ok(sessions::end_others(&self.0.store, caller.user(), Some(caller.session())).await?)
    }

    /// Changes somebody's role, from their next request on.
    ///
    /// # Errors
    /// [`AuthError::Account`] with [`AccountError::LastAdmin`] or [`AccountError::NotFound`], [`AuthError::Store`].
    pub async fn change_role(&self, _by: &Admin, user: UserId, role: Role) -> Result<(), AuthError> {
        Ok(accounts::change_role(&self.0.store, user, role).await?)
    }

    /// Makes the first admin, or another one, on the operator's word (the command line). An existing account is promoted
    /// and keeps its password, unless nobody had proved its address.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] with the fault of the password, [`AuthError::Busy`], [`AuthError::Store`].
    pub async fn create_admin(&self, email: &Email, password: &str) -> Result<AdminMade, AuthError> {
        let password = NewPassword::parse(password, Some(email)).map_err(|fault| refused(fault, "password"))?;
        let new = NewAccount {
            id: UserId(Uuid::now_v7()),
            email: email.clone(),
            password_hash: self.0.hasher.hash(&password).await?,
            nickname: None,
            first_name: None,
            last_name: None,
        };
        Ok(accounts::create_admin(&self.0.store, &new).await?)
    }
}

/// Of two requests with the same code one comes too late.
fn used_meanwhile(error: AccountError) -> AuthError {
    match error {
        AccountError::Outdated => AuthError::SecondFactorWrong,
        error => error.into(),
    }
}
