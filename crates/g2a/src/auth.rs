//! Says who we are: the `Authorization` header in both of its forms.
//!
//! The bearer token is fetched once for everybody who waits for it, replaced before it expires, and dropped when G2A
//! refuses it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::HeaderValue;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::TokenFailure;
use crate::secret::SecretText;

/// A token that does not say how long it lasts is kept this long.
const UNSTATED_LIFETIME: Duration = Duration::from_mins(5);
/// No token is kept longer, whatever it says.
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);
/// A token is replaced this long before it expires, or a fifth of its life if that is less.
const MARGIN: Duration = Duration::from_mins(1);

/// The documented header: hash, comma, blank, lower-case hex SHA-256 of hash, e-mail and secret one after another.
pub(crate) fn hash_header(api_hash: &str, email: &str, secret: &str) -> String {
    let digest = Sha256::new()
        .chain_update(api_hash)
        .chain_update(email)
        .chain_update(secret)
        .finalize();
    format!("{api_hash}, {}", hex::encode(digest))
}

/// A header value that no log shows. `None` for characters that no header can carry.
pub(crate) fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The age at which a token is replaced.
fn replaced_after(lifetime: Duration) -> Duration {
    lifetime.saturating_sub(MARGIN.min(lifetime / 5))
}

/// The `Authorization` header of a call, and which token it carries.
#[derive(Clone)]
pub(crate) struct Authorization {
    pub(crate) header: HeaderValue,
    token: u64,
}

impl Authorization {
    /// For the hash form, which never changes.
    pub(crate) fn fixed(header: HeaderValue) -> Self {
        Self { header, token: 0 }
    }
}

/// The bearer token, kept while it is good.
#[derive(Default)]
pub(crate) struct TokenCache {
    /// Attempts that have ended. Whoever waited while one ended takes its result and does not begin another.
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
    /// The current token, or the one that `fetch` brings. `fetch` is only run when it is needed, by one caller at a time.
    pub(crate) async fn get(
        &self,
        fetch: impl Future<Output = Result<(SecretText, Option<u64>), TokenFailure>>,
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
                    // The old one is due for replacement, not yet bad.
                    Some(token) if Instant::now() < token.expires_at => Ok(token.authorization.clone()),
                    _ => Err(failure),
                }
            }
        }
    }

    /// Forgets the token that was refused, unless it has been replaced already.
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
    fn the_published_test_vector_gives_the_published_header() {
        let header = hash_header("games-games-games", "test123@integration-api.g2a", "quite-nice-secret");
        assert_eq!(
            header,
            "games-games-games, 5feaefae655d6d2dcfb27f22e700495aa90e255fc0ad93bc22dfc0ed770fae21"
        );
    }

    #[test]
    fn debug_output_of_a_header_does_not_contain_it() {
        assert!(!format!("{:?}", secret_header("Bearer xyz").unwrap()).contains("xyz"));
    }

    #[test]
    fn a_token_is_replaced_before_it_expires() {
        assert_eq!(replaced_after(Duration::from_hours(1)), Duration::from_mins(59));
        assert_eq!(replaced_after(Duration::from_secs(10)), Duration::from_secs(8));
        assert_eq!(replaced_after(Duration::ZERO), Duration::ZERO);
    }

    /// The current token, if need be one that a server gives now.
    async fn get(cache: &TokenCache, text: &str, seconds: Option<u64>) -> Result<Authorization, TokenFailure> {
        cache.get(ready(Ok((SecretText::new(text), seconds)))).await
    }

    #[tokio::test]
    async fn a_good_token_is_used_again_and_an_expired_one_is_not() {
        let cache = TokenCache::default();
        assert_eq!(get(&cache, "first", Some(3600)).await.unwrap().header, "Bearer first");
        assert_eq!(get(&cache, "second", Some(3600)).await.unwrap().header, "Bearer first");

        let cache = TokenCache::default();
        assert_eq!(get(&cache, "first", Some(0)).await.unwrap().header, "Bearer first");
        assert_eq!(get(&cache, "second", None).await.unwrap().header, "Bearer second");
        assert_eq!(get(&cache, "third", None).await.unwrap().header, "Bearer second");
    }

    #[tokio::test]
    async fn only_the_token_that_was_refused_is_dropped() {
        let cache = TokenCache::default();
        let first = get(&cache, "first", None).await.unwrap();
        cache.drop_refused(&first).await;
        let second = get(&cache, "second", None).await.unwrap();
        assert_eq!(second.header, "Bearer second");
        cache.drop_refused(&first).await;
        assert_eq!(get(&cache, "third", None).await.unwrap().header, "Bearer second");
    }

    #[tokio::test]
    async fn a_failure_is_shared_by_those_who_waited_and_tried_again_by_the_next() {
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
    async fn a_token_that_no_header_can_carry_is_unreadable() {
        let cache = TokenCache::default();
        assert_eq!(
            get(&cache, "two\nlines", None).await.err(),
            Some(TokenFailure::Unreadable)
        );
    }
}
