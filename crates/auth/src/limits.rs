//! Rate limits of attempts, by client address and by account.
//!
//! An address is limited because each attempt costs work; an account is limited because each attempt is a guess. A
//! limit on an account must not allow an attacker to lock its owner out. So a correct password costs nothing; a client
//! from a network in which the owner has logged in recently has its own allowance, which clients elsewhere cannot use
//! up; and the use of a reset link, which only the owner receives, makes the client's network such a network.

use std::time::Duration;

use lockstep_domain::account::Email;
use lockstep_domain::ids::UserId;
use lockstep_domain::limit::Rule;
use lockstep_store::Store;
use lockstep_store::limits::{self, Limit, LimitError};
use lockstep_store::sessions::ClientInfo;
use lockstep_vault::Keys;

use crate::AuthError;

/// What is limited, and how often it may be attempted.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    /// Its name in the table of limits.
    name: &'static str,
    /// The limit per address, generous enough for an office that shares one; `None`: limited by account only.
    by_address: Option<Rule>,
    /// The limit per account.
    by_account: Rule,
}

impl Action {
    /// An action that is limited by address and by account.
    pub const fn new(name: &'static str, by_address: Rule, by_account: Rule) -> Self {
        Self {
            name,
            by_address: Some(by_address),
            by_account,
        }
    }

    /// An action of a client without an account.
    pub const fn of_address(name: &'static str, rule: Rule) -> Self {
        Self::new(name, rule, rule)
    }

    /// An action of a signed-in user, from any address.
    pub const fn of_account(name: &'static str, by_account: Rule) -> Self {
        Self {
            name,
            by_address: None,
            by_account,
        }
    }

    pub(crate) const LOGIN: Self = Self::new("login", Rule::new(30, 5), Rule::new(10, 60));
    pub(crate) const REGISTER: Self = Self::new("register", Rule::new(10, 60), Rule::new(5, 600));
    // Each sends an e-mail to the owner of the address.
    pub(crate) const ASK_FOR_RESET: Self = Self::new("ask-for-reset", Rule::new(10, 60), Rule::new(3, 300));
    pub(crate) const USE_RESET: Self = Self::new("use-reset", Rule::new(20, 10), Rule::new(10, 60));
    pub(crate) const ASK_FOR_VERIFICATION: Self =
        Self::new("ask-for-verification", Rule::new(10, 60), Rule::new(3, 300));
    pub(crate) const VERIFY: Self = Self::new("verify", Rule::new(20, 10), Rule::new(10, 60));
    /// Any action that asks a signed-in user for the password.
    pub(crate) const PASSWORD: Self = Self::new("password", Rule::new(30, 5), Rule::new(10, 60));
    // Three codes in a million are valid at any moment.
    pub(crate) const SECOND_FACTOR: Self = Self::new("second-factor", Rule::new(30, 5), Rule::new(5, 300));
}

/// Attempts that were counted, to be given back if they were not guesses.
#[derive(Debug)]
pub struct Attempt(Vec<Limit>);

/// The account that an attempt concerns.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'a> {
    Address(&'a Email),
    User(UserId),
}

/// The rate limits, or none (load tests and acceptance tests come from one address).
#[derive(Clone)]
pub struct RateLimits {
    store: Store,
    keys: Keys,
    on: bool,
}

impl RateLimits {
    pub(crate) fn new(store: Store, keys: Keys, on: bool) -> Self {
        Self { store, keys, on }
    }

    fn address(action: Action, device: &ClientInfo) -> Option<Limit> {
        let rule = action.by_address?;
        // A client without a known address is not limited by address: all such clients would share one allowance.
        let address = match device.address()? {
            std::net::IpAddr::V4(v4) => v4.to_string(),
            std::net::IpAddr::V6(_) => device.network()?,
        };
        Some(Limit {
            key: format!("{}:address:{address}", action.name),
            rule,
        })
    }

    /// The key is a keyed hash: the table of limits does not reveal whose accounts are attacked.
    fn account(&self, action: Action, subject: Subject<'_>, place: Option<&str>) -> Limit {
        let hash = match subject {
            // One account, however its accents are typed.
            Subject::Address(email) => self.keys.hash("limit", &[b"email", email.composed().as_bytes()]),
            Subject::User(user) => self.keys.hash("limit", &[b"user", user.0.as_bytes()]),
        };
        let hash = hex::encode(hash.get(..16).unwrap_or_default());
        let key = match place {
            None => format!("{}:account:{hash}", action.name),
            Some(place) => format!("{}:account:{hash}:from:{place}", action.name),
        };
        Limit {
            key,
            rule: action.by_account,
        }
    }

    async fn take_all(&self, limits: Vec<Limit>) -> Result<(), AuthError> {
        if !self.on || limits.is_empty() {
            return Ok(());
        }
        limits::take(&self.store, &limits).await.map_err(|error| match error {
            LimitError::Refused { retry_after, .. } => AuthError::RateLimited {
                retry_after: at_least_a_second(retry_after),
            },
            LimitError::Store(error) => AuthError::Store(error),
        })
    }

    /// Counts an attempt against the address only.
    ///
    /// # Errors
    /// [`AuthError::RateLimited`], [`AuthError::Store`].
    pub async fn take_address(&self, action: Action, device: &ClientInfo) -> Result<(), AuthError> {
        self.take_all(Self::address(action, device).into_iter().collect()).await
    }

    /// Counts one attempt of each action against a user only, from any address; if one refuses, none.
    ///
    /// # Errors
    /// [`AuthError::RateLimited`], [`AuthError::Store`].
    pub async fn take_user(&self, actions: &[Action], user: UserId) -> Result<(), AuthError> {
        self.take_all(self.of_user(actions, user)).await
    }

    /// Counts something that sends an e-mail to `recipient` against the client's address and against the recipient; if either
    /// refuses, against neither.
    ///
    /// # Errors
    /// [`AuthError::RateLimited`], [`AuthError::Store`].
    pub async fn take_recipient(
        &self,
        action: Action,
        device: &ClientInfo,
        recipient: &Email,
    ) -> Result<(), AuthError> {
        self.take(action, device, Subject::Address(recipient)).await
    }

    /// Gives back one attempt of an action of a user.
    pub async fn give_back_user(&self, action: Action, user: UserId) {
        self.give_back(&Attempt(self.of_user(&[action], user))).await;
    }

    fn of_user(&self, actions: &[Action], user: UserId) -> Vec<Limit> {
        let limit = |action: &Action| self.account(*action, Subject::User(user), None);
        actions.iter().map(limit).collect()
    }

    /// Counts an attempt against both the address and the account; if either refuses, against neither.
    pub(crate) async fn take(
        &self,
        action: Action,
        device: &ClientInfo,
        subject: Subject<'_>,
    ) -> Result<(), AuthError> {
        self.take_both(action, device, subject).await.map(|_| ())
    }

    /// Counts a guess of a user against the address and the account; if either refuses, against neither. A right guess
    /// is [given back](Self::give_back).
    ///
    /// # Errors
    /// [`AuthError::RateLimited`], [`AuthError::Store`].
    pub async fn take_guess(&self, action: Action, device: &ClientInfo, user: UserId) -> Result<Attempt, AuthError> {
        self.take_both(action, device, Subject::User(user)).await
    }

    async fn take_both(&self, action: Action, device: &ClientInfo, subject: Subject<'_>) -> Result<Attempt, AuthError> {
        let account = self.account(action, subject, None);
        let limits: Vec<Limit> = Self::address(action, device).into_iter().chain([account]).collect();
        self.take_all(limits.clone()).await?;
        Ok(Attempt(limits))
    }

    /// Counts an attempt against the account only. A client in a known network has its own allowance after the common
    /// one is used up. Returns the attempt, to be given back if the password is correct.
    pub(crate) async fn take_account(
        &self,
        action: Action,
        device: &ClientInfo,
        subject: Subject<'_>,
        known_place: bool,
    ) -> Result<Attempt, AuthError> {
        let common = self.account(action, subject, None);
        match (self.take_all(vec![common.clone()]).await, device.network()) {
            (Ok(()), _) => Ok(Attempt(vec![common])),
            (Err(AuthError::RateLimited { .. }), Some(place)) if known_place => {
                let own = self.account(action, subject, Some(&place));
                self.take_all(vec![own.clone()]).await.map(|()| Attempt(vec![own]))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Gives an attempt back: a correct password costs nothing. A failure only means that the owner has one attempt
    /// less.
    pub async fn give_back(&self, attempt: &Attempt) {
        for limit in attempt.0.iter().filter(|_| self.on) {
            if let Err(error) = limits::give_back(&self.store, limit).await {
                tracing::warn!(%error, "an attempt could not be refunded to its rate limit");
            }
        }
    }
}

impl std::fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimits")
            .field("on", &self.on)
            .finish_non_exhaustive()
    }
}

fn at_least_a_second(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(Duration::from_secs(1))
}
