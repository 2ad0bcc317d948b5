//! Accounts at G2A that staff enter.
//!
//! An account becomes the active one only with credentials that G2A has accepted a moment ago, and the active one changes
//! only to such: the shop could buy nothing with wrong ones. The shop is connected to one of G2A's worlds by its
//! configuration, and an account of the other cannot become active: orders and games of the two would mix.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use lockstep_auth::Admin;
use lockstep_domain::Secret;
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::{
    MASKED_PASSWORD, ServerSource, SupplierAccount, SupplierAccountForm, SupplierApiKey, SupplierEnvironment,
    SupplierToken, api_key,
};
use lockstep_domain::staff::Permission;
use lockstep_store::StoreError;
use lockstep_store::admin::g2a_settings::{self, Entered};
use uuid::Uuid;

use crate::{BackOffice, ChangeError};

/// How long a test by G2A counts: credentials may have been changed there since.
const TESTED: TimeDelta = TimeDelta::minutes(10);

/// Credentials of an account at G2A.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupplierCredentials {
    /// Client id ("API hash").
    pub client_id: String,
    /// E-mail address; empty where none is needed.
    pub email: String,
    /// Client secret.
    pub client_secret: Secret,
}

/// Why G2A was of no help. The texts hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupplierAccessError {
    /// It refuses the credentials.
    #[error("{0}")]
    Refused(String),
    /// It does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// Too many questions at the same time.
    #[error("Other credentials are being tested. Try again in a few seconds.")]
    Busy,
}

/// A bearer token of G2A.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// The token.
    pub token: Secret,
    /// Seconds for which it is valid.
    pub seconds: u64,
}

/// How this process reaches G2A with given credentials, at the address of its configuration.
pub trait SupplierAccess: Send + Sync {
    /// Which of G2A's worlds the shop is connected to.
    fn environment(&self) -> SupplierEnvironment;

    /// The account of the environment variables, which overrides those that staff enter.
    fn fixed(&self) -> Option<SupplierCredentials>;

    /// When this process read its configuration.
    fn since(&self) -> DateTime<Utc>;

    /// Asks G2A for something that it shows to known accounts only.
    fn check<'a>(&'a self, credentials: &'a SupplierCredentials) -> BoxFuture<'a, Result<(), SupplierAccessError>>;

    /// Has G2A issue a token.
    fn token<'a>(
        &'a self,
        credentials: &'a SupplierCredentials,
    ) -> BoxFuture<'a, Result<IssuedToken, SupplierAccessError>>;
}

/// Why a change of G2A's credentials was refused; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum SupplierAccountError {
    /// The database refused it.
    #[error("{0}")]
    Change(#[from] ChangeError),
    /// Fields are invalid.
    #[error("Validation failed")]
    Fields(Vec<FieldError>),
    /// G2A refuses the credentials, or does not answer.
    #[error("G2A: {0}")]
    Access(#[from] SupplierAccessError),
    /// The shop is connected to G2A's other world.
    #[error("This shop is connected to G2A's {0} environment. Others are entered inactive only.")]
    OtherEnvironment(SupplierEnvironment),
    /// The account of the environment is not changed here.
    #[error("These credentials are set by G2A_API_HASH and the like. Change them there.")]
    Environment,
}

impl From<StoreError> for SupplierAccountError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

/// The way to G2A, in a form that has `Debug`.
#[derive(Clone, Default)]
pub(crate) struct SupplierWay(Option<Arc<dyn SupplierAccess>>);

impl fmt::Debug for SupplierWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SupplierWay")
    }
}

impl SupplierWay {
    pub(crate) fn new(access: Arc<dyn SupplierAccess>) -> Self {
        Self(Some(access))
    }

    fn get(&self) -> Result<&dyn SupplierAccess, SupplierAccessError> {
        let unavailable = || SupplierAccessError::Unavailable("this process has no way to G2A".to_owned());
        self.0.as_deref().ok_or_else(unavailable)
    }

    fn fixed(&self) -> Option<SupplierCredentials> {
        self.0.as_deref().and_then(SupplierAccess::fixed)
    }
}

impl BackOffice {
    /// The accounts: that of the environment, if it names one, then those that staff entered, the active one first. Who may
    /// not change them gets no client ids: events of G2A are verified with these unless there is another secret.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn supplier_accounts(&self, by: &Admin) -> lockstep_store::Result<Vec<SupplierAccount>> {
        let entered = g2a_settings::list(&self.store).await?;
        let fixed = self.fixed_account();
        let environment = match &fixed {
            Some(_) => None,
            None => self.supplier.get().ok().map(SupplierAccess::environment),
        };
        let all = fixed
            .into_iter()
            .chain(entered.into_iter().map(|account| shown(account, environment)));
        if by.may(Permission::SupplierWrite) {
            return Ok(all.collect());
        }
        Ok(all
            .map(|account| SupplierAccount {
                client_id: MASKED_PASSWORD.to_owned(),
                ..account
            })
            .collect())
    }

    /// The account that the shop buys with, or would if its secret could be opened; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn active_supplier_account(&self, by: &Admin) -> lockstep_store::Result<Option<SupplierAccount>> {
        let all = self.supplier_accounts(by).await?;
        let environment = self.supplier.get().ok().map(SupplierAccess::environment);
        Ok(all
            .into_iter()
            .find(|account| account.is_active && Some(account.environment) == environment))
    }

    /// Enters an account, or changes the one with its client id; without `is_active` it becomes the active one. Recorded in
    /// the audit log.
    ///
    /// # Errors
    /// [`SupplierAccountError`]; then nothing has changed.
    pub async fn save_supplier_account(
        &self,
        by: &Admin,
        form: SupplierAccountForm,
        now: DateTime<Utc>,
    ) -> Result<SupplierAccount, SupplierAccountError> {
        let Some(client_id) = form.client_id.clone() else {
            return Err(missing(&["clientId"]));
        };
        let form = SupplierAccountForm {
            is_active: form.is_active.or(Some(true)),
            ..form
        };
        let known = g2a_settings::list(&self.store).await?;
        let before = known.into_iter().find(|account| account.client_id == client_id);
        self.put_account(by, before, form, now).await
    }

    /// Changes an account. Recorded in the audit log.
    ///
    /// # Errors
    /// [`SupplierAccountError`]; then nothing has changed.
    pub async fn change_supplier_account(
        &self,
        by: &Admin,
        id: Uuid,
        form: SupplierAccountForm,
        now: DateTime<Utc>,
    ) -> Result<SupplierAccount, SupplierAccountError> {
        let before = self.entered_account(id).await?;
        self.put_account(by, Some(before), form, now).await
    }

    /// Deletes an account that is not the active one. Recorded in the audit log.
    ///
    /// # Errors
    /// [`SupplierAccountError`].
    pub async fn delete_supplier_account(&self, by: &Admin, id: Uuid) -> Result<(), SupplierAccountError> {
        self.refuse_fixed_account(id)?;
        Ok(g2a_settings::delete(&self.store, by.caller().user(), id).await?)
    }

    /// Has G2A issue a token for an account; `None` stands for the one in use. Recorded in the audit log.
    ///
    /// # Errors
    /// [`SupplierAccountError`].
    pub async fn supplier_token(
        &self,
        by: &Admin,
        id: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Result<SupplierToken, SupplierAccountError> {
        let (id, credentials, environment) = match (id, self.supplier.fixed()) {
            (None, Some(fixed)) => (Uuid::nil(), fixed, None),
            (Some(id), Some(fixed)) if id.is_nil() => (id, fixed, None),
            (id, _) => {
                let known = g2a_settings::list(&self.store).await?;
                let account = known
                    .into_iter()
                    .find(|account| id.map_or(account.is_active, |id| account.id == id))
                    .ok_or(ChangeError::NotFound("G2A settings"))?;
                (account.id, credentials(&account)?, Some(account.environment))
            }
        };
        let way = self.supplier.get()?;
        if environment.is_some_and(|environment| environment != way.environment()) {
            return Err(SupplierAccountError::OtherEnvironment(way.environment()));
        }
        // Recorded first: a token that nobody was told of does no harm, the other way round it would.
        g2a_settings::note_token(&self.store, by.caller().user(), id, &credentials.client_id).await?;
        let issued = way.token(&credentials).await?;
        let seconds = issued.seconds.min(u64::from(u32::MAX));
        Ok(SupplierToken {
            access_token: issued.token,
            expires_in: seconds,
            token_type: "bearer",
            environment: way.environment(),
            expires_at: now + TimeDelta::seconds(i64::try_from(seconds).unwrap_or_default()),
        })
    }

    async fn entered_account(&self, id: Uuid) -> Result<Entered, SupplierAccountError> {
        self.refuse_fixed_account(id)?;
        let known = g2a_settings::list(&self.store).await?;
        let found = known.into_iter().find(|account| account.id == id);
        Ok(found.ok_or(ChangeError::NotFound("G2A settings"))?)
    }

    async fn put_account(
        &self,
        by: &Admin,
        before: Option<Entered>,
        form: SupplierAccountForm,
        now: DateTime<Utc>,
    ) -> Result<SupplierAccount, SupplierAccountError> {
        let way = self.supplier.get()?;
        if let Some(before) = &before
            && form.version.is_some_and(|version| version != before.version)
        {
            return Err(ChangeError::Outdated("G2A settings").into());
        }
        let given = form.client_secret.clone();
        let mut new = merged(before.as_ref(), form, way.environment(), now)?;
        // Entered beside the environment's, an account can still be used for its orders when the environment names another.
        if new.is_active && way.fixed().is_some_and(|fixed| fixed.client_id == new.client_id) {
            return Err(SupplierAccountError::Environment);
        }
        if new.is_active {
            if new.environment != way.environment() {
                return Err(SupplierAccountError::OtherEnvironment(way.environment()));
            }
            if new.passed_at.is_none_or(|at| now - at >= TESTED) {
                way.check(&credentials(&new)?).await?;
                new.passed_at = Some(now);
            }
        }
        g2a_settings::put(&self.store, by.caller().user(), &new, given.as_ref(), before.as_ref()).await?;
        let saved = self.supplier_accounts(by).await?;
        let saved = saved.into_iter().find(|account| account.id == new.id);
        Ok(saved.ok_or(ChangeError::NotFound("G2A settings"))?)
    }

    fn refuse_fixed_account(&self, id: Uuid) -> Result<(), SupplierAccountError> {
        if id.is_nil() && self.supplier.fixed().is_some() {
            return Err(SupplierAccountError::Environment);
        }
        Ok(())
    }

    /// The account of the environment.
    fn fixed_account(&self) -> Option<SupplierAccount> {
        let way = self.supplier.get().ok()?;
        let fixed = way.fixed()?;
        let since = way.since();
        Some(SupplierAccount {
            id: Uuid::nil(),
            client_id: fixed.client_id,
            email: fixed.email,
            client_secret: MASKED_PASSWORD.to_owned(),
            api_key: Some(MASKED_PASSWORD.to_owned()),
            environment: way.environment(),
            is_active: true,
            in_use: true,
            source: ServerSource::Environment,
            version: 0,
            tested_at: None,
            created_at: since,
            updated_at: since,
        })
    }
}

/// The API key that follows from three credentials.
///
/// # Errors
/// [`SupplierAccountError::Fields`], also for a secret that is only its mask.
pub fn supplier_api_key(form: SupplierAccountForm) -> Result<SupplierApiKey, SupplierAccountError> {
    match (form.client_id, form.email, form.client_secret) {
        (Some(id), Some(email), Some(secret)) => Ok(SupplierApiKey {
            api_key: api_key(&id, &email, secret.expose()),
        }),
        (id, email, secret) => {
            let all = [
                ("clientId", id.is_none()),
                ("email", email.is_none()),
                ("clientSecret", secret.is_none()),
            ];
            let lacking: Vec<&'static str> = all.into_iter().filter(|(_, is)| *is).map(|(path, _)| path).collect();
            Err(missing(&lacking))
        }
    }
}

fn missing(paths: &[&'static str]) -> SupplierAccountError {
    let fault = |path: &&'static str| FieldError {
        path,
        code: "required",
        msg: "This field is required",
    };
    SupplierAccountError::Fields(paths.iter().map(fault).collect())
}

/// The credentials of a stored account.
fn credentials(account: &Entered) -> Result<SupplierCredentials, SupplierAccountError> {
    let lost = || {
        SupplierAccountError::Fields(vec![FieldError {
            path: "clientSecret",
            code: "required",
            msg: "The stored secret cannot be opened with LOCKSTEP_KEY_SECRET any more. Enter it again",
        }])
    };
    Ok(SupplierCredentials {
        client_id: account.client_id.clone(),
        email: account.email.clone(),
        client_secret: account.secret.clone().ok_or_else(lost)?,
    })
}

/// What is to be stored.
fn merged(
    before: Option<&Entered>,
    form: SupplierAccountForm,
    environment: SupplierEnvironment,
    now: DateTime<Utc>,
) -> Result<Entered, SupplierAccountError> {
    let client_id = form
        .client_id
        .or_else(|| before.map(|before| before.client_id.clone()))
        .unwrap_or_default();
    let email = form.email.or_else(|| before.map(|before| before.email.clone()));
    let has_new_secret = form.client_secret.is_some();
    let secret = form
        .client_secret
        .or_else(|| before.and_then(|before| before.secret.clone()));
    let lacking: Vec<&'static str> = [
        ("email", email.is_none()),
        ("clientSecret", before.is_none() && !has_new_secret),
    ]
    .into_iter()
    .filter(|(_, is)| *is)
    .map(|(path, _)| path)
    .collect();
    if !lacking.is_empty() {
        return Err(missing(&lacking));
    }
    let email = email.unwrap_or_default();
    if let (Some(given), Some(secret)) = (&form.api_key, &secret)
        && *given != api_key(&client_id, &email, secret.expose())
    {
        return Err(SupplierAccountError::Fields(vec![FieldError {
            path: "apiKey",
            code: "does_not_match",
            msg: "This field must be the SHA-256 of client id, e-mail address and client secret. Leave it empty",
        }]));
    }
    let is_same = before.is_some_and(|before| before.client_id == client_id && before.email == email);
    let environment = match form.environment.as_deref().and_then(SupplierEnvironment::from_name) {
        Some(given) => given,
        None => before.map_or(environment, |before| before.environment),
    };
    let is_same = is_same && before.is_some_and(|before| before.environment == environment);
    Ok(Entered {
        id: before.map_or_else(Uuid::now_v7, |before| before.id),
        version: before.map_or(0, |before| before.version),
        passed_at: before
            .filter(|_| is_same && !has_new_secret)
            .and_then(|before| before.passed_at),
        is_active: form
            .is_active
            .unwrap_or_else(|| before.is_some_and(|before| before.is_active)),
        created_at: before.map_or(now, |before| before.created_at),
        updated_at: now,
        client_id,
        email,
        secret,
        environment,
    })
}

/// `environment` is what the shop is connected to, unless another account overrides those that staff enter.
fn shown(account: Entered, environment: Option<SupplierEnvironment>) -> SupplierAccount {
    SupplierAccount {
        in_use: account.is_active && account.secret.is_some() && environment == Some(account.environment),
        id: account.id,
        client_id: account.client_id,
        email: account.email,
        client_secret: MASKED_PASSWORD.to_owned(),
        // It follows from the secret.
        api_key: account.secret.map(|_| MASKED_PASSWORD.to_owned()),
        environment: account.environment,
        is_active: account.is_active,
        source: ServerSource::Database,
        version: account.version,
        tested_at: account.passed_at,
        created_at: account.created_at,
        updated_at: account.updated_at,
    }
}
