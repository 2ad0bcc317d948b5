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

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Login,
    Register,
    AskForReset,
    UseReset,
    AskForVerification,
    Verify,
    /// Any action that asks a signed-in user for the password.
    Password,
    SecondFactor,
    NewGuest,
    Order,
    TopUp,
    Export,
    /// An export in progress.
    OpenExport,
    /// An invalid promo code: each is a guess.
    PromoCode,
    /// An uploaded picture of the account, which is scaled and stored.
    Picture,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Register => "register",
            Self::AskForReset => "ask-for-reset",
            Self::UseReset => "use-reset",
            Self::AskForVerification => "ask-for-verification",
            Self::Verify => "verify",
            Self::Password => "password",
            Self::SecondFactor => "second-factor",
            Self::NewGuest => "new-guest",
            Self::Order => "order",
            Self::TopUp => "top-up",
            Self::Export => "export",
            Self::OpenExport => "open-export",
            Self::PromoCode => "promo-code",
            Self::Picture => "picture",
        }
    }

    /// The limit per address, generous enough for an office that shares one.
    const fn by_address(self) -> Rule {
        match self {
            Self::Login | Self::Password | Self::SecondFactor | Self::PromoCode => Rule::new(30, 5),
            Self::Register | Self::AskForReset | Self::AskForVerification => Rule::new(10, 60),
            Self::UseReset | Self::Verify => Rule::new(20, 10),
            Self::NewGuest => Rule::new(60, 2),
            // Limited by account only.
            Self::Order | Self::TopUp | Self::Export | Self::OpenExport | Self::Picture => Rule::new(60, 1),
        }
    }

    /// The limit per account.
    const fn by_account(self) -> Rule {
        match self {
            Self::Login
            | Self::Password
            | Self::UseReset
            | Self::Verify
            | Self::NewGuest
            | Self::PromoCode
            | Self::Picture => Rule::new(10, 60),
            Self::Register => Rule::new(5, 600),
            // Thirty per minute: more than a person needs, fewer than a faulty script sends.
            Self::Order | Self::TopUp => Rule::new(30, 2),
            // An export reads everything stored about the account.
            Self::Export => Rule::new(5, 720),
            // One at a time across all processes. It is given back when the export ends or, if that process dies, after
            // the maximum duration of an export.
            Self::OpenExport => Rule::new(1, EXPORT_SECONDS),
            // Each sends an e-mail to the owner of the address.
            Self::AskForReset | Self::AskForVerification => Rule::new(3, 300),
            // Three codes in a million are valid at any moment.
            Self::SecondFactor => Rule::new(5, 300),
        }
    }
}

/// Maximum duration of an export, in seconds.
pub(crate) const EXPORT_SECONDS: u64 = 600;

/// The account that an attempt concerns.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'a> {
    Address(&'a Email),
    User(UserId),
}

/// The rate limits, or none (load tests and acceptance tests come from one address).
#[derive(Clone)]
pub(crate) struct Limits {
    store: Store,
    keys: Keys,
    on: bool,
}

impl Limits {
    pub(crate) fn new(store: Store, keys: Keys, on: bool) -> Self {
        Self { store, keys, on }
    }

    fn address(action: Action, device: &ClientInfo) -> Option<Limit> {
        // A client without a known address is not limited by address: all such clients would share one allowance.
        let address = match device.address()? {
            std::net::IpAddr::V4(v4) => v4.to_string(),
            std::net::IpAddr::V6(_) => device.network()?,
        };
        Some(Limit {
            key: format!("{}:address:{address}", action.name()),
            rule: action.by_address(),
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
            None => format!("{}:account:{hash}", action.name()),
            Some(place) => format!("{}:account:{hash}:from:{place}", action.name()),
        };
        Limit {
            key,
            rule: action.by_account(),
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
    pub(crate) async fn take_address(&self, action: Action, device: &ClientInfo) -> Result<(), AuthError> {
        self.take_all(Self::address(action, device).into_iter().collect()).await
    }

    /// Counts an attempt against a user only, from any address.
    pub(crate) async fn take_user(&self, action: Action, user: UserId) -> Result<(), AuthError> {
        let limit = self.account(action, Subject::User(user), None);
        self.take_all(vec![limit]).await
    }

    /// Counts the start of an export. Fails if there were too many or another one is running. The returned limit must
    /// be given back when the export ends.
    pub(crate) async fn take_export(&self, user: UserId) -> Result<Limit, AuthError> {
        let [open, often] =
            [Action::OpenExport, Action::Export].map(|action| self.account(action, Subject::User(user), None));
        self.take_all(vec![open.clone(), often]).await?;
        Ok(open)
    }

    /// Counts an attempt against both the address and the account; if either refuses, against neither.
    pub(crate) async fn take(
        &self,
        action: Action,
        device: &ClientInfo,
        subject: Subject<'_>,
    ) -> Result<(), AuthError> {
        let account = self.account(action, subject, None);
        self.take_all(Self::address(action, device).into_iter().chain([account]).collect())
            .await
    }

    /// Counts an attempt like [`take`](Self::take) and returns the limits, to be given back.
    pub(crate) async fn take_guess(
        &self,
        action: Action,
        device: &ClientInfo,
        user: UserId,
    ) -> Result<Vec<Limit>, AuthError> {
        let account = self.account(action, Subject::User(user), None);
        let limits: Vec<Limit> = Self::address(action, device).into_iter().chain([account]).collect();
        self.take_all(limits.clone()).await?;
        Ok(limits)
    }

    /// Counts an attempt against the account only. A client in a known network has its own allowance after the common
    /// one is used up. Returns the limit, to be given back if the password is correct.
    pub(crate) async fn take_account(
        &self,
        action: Action,
        device: &ClientInfo,
        subject: Subject<'_>,
        known_place: bool,
    ) -> Result<Limit, AuthError> {
        let common = self.account(action, subject, None);
        match (self.take_all(vec![common.clone()]).await, device.network()) {
            (Ok(()), _) => Ok(common),
            (Err(AuthError::RateLimited { .. }), Some(place)) if known_place => {
                let own = self.account(action, subject, Some(&place));
                self.take_all(vec![own.clone()]).await.map(|()| own)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Gives an attempt back: a correct password costs nothing. A failure only means that the owner has one attempt
    /// less.
    pub(crate) async fn give_back(&self, limit: &Limit) {
        if self.on
            && let Err(error) = limits::give_back(&self.store, limit).await
        {
            tracing::warn!(%error, "an attempt could not be refunded to its rate limit");
        }
    }
}

fn at_least_a_second(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(Duration::from_secs(1))
}
