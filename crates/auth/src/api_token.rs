//! API tokens of staff: `lsk_` and 256 random bits. Only their SHA-256 is stored.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use lockstep_domain::admin::{NewApiToken, TOKEN_PREFIX, TokenForm};
use lockstep_domain::secret::Secret;
use lockstep_store::StoreError;
use lockstep_store::acting::ActingToken;
use lockstep_store::api_tokens::{self, NewToken, TokenError};
use sha2::{Digest as _, Sha256};

use crate::current_user::{Admin, CurrentUser};
use crate::{Auth, AuthError};

/// Number of tokens that a process looks up at one time.
pub(crate) const AT_ONCE: usize = 2;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// Length of a token, in bytes.
const LENGTH: usize = TOKEN_PREFIX.len() + 43;

/// Whether the bearer of a request is meant as an API token.
pub fn is_api_token(bearer: &str) -> bool {
    bearer.starts_with(TOKEN_PREFIX)
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl Auth {
    /// Finds out for whom an API token acts, and what it permits now; the database is asked each time. The second value
    /// is for [`lockstep_store::acting::with_token`].
    ///
    /// # Errors
    /// [`AuthError::Forbidden`] for a token that is unknown, has expired or permits nothing any more; [`AuthError::Store`].
    pub async fn bearer_of_api_token(&self, token: &str) -> Result<(Admin, ActingToken), AuthError> {
        if token.len() != LENGTH {
            return Err(AuthError::Forbidden);
        }
        // Whoever sends tokens without end, valid or not, takes none of the connections that shoppers' changes need.
        let place = tokio::time::timeout(PATIENCE, self.0.api_tokens.acquire()).await;
        let _place = place.map_err(|_| StoreError::timed_out())?;
        let found = api_tokens::find(&self.0.store, &hash(token)).await?;
        let found = found.ok_or(AuthError::Forbidden)?;
        if found.permissions.is_empty() {
            return Err(AuthError::Forbidden);
        }
        if self.0.admin_second_factor && !found.owner.second_factor {
            return Err(AuthError::AdminNeedsSecondFactor);
        }
        let caller = CurrentUser::of_api_token(found.owner);
        Ok((
            Admin::with_token(caller, found.permissions, found.token.id),
            found.token,
        ))
    }

    /// Creates an API token for its creator. It permits at most what they may themselves.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn create_api_token(&self, by: &Admin, form: TokenForm) -> Result<NewApiToken, TokenError> {
        let token = format!(
            "{TOKEN_PREFIX}{}",
            BASE64_URL_SAFE_NO_PAD.encode(self.0.random.bytes::<32>())
        );
        let new = NewToken {
            hash: hash(&token),
            hint: token.chars().take(TOKEN_PREFIX.len() + 4).collect(),
            form,
        };
        let listed = api_tokens::create(&self.0.store, by.caller().user(), &new).await?;
        Ok(NewApiToken {
            listed,
            token: Secret::new(token),
        })
    }
}
