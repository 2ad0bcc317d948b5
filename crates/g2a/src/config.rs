//! Where G2A is and who we are there. Plain values, checked once by [`Config::validate`], so that a wrong setting is
//! reported at start and by name instead of as a puzzling 401 later.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::secret::SecretText;

/// Settings of a [`Client`](crate::Client). Start from [`Config::new`] and change what differs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the buyer API, ending in `/v1`: `https://api.g2a.com/v1` live, `https://sandboxapi.g2a.com/v1` to try.
    pub base_url: String,
    /// Who we are there.
    pub auth: Auth,
    /// Limit of one HTTP request, from connecting to the last byte of the answer, in time in which this process ran.
    /// Default 8 s.
    pub timeout: Duration,
    /// The same for the key call. Default 30 s: giving up early can lose a key for good, waiting costs nothing.
    pub key_timeout: Duration,
    /// Part of [`timeout`](Self::timeout) that connecting may take. Default 3 s. Running out of it is "not sent".
    pub connect_timeout: Duration,
    /// How long a call may wait for the request budget. Default 120 s: twice G2A's window of a minute.
    pub budget_timeout: Duration,
    /// Calls under way at once, for the catalogue and for orders separately. Default 16. It also bounds the connections.
    pub concurrency: usize,
    /// Repetition of reads.
    pub retry: RetryConfig,
    /// When to stop asking a G2A that does not answer.
    pub breaker: BreakerConfig,
}

/// How reads of products and order details are repeated. No other call is ever repeated by the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryConfig {
    /// Requests in all, the first included. Default 4.
    pub attempts: u32,
    /// The first wait is random between zero and this, the next between zero and twice this, and so on. Default 500 ms.
    pub base: Duration,
    /// Upper end of a random wait. Default 10 s.
    pub cap: Duration,
    /// No repetition begins later than this after the call began. Default 60 s.
    pub total: Duration,
    /// Pause of every process after a 429 that names no `Retry-After` (G2A documents none). Default 5 s.
    pub rate_limit_pause: Duration,
}

/// When the circuit breaker opens, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row (no connection, no complete answer, 5xx) that open it. Default 8.
    pub failures: u32,
    /// Time it stays open before one call may try again. Default 10 s.
    pub open_for: Duration,
}

/// The two forms of authorization that the buyer API takes.
#[derive(Clone)]
pub enum Auth {
    /// `Authorization: {hash}, {SHA-256(hash + email + secret)}`: the documented form.
    Hash {
        /// API hash; newer dashboards call it client id.
        api_hash: SecretText,
        /// E-mail address of the merchant account.
        email: String,
        /// API secret; newer dashboards call it client secret.
        secret: SecretText,
    },
    /// A bearer token fetched with client credentials; two shops are known to use it on the product list.
    OAuth {
        /// Where tokens are issued: `https://api.g2a.com/oauth/token`.
        token_url: String,
        /// Client id.
        client_id: SecretText,
        /// Client secret.
        client_secret: SecretText,
    },
}

/// Which setting is wrong, and why. Never contains the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The base address cannot be used.
    #[error("the G2A address {0}")]
    BaseUrl(&'static str),
    /// The token address cannot be used.
    #[error("the G2A token address {0}")]
    TokenUrl(&'static str),
    /// A credential is empty or holds characters that no HTTP header can carry.
    #[error("the G2A {0} is empty or holds a character that cannot be sent")]
    Credential(&'static str),
    /// A time limit or count of zero would stop every call.
    #[error("the G2A setting `{0}` must not be zero")]
    Zero(&'static str),
    /// The machine has no certificates to check G2A's against, or TLS cannot be set up.
    #[error("cannot set up TLS for G2A (are CA certificates installed?)")]
    Tls(#[source] rustls::Error),
    /// The HTTP client cannot be built.
    #[error("cannot build the HTTP client for G2A")]
    Http(#[source] reqwest::Error),
}

impl Config {
    /// Settings with every default, as documented at each field.
    pub fn new(base_url: impl Into<String>, auth: Auth) -> Self {
        Self {
            base_url: base_url.into(),
            auth,
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
        }
    }

    /// Checks every setting that can be checked without a network. [`Client::new`](crate::Client::new) calls it too.
    ///
    /// # Errors
    /// The first [`ConfigError`] found, naming the setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let base = address(&self.base_url).map_err(ConfigError::BaseUrl)?;
        if base.query().is_some() || !base.path().ends_with("/v1") {
            return Err(ConfigError::BaseUrl("must end in /v1"));
        }
        match &self.auth {
            Auth::Hash {
                api_hash,
                email,
                secret,
            } => {
                credential("API hash", api_hash.expose())?;
                credential("e-mail address", email)?;
                credential("API secret", secret.expose())?;
            }
            Auth::OAuth {
                token_url,
                client_id,
                client_secret,
            } => {
                address(token_url).map_err(ConfigError::TokenUrl)?;
                credential("client id", client_id.expose())?;
                credential("client secret", client_secret.expose())?;
            }
        }
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

    /// True when some address is `https`, so that certificates are needed.
    pub(crate) fn uses_tls(&self) -> bool {
        let token_url = match &self.auth {
            Auth::Hash { .. } => "",
            Auth::OAuth { token_url, .. } => token_url,
        };
        [self.base_url.as_str(), token_url]
            .iter()
            .any(|url| url.to_ascii_lowercase().starts_with("https:"))
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

/// Says which form it is and nothing more.
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
            api_hash: SecretText::new("hash-value"),
            email: "shop@example.test".into(),
            secret: SecretText::new("secret-value"),
        }
    }

    fn oauth(token_url: &str) -> Auth {
        Auth::OAuth {
            token_url: token_url.into(),
            client_id: SecretText::new("id-value"),
            client_secret: SecretText::new("client-secret-value"),
        }
    }

    #[test]
    fn both_documented_addresses_are_accepted() {
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
    fn an_address_that_cannot_work_is_refused() {
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
    fn a_credential_that_no_header_can_carry_is_refused_by_name() {
        for bad in ["", "two\nlines", " padded"] {
            let auth = Auth::Hash {
                api_hash: SecretText::new(bad),
                email: "a@b".into(),
                secret: SecretText::new("s"),
            };
            let refused = Config::new("https://api.g2a.com/v1", auth).validate().unwrap_err();
            assert!(refused.to_string().contains("API hash"), "{refused}");
        }
    }

    #[test]
    fn a_limit_of_zero_is_refused_by_name() {
        let mut config = Config::new("https://api.g2a.com/v1", hash());
        config.retry.attempts = 0;
        assert!(config.validate().unwrap_err().to_string().contains("retry.attempts"));
    }

    #[test]
    fn debug_output_holds_no_credential() {
        for auth in [hash(), oauth("https://api.g2a.com/oauth/token")] {
            let shown = format!("{:?}", Config::new("https://api.g2a.com/v1", auth));
            for secret in ["hash-value", "shop@example.test", "secret-value", "id-value"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
}
