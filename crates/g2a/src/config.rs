//! G2A's addresses, our credentials and the limits of the client. Plain values that [`Config::validate`] checks once,
//! so that a wrong setting is reported by name at start instead of as an obscure 401 later.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

use lockstep_clock::{Clock, Random};
use lockstep_domain::Secret;
use lockstep_domain::admin::account_mark;

/// Settings of a [`Client`](crate::Client). Start from [`Config::new`] and change what differs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the buyer API, ending in `/v1`: `https://api.g2a.com/v1` for production,
    /// `https://sandboxapi.g2a.com/v1` for tests.
    pub base_url: String,
    /// Our credentials, with which the client starts; `None` if there are none yet. [`Client::set_accounts`] replaces them.
    ///
    /// [`Client::set_accounts`]: crate::Client::set_accounts
    pub auth: Option<Auth>,
    /// Time limit of one HTTP request, from connecting to the last byte of the answer, not counting time during which
    /// this process was suspended. Default 8 s.
    pub timeout: Duration,
    /// The same for the key call. Default 30 s: giving up early can lose a key for good, waiting costs nothing.
    pub key_timeout: Duration,
    /// Time limit of connecting, within [`timeout`](Self::timeout). Default 3 s. Exceeding it counts as "not sent".
    pub connect_timeout: Duration,
    /// Time limit of waiting for the request budget. Default 120 s: twice G2A's window of a minute.
    pub budget_timeout: Duration,
    /// Maximum number of concurrent calls, separately for the catalogue and for orders. Default 16. It also limits the
    /// connections.
    pub concurrency: usize,
    /// Retries of reads.
    pub retry: RetryConfig,
    /// Settings of the circuit breaker.
    pub breaker: BreakerConfig,
    /// The time of day, with which dates in G2A's answers are compared. The system's by default.
    pub clock: Clock,
    /// The source of random waits. The system's by default.
    pub random: Random,
}

/// Retries of product lists and order details. The client never retries any other call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryConfig {
    /// Maximum number of requests, including the first. Default 4.
    pub attempts: u32,
    /// The first wait is random between zero and this, the second between zero and twice this, and so on. Default 500
    /// ms.
    pub base: Duration,
    /// Upper limit of a random wait. Default 10 s.
    pub cap: Duration,
    /// No retry begins later than this after the start of the call. Default 60 s.
    pub total: Duration,
    /// Pause of all processes after a 429 without `Retry-After` (G2A documents none). Default 5 s.
    pub rate_limit_pause: Duration,
}

/// When the circuit breaker opens, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Consecutive failures (no connection, no complete answer, 5xx) that open it. Default 8.
    pub failures: u32,
    /// Time for which it stays open before a probe. Default 10 s.
    pub open_for: Duration,
}

/// The two forms of authorization that the buyer API accepts.
#[derive(Clone)]
pub enum Auth {
    /// `Authorization: {hash}, {SHA-256(hash + email + secret)}`: the documented form.
    Hash {
        /// API hash; newer dashboards call it client id.
        api_hash: Secret,
        /// E-mail address of the merchant account.
        email: String,
        /// API secret; newer dashboards call it client secret.
        secret: Secret,
    },
    /// A bearer token fetched with client credentials; two shops are known to use it on the product list.
    OAuth {
        /// The token endpoint: `https://api.g2a.com/oauth/token`.
        token_url: String,
        /// Client id.
        client_id: Secret,
        /// Client secret.
        client_secret: Secret,
    },
}

/// The invalid setting and the reason. Never contains the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The base address is invalid.
    #[error("the G2A address {0}")]
    BaseUrl(&'static str),
    /// The token address is invalid.
    #[error("the G2A token address {0}")]
    TokenUrl(&'static str),
    /// A credential is empty or has characters that are invalid in HTTP headers.
    #[error("the G2A {0} is empty or holds a character that cannot be sent")]
    Credential(&'static str),
    /// A time limit or count is zero, which would stop every call.
    #[error("the G2A setting `{0}` must not be zero")]
    Zero(&'static str),
    /// The machine has no certificates to verify G2A's with, or TLS cannot be set up.
    #[error("cannot set up TLS for G2A (are CA certificates installed?)")]
    Tls(#[source] rustls::Error),
    /// The HTTP client cannot be built.
    #[error("cannot build the HTTP client for G2A")]
    Http(#[source] reqwest::Error),
}

impl Config {
    /// Creates settings with the default of every field.
    pub fn new(base_url: impl Into<String>, auth: impl Into<Option<Auth>>) -> Self {
        Self {
            base_url: base_url.into(),
            auth: auth.into(),
            timeout: Duration::from_secs(8),
            key_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(3),
            budget_timeout: Duration::from_mins(2),
            concurrency: 16,
            retry: RetryConfig {
                attempts: 4,
                base: Duration::from_millis(500),
                cap: Duration::from_secs(10),
                total: Duration::from_mins(1),
                rate_limit_pause: Duration::from_secs(5),
            },
            breaker: BreakerConfig {
                failures: 8,
                open_for: Duration::from_secs(10),
            },
            clock: Clock::system(),
            random: Random::system(),
        }
    }

    /// Checks every setting that can be checked offline. [`Client::new`](crate::Client::new) calls it too.
    ///
    /// # Errors
    /// Returns the first [`ConfigError`], which names the setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let base = address(&self.base_url).map_err(ConfigError::BaseUrl)?;
        if base.query().is_some() || !base.path().ends_with("/v1") {
            return Err(ConfigError::BaseUrl("must end in /v1"));
        }
        self.auth.as_ref().map_or(Ok(()), Auth::validate)?;
        let zeros = [
            ("timeout", self.timeout.is_zero()),
            ("key_timeout", self.key_timeout.is_zero()),
            ("connect_timeout", self.connect_timeout.is_zero()),
            ("budget_timeout", self.budget_timeout.is_zero()),
            ("concurrency", self.concurrency == 0),
            ("retry.attempts", self.retry.attempts == 0),
            ("breaker.failures", self.breaker.failures == 0),
        ];
        match zeros.into_iter().find(|(_, zero)| *zero) {
            Some((name, _)) => Err(ConfigError::Zero(name)),
            None => Ok(()),
        }
    }

    /// Whether any address is `https`, so that certificates are needed.
    pub(crate) fn uses_tls(&self) -> bool {
        let token_url = match &self.auth {
            Some(Auth::OAuth { token_url, .. }) => token_url,
            _ => "",
        };
        [self.base_url.as_str(), token_url]
            .iter()
            .any(|url| url.to_ascii_lowercase().starts_with("https:"))
    }
}

impl Auth {
    /// Checks what can be checked offline.
    ///
    /// # Errors
    /// [`ConfigError`], which names the credential.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Hash {
                api_hash,
                email,
                secret,
            } => {
                credential("API hash", api_hash.expose())?;
                credential("e-mail address", email)?;
                credential("API secret", secret.expose())
            }
            Self::OAuth {
                token_url,
                client_id,
                client_secret,
            } => {
                address(token_url).map_err(ConfigError::TokenUrl)?;
                credential("client id", client_id.expose())?;
                credential("client secret", client_secret.expose())
            }
        }
    }

    /// The mark of the account at G2A ([`account_mark`]): the same whatever its secret is.
    pub fn account(&self) -> String {
        let (Self::Hash { api_hash: id, .. } | Self::OAuth { client_id: id, .. }) = self;
        account_mark(id.expose())
    }
}

fn address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err("must begin with http:// or https:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("must hold neither a user name, a password nor a fragment");
    }
    Ok(url)
}

fn credential(name: &'static str, value: &str) -> Result<(), ConfigError> {
    if value.is_empty() || value.trim() != value || HeaderValue::from_str(value).is_err() {
        return Err(ConfigError::Credential(name));
    }
    Ok(())
}

/// Shows only which form it is.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hash { .. } => "Hash(hidden)",
            Self::OAuth { .. } => "OAuth(hidden)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> Auth {
        Auth::Hash {
            api_hash: Secret::new("hash-value"),
            email: "shop@example.test".into(),
            secret: Secret::new("secret-value"),
        }
    }

    fn oauth(token_url: &str) -> Auth {
        Auth::OAuth {
            token_url: token_url.into(),
            client_id: Secret::new("id-value"),
            client_secret: Secret::new("client-secret-value"),
        }
    }

    #[test]
    fn documented_addresses_are_accepted() {
        for url in [
            "https://api.g2a.com/v1",
            "https://sandboxapi.g2a.com/v1",
            "http://127.0.0.1:4000/v1",
        ] {
            Config::new(url, hash()).validate().unwrap();
        }
        Config::new("https://api.g2a.com/v1", oauth("https://api.g2a.com/oauth/token"))
            .validate()
            .unwrap();
    }

    #[test]
    fn invalid_addresses_are_refused() {
        for url in [
            "",
            "api.g2a.com/v1",
            "https://api.g2a.com",
            "https://api.g2a.com/v1/",
            "https://api.g2a.com/v1?x=/v1",
            "https://api.g2a.com/v1#/v1",
            "ftp://api.g2a.com/v1",
            "https://user:password@api.g2a.com/v1",
        ] {
            assert!(
                matches!(Config::new(url, hash()).validate(), Err(ConfigError::BaseUrl(_))),
                "{url}"
            );
        }
        let config = Config::new("https://api.g2a.com/v1", oauth("nowhere"));
        assert!(matches!(config.validate(), Err(ConfigError::TokenUrl(_))));
    }

    #[test]
    fn credentials_with_invalid_header_characters_are_refused_by_name() {
        for bad in ["", "two\nlines", " padded"] {
            let auth = Auth::Hash {
                api_hash: Secret::new(bad),
                email: "a@b".into(),
                secret: Secret::new("s"),
            };
            let refused = Config::new("https://api.g2a.com/v1", auth).validate().unwrap_err();
            assert!(refused.to_string().contains("API hash"), "{refused}");
        }
    }

    #[test]
    fn limits_of_zero_are_refused_by_name() {
        let mut config = Config::new("https://api.g2a.com/v1", hash());
        config.retry.attempts = 0;
        assert!(config.validate().unwrap_err().to_string().contains("retry.attempts"));
    }

    #[test]
    fn debug_output_hides_credentials() {
        for auth in [hash(), oauth("https://api.g2a.com/oauth/token")] {
            let shown = format!("{:?}", Config::new("https://api.g2a.com/v1", auth));
            for secret in ["hash-value", "shop@example.test", "secret-value", "id-value"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
}
