//! Calls to a provider over HTTPS: no redirects, no repetition by the client, one time limit, bounded answers, and a span.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use rustls_platform_verifier::BuilderVerifierExt;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use crate::provider::ProviderError;

/// Longest accepted response, in bytes: a page of a hundred disputes with their evidence.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Why a client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The HTTP client cannot be created.
    #[error("cannot set up HTTP for the payment provider")]
    Http(#[source] reqwest::Error),
    /// The system's certificates cannot be used.
    #[error("cannot set up TLS for the payment provider")]
    Tls(#[source] rustls::Error),
}

/// A client whose requests take at most `timeout`.
pub(crate) fn client(timeout: Duration) -> Result<reqwest::Client, ClientError> {
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(ClientError::Tls)?
        .with_no_client_auth();
    reqwest::Client::builder()
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

/// A complete answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The object of a successful answer.
    pub(crate) fn object<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        serde_json::from_slice(&self.body)
            .map_err(|_| ProviderError::Unreadable(format!("{} with something else than was asked for", self.status)))
    }
}

/// Sends a request in a span named `name`, which the provider is told of, and reads its answer with `read`.
pub(crate) async fn send<T>(
    name: String,
    request: reqwest::RequestBuilder,
    read: impl FnOnce(&Answer) -> Result<T, ProviderError>,
) -> Result<T, ProviderError> {
    let span = lockstep_telemetry::call_span(format_args!("{name}"));
    let request = match lockstep_telemetry::of_span(&span) {
        Some(parent) => request.header(lockstep_telemetry::HEADER, parent.to_string()),
        None => request,
    };
    let answer = exchange(request).instrument(span.clone()).await;
    let answer = answer.and_then(|answer| read(&answer));
    if answer.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    answer
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<Answer, ProviderError> {
    let lost = |error: reqwest::Error| ProviderError::Unavailable(error.without_url().to_string());
    let mut response = request.send().await.map_err(lost)?;
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(lost)? {
        if body.len() + part.len() > MAX_ANSWER {
            return Err(ProviderError::Unreadable("an answer without an end".into()));
        }
        body.extend_from_slice(&part);
    }
    Ok(Answer {
        status: response.status(),
        headers: std::mem::take(response.headers_mut()),
        body,
    })
}

/// The return URL for a cancelled payment: the same URL with a marker.
pub(crate) fn cancelled(address: &str) -> String {
    let separator = if address.contains('?') { '&' } else { '?' };
    format!("{address}{separator}cancelled=1")
}

/// Whether a text can be an id of a provider's, and so a part of a path.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
