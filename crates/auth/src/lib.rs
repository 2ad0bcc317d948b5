//! Who is asking: accounts, log-ins and sessions as complete use cases, one call each.
//!
//! [`Auth`] is what endpoints talk to. It checks limits first, does bcrypt's work on threads of its own, leaves every
//! change to one transaction in `lockstep_store`, and answers with the contract's views or an [`AuthError`].
//!
//! A token alone proves little here: each request is held against the session's row, so that logging out, changing the
//! password and changing a role count from the next request on. [`Caller`] and [`Admin`] can only be had from
//! [`Auth::authenticate`] and [`Auth::admin`]; an endpoint that forgot to ask has nothing to pass on.

mod code;
pub mod cookies;
mod device;
mod error;
pub mod guest_token;
mod hs256;
mod limits;
pub mod password;
mod recovery;
mod secrets;
mod token;
pub mod totp;

mod account;
mod caller;
mod signing_in;

use std::sync::Arc;
use std::time::Duration;

use lockstep_domain::cart::CartLimits;
use lockstep_store::Store;

pub use caller::{Admin, Caller};
pub use code::{RESET_LIFETIME, VERIFICATION_LIFETIME, verification_code};
pub use device::device;
pub use error::AuthError;
pub use lockstep_store::sessions::Device;
pub use lockstep_vault::{Keys, Unreadable};
pub use recovery::RECOVERY_CODES;
pub use secrets::{MIN_SECRET_CHARS, SecretError, TokenSecrets};
pub use signing_in::{LONGEST_EXPORT, MovedIn, OpenExport, PromoAttempt, SignedIn};
pub use token::{Claims, Kind, TokenError, Tokens};

use crate::limits::Limits;
use crate::password::{HashSettings, Hasher};

/// How accounts are guarded.
#[derive(Clone)]
pub struct Settings {
    /// What tokens are signed with.
    pub secrets: TokenSecrets,
    /// The key of hashes and authenticators.
    pub keys: Keys,
    /// How passwords are hashed.
    pub hashing: HashSettings,
    /// How long an access token is good for; 7 days in the contract.
    pub access_lifetime: Duration,
    /// How long a refresh token is good for; 30 days in the contract.
    pub refresh_lifetime: Duration,
    /// How long a refresh token that was just replaced still answers its successor. Long enough for the tabs of one
    /// browser and for a repeated request; short, because a thief has the same time.
    pub refresh_grace: Duration,
    /// Whether attempts are limited. Only tests from one address have a reason to say no.
    pub limits: bool,
    /// Whether an admin needs a second factor (in production).
    pub admin_second_factor: bool,
    /// How much fits into the cart that a guest's is moved into.
    pub cart: CartLimits,
    /// The shop's name, as authenticators show it.
    pub issuer: String,
    /// How long asking for a reset link takes, with an account and without one.
    pub reset_time: Duration,
}

impl Settings {
    /// The contract's lives and costs, limits on, admins with a second factor.
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
            cart: CartLimits::default(),
            issuer: "Lockstep".to_owned(),
            reset_time: Duration::from_millis(300),
        }
    }
}

/// Everything about who is asking. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    store: Store,
    hasher: Hasher,
    tokens: Tokens,
    keys: Keys,
    limits: Limits,
    refresh_grace: Duration,
    admin_second_factor: bool,
    cart: CartLimits,
    issuer: String,
    reset_time: Duration,
}

impl Auth {
    /// Starts the hashing threads.
    ///
    /// # Errors
    /// When the operating system gives no thread, or bcrypt's cost is outside 4 to 31.
    pub fn start(store: Store, settings: Settings) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Inner {
            hasher: Hasher::start(settings.hashing)?,
            tokens: Tokens::new(&settings.secrets, settings.access_lifetime, settings.refresh_lifetime),
            limits: Limits::new(store.clone(), settings.keys.clone(), settings.limits),
            keys: settings.keys,
            store,
            refresh_grace: settings.refresh_grace,
            admin_second_factor: settings.admin_second_factor,
            cart: settings.cart,
            issuer: settings.issuer,
            reset_time: settings.reset_time,
        })))
    }

    /// How many times bcrypt has run, for the metrics.
    pub fn hashes(&self) -> u64 {
        self.0.hasher.runs()
    }
}
