//! Authentication: accounts, logins and sessions as complete use cases, one call each.
//!
//! [`Auth`] is the interface for endpoints. It checks rate limits first, runs bcrypt on its own threads, makes every
//! change in one transaction of `lockstep_store`, and returns views of the HTTP contract (`docs/http-api.md`) or an
//! [`AuthError`].
//!
//! A token alone is not sufficient: each request is checked against the row of its session, so a logout, a password
//! change or a role change applies from the next request on. Only [`Auth::authenticate`] and [`Auth::admin`] return a
//! [`CurrentUser`] or an [`Admin`]; an endpoint that skips the check has nothing to pass on.

mod api_token;
mod code;
pub mod cookies;
mod error;
pub mod guest_token;
mod hs256;
mod impersonation;
pub mod limits;
pub mod password;
mod recovery;
mod secrets;
mod token;
pub mod totp;

mod account;
mod current_user;
mod login;

use std::sync::Arc;
use std::time::Duration;

use lockstep_clock::{Clock, Random};
use lockstep_store::Store;
use tokio::sync::Semaphore;

pub use api_token::is_api_token;
pub use code::{RESET_LIFETIME, VERIFICATION_LIFETIME, verification_code};
pub use current_user::{Admin, CurrentUser};
pub use error::AuthError;
pub use impersonation::ImpersonationToken;
pub use lockstep_store::accounts::AccountError;
pub use lockstep_store::acting::{ActingToken, as_customer, with_token};
pub use lockstep_store::api_tokens::TokenError as ApiTokenError;
pub use lockstep_store::impersonations::ImpersonationError;
pub use lockstep_store::sessions::ClientInfo;
pub use lockstep_vault::{Keys, Unreadable};
pub use recovery::RECOVERY_CODES;
pub use secrets::{MIN_SECRET_CHARS, SecretError, TokenSecrets};
pub use token::{Claims, Kind, TokenError, Tokens};

use crate::limits::RateLimits;
use crate::password::{HashSettings, Hasher};

/// Settings of authentication.
#[derive(Clone)]
pub struct Settings {
    /// Secrets that sign tokens.
    pub secrets: TokenSecrets,
    /// Keys of hashes and authenticator secrets.
    pub keys: Keys,
    /// Settings of password hashing.
    pub hashing: HashSettings,
    /// Lifetime of an access token; 7 days in the HTTP contract (`docs/http-api.md`).
    pub access_lifetime: Duration,
    /// Lifetime of a refresh token; 30 days in the HTTP contract.
    pub refresh_lifetime: Duration,
    /// How long a replaced refresh token still returns its successor. Long enough for the tabs of a browser and for a
    /// repeated request; short, because a thief has the same time.
    pub refresh_grace: Duration,
    /// Whether attempts are rate-limited. Only tests, which come from one address, turn it off.
    pub limits: bool,
    /// Whether administrators need a second factor (in production).
    pub admin_second_factor: bool,
    /// Name of the shop in authenticator apps.
    pub issuer: String,
    /// Response time of a request for a reset link, with and without an account.
    pub reset_time: Duration,
    /// The time at which tokens are issued and expire, and of authenticator codes. The system's by default.
    pub clock: Clock,
    /// The source of codes, links and recovery codes. The system's by default.
    pub random: Random,
}

impl Settings {
    /// Returns the lifetimes and costs of the HTTP contract, with rate limits and two-factor authentication for
    /// administrators.
    pub fn new(secrets: TokenSecrets, keys: Keys) -> Self {
        Self {
            secrets,
            keys,
            hashing: HashSettings::default(),
            access_lifetime: Duration::from_hours(7 * 24),
            refresh_lifetime: Duration::from_hours(30 * 24),
            refresh_grace: Duration::from_mins(1),
            limits: true,
            admin_second_factor: true,
            issuer: "Lockstep".to_owned(),
            reset_time: Duration::from_millis(300),
            clock: Clock::system(),
            random: Random::system(),
        }
    }
}

/// All authentication use cases. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    store: Store,
    hasher: Hasher,
    tokens: Tokens,
    keys: Keys,
    limits: RateLimits,
    refresh_grace: Duration,
    admin_second_factor: bool,
    issuer: String,
    reset_time: Duration,
    clock: Clock,
    random: Random,
    /// Places for look-ups of API tokens.
    api_tokens: Semaphore,
}

impl Auth {
    /// Starts the hashing threads.
    ///
    /// # Errors
    /// If the operating system cannot start a thread, or bcrypt's cost is outside 4 to 31.
    pub fn start(store: Store, settings: Settings) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Inner {
            hasher: Hasher::start(settings.hashing)?,
            tokens: Tokens::new(&settings.secrets, settings.access_lifetime, settings.refresh_lifetime),
            limits: RateLimits::new(store.clone(), settings.keys.clone(), settings.limits),
            keys: settings.keys,
            store,
            refresh_grace: settings.refresh_grace,
            admin_second_factor: settings.admin_second_factor,
            issuer: settings.issuer,
            reset_time: settings.reset_time,
            clock: settings.clock,
            random: settings.random,
            api_tokens: Semaphore::new(api_token::AT_ONCE),
        })))
    }

    /// The rate limits, for the use cases of other crates.
    pub fn limits(&self) -> &RateLimits {
        &self.0.limits
    }

    /// Returns the number of bcrypt runs, for the metrics.
    pub fn hashes(&self) -> u64 {
        self.0.hasher.runs()
    }
}
