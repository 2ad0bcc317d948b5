//! Fetches pictures from addresses of the catalogue.
//!
//! The addresses come from outside, so this client must not give access to the operator's network (SSRF). Names are
//! resolved here, addresses that are not public are dropped before a connection is made, and every redirect is checked
//! in the same way. Size, type and duration of the response are limited.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
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

/// Whether an address belongs to the public internet.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_public_v4(ip),
            None => is_public_v6(ip),
        },
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_broadcast()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        // Carrier-grade NAT; IETF protocol assignments; 6to4 relays; benchmarking.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b));
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    // Global unicast, without documentation, and without addresses that contain other addresses (Teredo, 6to4).
    (0x2000..0x4000).contains(&a) && !(a == 0x2001 && (b == 0x0db8 || b < 0x0200)) && a != 0x2002 && a != 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_allowed() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.8",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "2002:7f00:1::",
            "2001:0:1::",
            "2001:db8::1",
            "64:ff9b::7f00:1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "93.184.216.34",
            "1.1.1.1",
            "2606:4700::1111",
            "2a00:1450:4001:81b::200e",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

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
