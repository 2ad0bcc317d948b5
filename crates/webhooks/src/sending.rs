//! One request of one delivery. The client follows no redirect, uses no proxy, keeps no connection, and reads nothing of an
//! answer but its status and `Retry-After`.

use std::sync::Arc;
use std::time::Duration;

use chrono::SecondsFormat;
use lockstep_clock::Clock;
use lockstep_domain::error_chain;
use lockstep_store::admin::webhooks::webhook_id;
use lockstep_store::webhooks::Claimed;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, redirect};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::address::{AddressPolicy, Checked};
use crate::signature::sign;

/// Time limit of connecting.
const CONNECT: Duration = Duration::from_secs(5);
/// Time limit of a request, from resolving the name to the status of the answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// The longest wait that an endpoint may ask for.
const LONGEST_ASKED: Duration = Duration::from_hours(24);

/// Why there is no sender.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// TLS cannot be set up.
    #[error("cannot set up TLS for webhooks")]
    Tls(#[source] rustls::Error),
    /// The HTTP client cannot be built.
    #[error("cannot build the HTTP client for webhooks")]
    Http(#[source] reqwest::Error),
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The endpoint took the delivery.
    Taken { status: u16 },
    /// It did not.
    Failed {
        status: Option<u16>,
        reason: String,
        /// How long the endpoint wants to be left alone.
        asked: Option<Duration>,
    },
    /// No secret of this process signs it.
    Unsigned,
}

/// Makes the requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender {
    client: Client,
    policy: AddressPolicy,
    clock: Clock,
}

impl Sender {
    /// Sends to addresses that `policy` permits.
    ///
    /// # Errors
    /// [`SenderError`].
    pub fn new(policy: AddressPolicy, clock: Clock) -> Result<Self, SenderError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SenderError::Tls)?;
        // A machine without certificates sends to no https address, and starts all the same.
        let tls = match builder.clone().with_platform_verifier() {
            Ok(builder) => builder.with_no_client_auth(),
            Err(_) => builder
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
        };
        let client = Client::builder()
            .user_agent(concat!("lockstep/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .dns_resolver(Arc::new(Checked(policy)))
            // A proxy would resolve names itself, which would bypass the check.
            .no_proxy()
            .referer(false)
            .http1_only()
            .connect_timeout(CONNECT)
            // A connection is made to what the name leads to now.
            .pool_max_idle_per_host(0)
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(SenderError::Http)?;
        Ok(Self { client, policy, clock })
    }

    pub(crate) async fn send(&self, claimed: &Claimed) -> Outcome {
        match tokio::time::timeout(PATIENCE, self.request(claimed)).await {
            Ok(outcome) => outcome,
            Err(_) => failed(None, format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn request(&self, claimed: &Claimed) -> Outcome {
        let url = match self.policy.parse(&claimed.url) {
            Ok(url) => url,
            Err(error) => return failed(None, format!("the address is refused: {error}")),
        };
        let (id, timestamp) = (webhook_id(claimed.event), self.clock.now().timestamp());
        let body = body(claimed);
        let Some(signature) = sign(&claimed.secrets, &id, timestamp, body.as_bytes()) else {
            return Outcome::Unsigned;
        };
        let sent = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body)
            .send()
            .await;
        match sent {
            Ok(answer) if answer.status().is_success() => Outcome::Taken {
                status: answer.status().as_u16(),
            },
            Ok(answer) => {
                let header = answer.headers().get(RETRY_AFTER);
                let seconds = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
                let status = answer.status();
                let reason = if status.is_redirection() {
                    format!("it answered {}; redirects are not followed", status.as_u16())
                } else {
                    format!("it answered {}", status.as_u16())
                };
                Outcome::Failed {
                    status: Some(status.as_u16()),
                    reason,
                    asked: seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_ASKED)),
                }
            }
            // The URL may hold a token of the receiver.
            Err(error) => failed(None, error_chain(&error.without_url())),
        }
    }
}

fn failed(status: Option<u16>, reason: String) -> Outcome {
    Outcome::Failed {
        status,
        reason,
        asked: None,
    }
}

/// The body of a delivery: the same bytes at every attempt.
fn body(claimed: &Claimed) -> String {
    format!(
        r#"{{"type":"{}","timestamp":"{}","data":{}}}"#,
        claimed.kind,
        claimed.created_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        claimed.data
    )
}
