//! One GET with limits, over HTTPS.

use std::time::Duration;

use reqwest::{Client, Url};
use rustls_platform_verifier::BuilderVerifierExt as _;
use serde_json::Value;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not `https://`, nor `http://` on this machine.
    #[error("the address must begin with https://")]
    Address,
    /// The HTTP client cannot be created.
    #[error("cannot set up HTTP")]
    Http(#[source] reqwest::Error),
    /// The system's certificates cannot be used.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// No connection, or no answer in time.
    #[error("no answer")]
    NoAnswer(#[source] reqwest::Error),
    /// Another status than 200.
    #[error("the answer was {0}")]
    Status(u16),
    /// The answer is longer than this many bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The answer is no JSON.
    #[error("the answer is no JSON")]
    NoJson,
}

/// An address that may be asked: HTTPS, or HTTP on this machine.
pub(crate) fn address(url: &str) -> Result<Url, ClientError> {
    let url = Url::parse(url).map_err(|_| ClientError::Address)?;
    let is_here = match url.host_str() {
        Some(host) => matches!(host, "127.0.0.1" | "[::1]" | "localhost"),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        _ => Err(ClientError::Address),
    }
}

pub(crate) fn client(timeout: Duration) -> Result<Client, ClientError> {
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .and_then(rustls::ConfigBuilder::with_platform_verifier)
        .map_err(ClientError::Tls)?
        .with_no_client_auth();
    Client::builder()
        .user_agent(concat!("lockstep/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .connect_timeout(timeout)
        .timeout(timeout)
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(ClientError::Http)
}

/// The JSON at `url`, of at most `most` bytes.
pub(crate) async fn get(client: &Client, url: Url, most: usize) -> Result<Value, ClientError> {
    let mut response = client
        .get(url)
        .send()
        .await
        .map_err(|error| ClientError::NoAnswer(error.without_url()))?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(ClientError::Status(response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| ClientError::NoAnswer(error.without_url()))?
    {
        if body.len() + chunk.len() > most {
            return Err(ClientError::TooLong(most));
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|_| ClientError::NoJson)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_asked_except_on_this_machine() {
        for url in [
            "https://rates.example/a.json",
            "http://127.0.0.1:9/a",
            "http://[::1]:9/a",
            "http://localhost/a",
        ] {
            assert!(address(url).is_ok(), "{url}");
        }
        for url in [
            "http://rates.example/a.json",
            "http://127.0.0.1.example/",
            "ftp://127.0.0.1/",
            "rates",
            "",
            "file:///etc/hosts",
        ] {
            assert!(matches!(address(url), Err(ClientError::Address)), "{url}");
        }
    }
}
