//! How staff's credentials are tested at G2A, and tokens are had from it: with a client of its own for each question, whose
//! breaker and retries do not touch those of the worker, within the shop's request budget.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use lockstep_admin::{IssuedToken, SupplierAccess, SupplierAccessError, SupplierCredentials};
use lockstep_domain::admin::SupplierEnvironment;
use lockstep_domain::error_chain;
use lockstep_g2a::{Auth, Client, Error, Limits, NotSent, ProductQuery, TokenFailure};
use lockstep_store::Store;
use lockstep_sync::StoreBudget;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::accounts::{auth_of, token_url};
use super::running_sandbox;
use crate::config::{Config, Supplier as Configured};

/// Time limit of a question: the request itself has ten seconds.
const PATIENCE: Duration = Duration::from_secs(8);
/// Number of questions at the same time.
const MOST_AT_ONCE: usize = 4;
/// Maximum length of G2A's reason, in characters.
const MOST_REASON: usize = 200;

/// How long a token is taken to be valid when G2A does not say it.
const UNSTATED: Duration = Duration::from_mins(5);

/// This process's way to G2A.
pub(crate) struct Access {
    config: Config,
    limits: Limits,
    store: Store,
    since: DateTime<Utc>,
    questions: Semaphore,
}

impl Access {
    pub(crate) fn new(config: &Config, limits: Limits, store: Store) -> Self {
        Self {
            since: config.clock.now(),
            config: config.clone(),
            limits,
            store,
            questions: Semaphore::new(MOST_AT_ONCE),
        }
    }

    async fn url(&self) -> Result<String, SupplierAccessError> {
        match &self.config.supplier {
            Configured::Account { url, .. } | Configured::Stored { url, .. } => Ok(url.clone()),
            Configured::Sandbox => running_sandbox(&self.config.sandbox_address_file())
                .await
                .ok_or_else(|| SupplierAccessError::Unavailable("the built-in sandbox is not running".to_owned())),
        }
    }

    fn turn(&self) -> Result<SemaphorePermit<'_>, SupplierAccessError> {
        self.questions.try_acquire().map_err(|_| SupplierAccessError::Busy)
    }

    fn client(&self, url: &str, credentials: &SupplierCredentials) -> Result<Client, SupplierAccessError> {
        let SupplierCredentials {
            client_id,
            email,
            client_secret,
        } = credentials;
        let auth: Auth = auth_of(&self.config.supplier, url, client_id, email, client_secret.clone());
        let mut settings = lockstep_g2a::Config::new(url, auth);
        settings.timeout = Duration::from_secs(5);
        settings.budget_timeout = Duration::from_secs(2);
        settings.concurrency = 1;
        settings.retry.attempts = 1;
        settings.clock = self.config.clock.clone();
        settings.random = self.config.random.clone();
        let budget = Arc::new(StoreBudget::new(self.store.clone(), self.limits));
        Client::new(settings, budget).map_err(|error| SupplierAccessError::Refused(error.to_string()))
    }

    async fn ask(&self, credentials: &SupplierCredentials) -> Result<(), SupplierAccessError> {
        let _turn = self.turn()?;
        let client = self.client(&self.url().await?, credentials)?;
        let query = ProductQuery {
            page: 1,
            ..ProductQuery::default()
        };
        match tokio::time::timeout(PATIENCE, client.products(&query)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(judge(&error)),
            Err(_) => Err(too_slow()),
        }
    }

    async fn issue(&self, credentials: &SupplierCredentials) -> Result<IssuedToken, SupplierAccessError> {
        let _turn = self.turn()?;
        let url = self.url().await?;
        let client = self.client(&url, credentials)?;
        let (id, address) = (lockstep_domain::Secret::new(&credentials.client_id), token_url(&url));
        let asked = client.access_token(&address, &id, &credentials.client_secret);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(issued)) => Ok(IssuedToken {
                token: issued.token,
                seconds: issued.lifetime.unwrap_or(UNSTATED).as_secs(),
            }),
            Ok(Err(failure @ TokenFailure::Refused { .. })) => Err(SupplierAccessError::Refused(failure.to_string())),
            Ok(Err(failure)) => Err(SupplierAccessError::Unavailable(failure.to_string())),
            Err(_) => Err(too_slow()),
        }
    }
}

impl SupplierAccess for Access {
    fn environment(&self) -> SupplierEnvironment {
        self.config.supplier.environment(self.config.production)
    }

    fn fixed(&self) -> Option<SupplierCredentials> {
        let Configured::Account { auth, .. } = &self.config.supplier else {
            return None;
        };
        let (client_id, email, secret) = match auth {
            Auth::Hash {
                api_hash,
                email,
                secret,
            } => (api_hash, email.clone(), secret),
            Auth::OAuth {
                client_id,
                client_secret,
                ..
            } => (client_id, String::new(), client_secret),
        };
        Some(SupplierCredentials {
            client_id: client_id.expose().to_owned(),
            email,
            client_secret: secret.clone(),
        })
    }

    fn since(&self) -> DateTime<Utc> {
        self.since
    }

    fn check<'a>(&'a self, credentials: &'a SupplierCredentials) -> BoxFuture<'a, Result<(), SupplierAccessError>> {
        self.ask(credentials).boxed()
    }

    fn token<'a>(
        &'a self,
        credentials: &'a SupplierCredentials,
    ) -> BoxFuture<'a, Result<IssuedToken, SupplierAccessError>> {
        self.issue(credentials).boxed()
    }
}

fn too_slow() -> SupplierAccessError {
    SupplierAccessError::Unavailable("it does not answer in time".to_owned())
}

/// What an error of the client says about the credentials. Its texts hold no secret.
fn judge(error: &Error) -> SupplierAccessError {
    let is_refusal = match error {
        Error::Refused { status, .. } => (400..500).contains(status) && *status != 429,
        Error::NotSent { reason, .. } => matches!(
            reason,
            NotSent::Token(TokenFailure::Refused { .. }) | NotSent::NoCredentials | NotSent::Argument(_)
        ),
        Error::TokenRejected { .. } => true,
        _ => false,
    };
    let reason = error_chain(error).chars().take(MOST_REASON).collect();
    if is_refusal {
        SupplierAccessError::Refused(reason)
    } else {
        SupplierAccessError::Unavailable(reason)
    }
}
