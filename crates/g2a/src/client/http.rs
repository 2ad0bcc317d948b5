//! The two HTTP clients. Reads share pooled connections and accept compression. Creating, paying and fetching a key
//! each use a new connection without compression: HTTP libraries silently resend a request on a connection that is
//! being closed, and a truncated compressed key cannot be read at all. Neither client follows redirects, uses a proxy,
//! or retries.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, ClientBuilder};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::config::{Config, ConfigError};

/// Builds the client for reads and the client for requests that must be sent at most once.
pub(super) fn clients(config: &Config) -> Result<(Client, Client), ConfigError> {
    let tls = tls(config.uses_tls())?;
    let common = || {
        Client::builder()
            .user_agent(concat!("lockstep/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .http1_only()
            .connect_timeout(config.connect_timeout)
            .tls_backend_preconfigured(tls.clone())
    };
    let reads = common()
        .pool_max_idle_per_host(config.concurrency)
        .pool_idle_timeout(Duration::from_secs(30));
    let single = common().pool_max_idle_per_host(0).no_gzip();
    let build = |client: ClientBuilder| client.build().map_err(ConfigError::Http);
    Ok((build(reads)?, build(single)?))
}

/// Configures TLS with ring and the machine's certificates. A machine without any can still use a plain-text simulator.
fn tls(needed: bool) -> Result<rustls::ClientConfig, ConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ConfigError::Tls)?;
    Ok(if needed {
        builder
            .with_platform_verifier()
            .map_err(ConfigError::Tls)?
            .with_no_client_auth()
    } else {
        builder
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth()
    })
}
