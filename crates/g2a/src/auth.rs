//! Authentication: the `Authorization` header in both of its forms.
//!
//! The bearer token is fetched once for all waiting calls, replaced before it expires, and dropped when G2A refuses it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::HeaderValue;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::TokenFailure;
use lockstep_domain::Secret;

/// Lifetime assumed for a token that does not state one.
const UNSTATED_LIFETIME: Duration = Duration::from_mins(5);
/// Maximum time that a token is kept, whatever lifetime it states.
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);
/// Time before expiry at which a token is replaced; a fifth of its lifetime if that is shorter.
const MARGIN: Duration = Duration::from_mins(1);

/// Builds the documented header: hash, comma, blank, and the lower-case hex SHA-256 of hash, e-mail and secret
/// concatenated.
pub(crate) fn hash_header(api_hash: &str, email: &str, secret: &str) -> String {
    let digest = Sha256::new()
        .chain_update(api_hash)
        .chain_update(email)
        .chain_update(secret)
        .finalize();
    format!("{api_hash}, {}", hex::encode(digest))
}

/// Builds a header value that is marked sensitive, so that logs hide it. `None` if `text` has characters that are
/// invalid in headers.
pub(crate) fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Age at which a token is replaced.
fn replaced_after(lifetime: Duration) -> Duration {
    lifetime.saturating_sub(MARGIN.min(lifetime / 5))
}

/// The `Authorization` header of a call and the number of the token in it.
#[derive(Clone)]
pub(crate) struct Authorization {
    pub(crate) header: HeaderValue,
    token: u64,
}

impl Authorization {
    /// Creates the constant header of the hash form.
    pub(crate) fn fixed(header: HeaderValue) -> Self {
        Self { header, token: 0 }
    }
}

/// The bearer token, cached while it is valid.
#[derive(Default)]
pub(crate) struct TokenCache {
    /// Number of finished attempts. A caller that waited while an attempt finished uses its result and starts no other.
    attempts: AtomicU64,
    inner: Mutex<Tokens>,
}

#[derive(Default)]
struct Tokens {
    current: Option<Token>,
    last_failure: Option<TokenFailure>,
}

struct Token {
    authorization: Authorization,
    replace_at: Instant,
    expires_at: Instant,
}

impl TokenCache {
    /// Returns the current token, or the result of `fetch`. `fetch` only runs when needed, for one caller at a time.
    pub(crate) async fn get(
        &self,
        fetch: impl Future<Output = Result<(Secret, Option<u64>), TokenFailure>>,
    ) -> Result<Authorization, TokenFailure> {
        let seen = self.attempts.load(Ordering::Acquire);
        let mut tokens = self.inner.lock().await;
        if let Some(token) = &tokens.current
            && Instant::now() < token.replace_at
        {
            return Ok(token.authorization.clone());
        }
        let attempts = self.attempts.load(Ordering::Acquire);
        if let Some(failure) = &tokens.last_failure
            && attempts != seen
        {
            return Err(failure.clone());
        }
        let asked_at = Instant::now();
        let fetched = fetch.await.and_then(|(token, lifetime)| {
            let header = secret_header(&format!("Bearer {}", token.expose())).ok_or(TokenFailure::Unreadable)?;
            let lifetime = lifetime
                .map_or(UNSTATED_LIFETIME, Duration::from_secs)
                .min(LONGEST_LIFETIME);
            Ok((
                Authorization {
                    header,
                    token: attempts,
                },
                lifetime,
            ))
        });
        self.attempts.store(attempts + 1, Ordering::Release);
        match fetched {
            Ok((authorization, lifetime)) => {
                let expires_at = asked_at + lifetime;
                let replace_at = asked_at + replaced_after(lifetime);
                tokens.current = Some(Token {
                    authorization: authorization.clone(),
                    replace_at,
                    expires_at,
                });
                tokens.last_failure = None;
                Ok(authorization)
            }
            Err(failure) => {
                tokens.last_failure = Some(failure.clone());
                match &tokens.current {
                    // The old token is due for replacement but still valid.
                    Some(token) if Instant::now() < token.expires_at => Ok(token.authorization.clone()),
                    _ => Err(failure),
                }
            }
        }
    }

    /// Forgets the token that was refused, unless it has already been replaced.
    pub(crate) async fn drop_refused(&self, refused: &Authorization) {
        let mut tokens = self.inner.lock().await;
        if tokens
            .current
            .as_ref()
            .is_some_and(|token| token.authorization.token == refused.token)
        {
            tokens.current = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::ready;

    #[test]
    fn the_hash_header_matches_the_published_test_vector() {
        let header = hash_header("games-games-games", "test123@integration-api.g2a", "quite-nice-secret");
        assert_eq!(
            header,
            "games-games-games, 5feaefae655d6d2dcfb27f22e700495aa90e255fc0ad93bc22dfc0ed770fae21"
        );
    }

    #[test]
    fn debug_output_of_a_header_hides_its_value() {
        assert!(!format!("{:?}", secret_header("Bearer xyz").unwrap()).contains("xyz"));
    }

    #[test]
    fn a_token_is_replaced_before_it_expires() {
        assert_eq!(replaced_after(Duration::from_hours(1)), Duration::from_mins(59));
        assert_eq!(replaced_after(Duration::from_secs(10)), Duration::from_secs(8));
        assert_eq!(replaced_after(Duration::ZERO), Duration::ZERO);
    }

    /// Returns the current token; when needed, fetches one that the server issues now.
    async fn get(cache: &TokenCache, text: &str, seconds: Option<u64>) -> Result<Authorization, TokenFailure> {
        cache.get(ready(Ok((Secret::new(text), seconds)))).await
    }

    #[tokio::test]
    async fn valid_tokens_are_reused_and_expired_ones_are_not() {
        let cache = TokenCache::default();
        assert_eq!(get(&cache, "first", Some(3600)).await.unwrap().header, "Bearer first");
        assert_eq!(get(&cache, "second", Some(3600)).await.unwrap().header, "Bearer first");

        let cache = TokenCache::default();
        assert_eq!(get(&cache, "first", Some(0)).await.unwrap().header, "Bearer first");
        assert_eq!(get(&cache, "second", None).await.unwrap().header, "Bearer second");
        assert_eq!(get(&cache, "third", None).await.unwrap().header, "Bearer second");
    }

    #[tokio::test]
    async fn only_the_refused_token_is_dropped() {
        let cache = TokenCache::default();
        let first = get(&cache, "first", None).await.unwrap();
        cache.drop_refused(&first).await;
        let second = get(&cache, "second", None).await.unwrap();
        assert_eq!(second.header, "Bearer second");
        cache.drop_refused(&first).await;
        assert_eq!(get(&cache, "third", None).await.unwrap().header, "Bearer second");
    }

    #[tokio::test]
    async fn a_failure_is_shared_by_waiters_and_retried_by_the_next_call() {
        let cache = TokenCache::default();
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let failing = cache.get(async {
            released.await.unwrap();
            Err(TokenFailure::Unavailable)
        });
        let waiting = cache.get(async { panic!("must not begin an attempt of its own") });
        let releasing = async { release.send(()).unwrap() };
        let (failed, waited, ()) = tokio::join!(failing, waiting, releasing);
        assert_eq!(failed.err(), Some(TokenFailure::Unavailable));
        assert_eq!(waited.err(), Some(TokenFailure::Unavailable));
        assert_eq!(get(&cache, "next", None).await.unwrap().header, "Bearer next");
    }

    #[tokio::test]
    async fn a_token_with_invalid_header_characters_is_unreadable() {
        let cache = TokenCache::default();
        assert_eq!(
            get(&cache, "two\nlines", None).await.err(),
            Some(TokenFailure::Unreadable)
        );
    }
}
