//! The accounts that calls are made for. One is in use; the others are those that earlier orders belong to.
//!
//! An order at G2A belongs to the account that placed it: with the credentials of another, it cannot be paid, and the key
//! of a paid one cannot be fetched. So a call about an order is made for its account, also after another one was put to
//! use. New credentials of an account replace its old ones at once, with the token that was fetched with these; a call
//! that has been signed keeps its signature.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Client, Inner};
use crate::auth::{Authorization, TokenCache, hash_header, secret_header};
use crate::config::{Auth, ConfigError};
use crate::error::{NotSent, TokenFailure};
use lockstep_domain::Secret;

/// How calls are signed.
pub(super) enum Signer {
    Fixed(Authorization),
    Bearer {
        tokens: TokenCache,
        token_url: String,
        client_id: Secret,
        client_secret: Secret,
    },
}

/// An account with its credentials.
pub(super) struct Access {
    /// [`Auth::account`].
    account: String,
    pub(super) signer: Signer,
}

impl Access {
    fn of(auth: &Auth) -> Result<Arc<Self>, ConfigError> {
        auth.validate()?;
        let signer = match auth {
            Auth::Hash {
                api_hash,
                email,
                secret,
            } => {
                let header = secret_header(&hash_header(api_hash.expose(), email, secret.expose()));
                Signer::Fixed(Authorization::fixed(header.ok_or(ConfigError::Credential("API hash"))?))
            }
            Auth::OAuth {
                token_url,
                client_id,
                client_secret,
            } => Signer::Bearer {
                tokens: TokenCache::default(),
                token_url: token_url.clone(),
                client_id: client_id.clone(),
                client_secret: client_secret.clone(),
            },
        };
        Ok(Arc::new(Self {
            account: auth.account(),
            signer,
        }))
    }
}

/// The account that a handle makes its calls for.
#[derive(Clone)]
pub(super) enum Account {
    /// The one in use when a call is made.
    InUse,
    /// This one.
    Of(Arc<Access>),
    /// One whose credentials were not known when the handle was made; its mark. Its calls fail: any other account would be
    /// told that there is no such order.
    Unknown(String),
}

/// The account in use and the others.
pub(super) struct Accounts {
    current: Option<Arc<Access>>,
    others: HashMap<String, Arc<Access>>,
}

impl Accounts {
    pub(super) fn of(current: Option<&Auth>, others: &[Auth]) -> Result<Self, ConfigError> {
        let others = others.iter().map(|auth| Ok((auth.account(), Access::of(auth)?)));
        Ok(Self {
            current: current.map(Access::of).transpose()?,
            others: others.collect::<Result<_, _>>()?,
        })
    }
}

/// A bearer token of G2A.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token.
    pub token: Secret,
    /// How long it is valid, as G2A says.
    pub lifetime: Option<Duration>,
}

impl Inner {
    fn current(&self) -> Option<Arc<Access>> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.current.clone()
    }

    /// The credentials that a call is made with.
    pub(super) fn access(&self, account: &Account) -> Result<Arc<Access>, NotSent> {
        match account {
            Account::InUse => self.current().ok_or(NotSent::NoCredentials),
            Account::Of(access) => Ok(Arc::clone(access)),
            Account::Unknown(mark) => Err(NotSent::UnknownAccount(mark.clone())),
        }
    }
}

impl Client {
    /// Makes calls for the account `current` from now on, and calls about earlier orders of the accounts `others` for
    /// these. Applies to all clones. With `None`, calls fail with
    /// [`NotSent::NoCredentials`].
    ///
    /// # Errors
    /// [`ConfigError`], which names the invalid credential; then nothing has changed.
    pub fn set_accounts(&self, current: Option<&Auth>, others: &[Auth]) -> Result<(), ConfigError> {
        let accounts = Accounts::of(current, others)?;
        *self.inner.accounts.write().unwrap_or_else(PoisonError::into_inner) = accounts;
        Ok(())
    }

    /// A handle that keeps making calls for the account that is in use now.
    #[must_use]
    pub fn pinned(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            account: match &self.account {
                Account::InUse => self.inner.current().map_or(Account::InUse, Account::Of),
                account => account.clone(),
            },
        }
    }

    /// A handle for calls about an order of the account with this mark; `None`: the one in use. Calls for an account that is
    /// neither the one in use nor among the others fail with [`NotSent::UnknownAccount`].
    #[must_use]
    pub fn of_account(&self, account: Option<&str>) -> Self {
        let accounts = self.inner.accounts.read().unwrap_or_else(PoisonError::into_inner);
        Self {
            inner: Arc::clone(&self.inner),
            account: match account {
                None => Account::InUse,
                Some(mark) => {
                    let current = accounts.current.as_ref().filter(|current| current.account == mark);
                    let access = current.or_else(|| accounts.others.get(mark)).cloned();
                    access.map_or_else(|| Account::Unknown(mark.to_owned()), Account::Of)
                }
            },
        }
    }

    /// The mark of the account that calls are made for; `None` without credentials.
    pub fn account(&self) -> Option<String> {
        let access = self.inner.access(&self.account).ok();
        access.map(|access| access.account.clone())
    }

    /// Fetches a bearer token with these credentials, and keeps none. Takes one call of the request budget.
    ///
    /// # Errors
    /// [`TokenFailure`].
    pub async fn access_token(
        &self,
        token_url: &str,
        client_id: &Secret,
        client_secret: &Secret,
    ) -> Result<AccessToken, TokenFailure> {
        let granted = self.inner.acquire_permit(crate::CallClass::Catalogue).await;
        let _permit = granted.map_err(|_| TokenFailure::Unavailable)?;
        let (token, seconds) = self.inner.fetch_token(token_url, client_id, client_secret).await?;
        Ok(AccessToken {
            token,
            lifetime: seconds.map(Duration::from_secs),
        })
    }
}
