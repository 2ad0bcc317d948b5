//! Fetches pictures from addresses of the catalogue.
//!
//! The addresses come from outside, so this client must not give access to the operator's network (SSRF). Names are
//! resolved here, addresses that are not public are dropped before a connection is made, and every redirect is checked
//! in the same way. Size, type and duration of the response are limited.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use lockstep_domain::public_address::is_public;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url, redirect};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// Maximum size of a picture in bytes.
const MAX_BYTES: usize = 12 * 1024 * 1024;
/// Maximum number of redirects.
const MAX_REDIRECTS: usize = 3;
const CONNECT: Duration = Duration::from_secs(3);
/// Time limit for the whole fetch.
const PATIENCE: Duration = Duration::from_secs(7);

/// Why a picture could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The address is not allowed.
    #[error("the address may not be asked")]
    Refused,
    /// No response, or an unsuccessful one.
    #[error("no picture was received")]
    Http(#[source] reqwest::Error),
    /// The response is not a picture.
    #[error("what came is no picture")]
    NotAPicture,
    /// The response is too large.
    #[error("the picture is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// The time limit was exceeded.
    #[error("the picture took too long")]
    Late,
}

/// An HTTP client for pictures.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    client: Client,
    trusts_private: bool,
}

impl Fetcher {
    /// `trusts_private`: also connects to addresses of the machine and its network, for an operator's own picture
    /// server.
    ///
    /// # Errors
    /// If the system has no trusted certificates.
    pub(crate) fn new(trusts_private: bool) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_platform_verifier()?
            .with_no_client_auth();
        let client = Client::builder()
            .user_agent(concat!("lockstep/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::custom(move |attempt| {
                if attempt.previous().len() > MAX_REDIRECTS || !may_be_asked(attempt.url(), trusts_private) {
                    attempt.error("sent on to where we do not go")
                } else {
                    attempt.follow()
                }
            }))
            .dns_resolver(Arc::new(PublicOnly { trusts_private }))
            // A proxy would resolve names itself, which would bypass the check.
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .pool_max_idle_per_host(2)
            .tls_backend_preconfigured(tls)
            .build()?;
        Ok(Self { client, trusts_private })
    }

    /// Fetches the bytes at `address`.
    pub(crate) async fn fetch(&self, address: &str) -> Result<Bytes, FetchError> {
        let url: Url = address.parse().map_err(|_| FetchError::Refused)?;
        if !may_be_asked(&url, self.trusts_private) {
            return Err(FetchError::Refused);
        }
        tokio::time::timeout(PATIENCE, self.download(url))
            .await
            .map_err(|_| FetchError::Late)?
    }

    async fn download(&self, url: Url) -> Result<Bytes, FetchError> {
        let mut response = self
            .client
            .get(url)
            .header("accept", "image/webp,image/jpeg,image/png,image/gif")
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(FetchError::Http)?;
        let is_picture = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| {
                let kind = kind.split(';').next().unwrap_or_default().trim();
                matches!(
                    kind,
                    "image/jpeg" | "image/jpg" | "image/png" | "image/webp" | "image/gif"
                )
            });
        if !is_picture {
            return Err(FetchError::NotAPicture);
        }
        if response
            .content_length()
            .is_some_and(|length| length > MAX_BYTES as u64)
        {
            return Err(FetchError::TooLarge);
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(FetchError::Http)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// Whether an address is allowed, as far as is known before its name is resolved.
fn may_be_asked(url: &Url, trusts_private: bool) -> bool {
    let is_http = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    let host = url.host_str().unwrap_or_default();
    let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let is_usual = matches!(url.port_or_known_default(), Some(80 | 443));
    is_http && !host.is_empty() && (trusts_private || (is_usual && literal.is_none_or(is_public)))
}

/// Resolves names with the system's resolver and drops every address that is not public.
struct PublicOnly {
    trusts_private: bool,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let trusts_private = self.trusts_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found
                .filter(|address| trusts_private || is_public(address.ip()))
                .collect();
            if public.is_empty() {
                return Err("the name leads to no public address".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_before_name_resolution() {
        let judged = |address: &str| may_be_asked(&address.parse().unwrap(), false);
        assert!(judged("https://images.example.com/a.jpg") && judged("http://1.1.1.1/a"));
        for refused in [
            "https://127.0.0.1/a",
            "http://[::1]/a",
            "http://2130706433/",
            "http://0x7f.1/",
            "ftp://example.com/a",
            "file:///etc/passwd",
            "https://user:pw@example.com/a",
            "https://example.com:6379/",
            "data:image/png;base64,AA",
        ] {
            assert!(!judged(refused), "{refused}");
        }
    }
}
