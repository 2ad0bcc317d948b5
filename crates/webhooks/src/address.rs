//! Where requests may go. Staff enter the addresses, so they must not give access to the operator's own network (SSRF):
//! not to this machine, private networks, or a cloud's metadata.
//!
//! An address is checked when it is saved and again with every request, because names can lead elsewhere by then: the
//! name is resolved, every address that it leads to must be public, and the connection is made to exactly these.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lockstep_domain::public_address::is_public;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Time limit of the resolution of a name.
const RESOLVING: Duration = Duration::from_secs(3);

/// What is permitted beside public addresses over https.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressPolicy {
    /// Addresses of this machine and of private networks.
    pub private_addresses: bool,
    /// Requests in clear.
    pub plain_http: bool,
}

/// Why no request is made to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL.
    #[error("it is not a valid address")]
    Invalid,
    /// It is not https.
    #[error("it has to begin with https://")]
    NotHttps,
    /// It has a user, a password or a fragment.
    #[error("it must have neither user, password nor fragment")]
    Extras,
    /// It, or an address that its name leads to, is not public.
    #[error("it leads to this machine or to a private network")]
    NotPublic,
    /// Its name leads nowhere.
    #[error("its name cannot be resolved")]
    Unresolved,
}

impl AddressPolicy {
    /// Checks what is known before the name is resolved.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(self, url: &str) -> Result<Url, AddressError> {
        let url: Url = url.parse().map_err(|_| AddressError::Invalid)?;
        match url.scheme() {
            "https" => {}
            "http" if self.plain_http => {}
            _ => return Err(AddressError::NotHttps),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(AddressError::Extras);
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or(AddressError::Invalid)?;
        // The parser has brought every spelling of an address into its usual form.
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(literal) if !self.permits(literal) => Err(AddressError::NotPublic),
            _ => Ok(url),
        }
    }

    fn permits(self, ip: IpAddr) -> bool {
        self.private_addresses || is_public(ip)
    }

    /// The addresses of a name, if all of them are permitted.
    async fn resolve(self, host: &str) -> Result<Vec<SocketAddr>, AddressError> {
        let looking = tokio::time::timeout(RESOLVING, tokio::net::lookup_host((host, 0)));
        let found: Vec<SocketAddr> = match looking.await {
            Ok(Ok(found)) => found.collect(),
            _ => return Err(AddressError::Unresolved),
        };
        if found.is_empty() {
            return Err(AddressError::Unresolved);
        }
        if found.iter().all(|address| self.permits(address.ip())) {
            Ok(found)
        } else {
            Err(AddressError::NotPublic)
        }
    }
}

/// Checks an address that is to be saved, as its name resolves now.
///
/// # Errors
/// [`AddressError`].
pub async fn reachable(url: &str, policy: AddressPolicy) -> Result<(), AddressError> {
    let url = policy.parse(url)?;
    let host = url.host_str().unwrap_or_default();
    if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    policy.resolve(host).await.map(drop)
}

/// Resolves names for the HTTP client, which then connects to the addresses that were checked.
pub(crate) struct Checked(pub(crate) AddressPolicy);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            let found = policy.resolve(name.as_str()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged_before_their_name_is_resolved() {
        let strict = AddressPolicy::default();
        assert!(strict.parse("https://hooks.example.com/a?b=c").is_ok());
        assert!(strict.parse("https://1.1.1.1:8443/a").is_ok());
        for (url, why) in [
            ("hooks.example.com", AddressError::Invalid),
            ("https://", AddressError::Invalid),
            ("http://hooks.example.com/", AddressError::NotHttps),
            ("ftp://hooks.example.com/", AddressError::NotHttps),
            ("https://user:pw@hooks.example.com/", AddressError::Extras),
            ("https://hooks.example.com/#a", AddressError::Extras),
            ("https://127.0.0.1/", AddressError::NotPublic),
            ("https://2130706433/", AddressError::NotPublic),
            ("https://0x7f.1/", AddressError::NotPublic),
            ("https://[::1]/", AddressError::NotPublic),
            ("https://[::ffff:10.0.0.1]/", AddressError::NotPublic),
            ("https://169.254.169.254/latest/meta-data", AddressError::NotPublic),
            ("https://100.64.0.1/", AddressError::NotPublic),
        ] {
            assert_eq!(strict.parse(url).err(), Some(why), "{url}");
        }
        let lenient = AddressPolicy {
            private_addresses: true,
            plain_http: true,
        };
        assert!(lenient.parse("http://127.0.0.1:9/").is_ok());
    }

    #[tokio::test]
    async fn names_of_this_machine_are_refused() {
        let refused = reachable("https://localhost/hook", AddressPolicy::default()).await;
        assert_eq!(refused, Err(AddressError::NotPublic));
        let permitted = AddressPolicy {
            private_addresses: true,
            plain_http: false,
        };
        assert_eq!(reachable("https://localhost/hook", permitted).await, Ok(()));
    }
}
