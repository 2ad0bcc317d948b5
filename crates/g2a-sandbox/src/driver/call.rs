//! Makes a call like G2A, and checks what holds for every answer: within the deadline, no server error, errors in their
//! documented form.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, Url};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use serde_json::Value;

use super::{Deviation, DriveError, DriveReport};

/// Maximum size of an answer in bytes: a file key may be long.
const MAX_ANSWER: usize = 16 << 20;

/// One call to make.
pub(super) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    token: Option<String>,
}

impl Call {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            token: None,
        }
    }

    pub(super) fn query(mut self, name: &'static str, value: &str) -> Self {
        self.query.push((name, value.to_owned()));
        self
    }

    pub(super) fn body(self, body: &Value) -> Self {
        self.bytes(body.to_string())
    }

    pub(super) fn bytes(self, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: Some(body.into()),
            ..self
        }
    }

    pub(super) fn with(self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self
        }
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// An answer. `body` is `None` if there was none or it is not JSON.
pub(super) struct Answer {
    pub(super) call: String,
    pub(super) status: u16,
    pub(super) body: Option<Value>,
    empty: bool,
    took: Duration,
}

/// Makes calls and collects the report.
pub(super) struct Caller {
    http: Client,
    base: Url,
    deadline: Duration,
    step: &'static str,
    report: DriveReport,
    /// Digests of the texts of all items of all orders: no key may be handed out twice.
    sold: HashSet<[u8; 32]>,
}

impl Caller {
    pub(super) fn new(base: Url, deadline: Duration) -> Result<Self, DriveError> {
        let http = Client::builder()
            .user_agent(concat!("lockstep-g2a-sandbox/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .tls_backend_preconfigured(tls(base.scheme() == "https")?)
            .build()
            .map_err(DriveError::Http)?;
        Ok(Self {
            http,
            base,
            deadline,
            step: "",
            report: DriveReport {
                steps: Vec::new(),
                calls: 0,
                slowest_ms: 0,
                items: 0,
                deviations: Vec::new(),
            },
            sold: HashSet::new(),
        })
    }

    pub(super) fn into_report(self) -> DriveReport {
        self.report
    }

    /// Starts a step, to which the following calls belong.
    pub(super) fn step(&mut self, step: &'static str) {
        self.step = step;
        self.report.steps.push(step);
    }

    pub(super) fn deviation(&mut self, call: &str, what: impl Into<String>) {
        self.report.deviations.push(Deviation {
            step: self.step,
            call: call.to_owned(),
            what: what.into(),
        });
    }

    /// Records an item that was handed out. Returns `false` if its text was handed out before.
    pub(super) fn sell(&mut self, digest: [u8; 32]) -> bool {
        self.report.items += 1;
        self.sold.insert(digest)
    }

    /// Makes a call that must be answered with one of `expected`. Otherwise reports a deviation and returns `None`.
    pub(super) async fn call(&mut self, call: Call, expected: &[u16]) -> Option<Answer> {
        let answer = self.send(&call).await;
        self.judge(&call, answer, expected)
    }

    /// Makes the same call twice concurrently and returns both answers.
    pub(super) async fn twice(&mut self, call: Call, expected: &[u16]) -> Vec<Answer> {
        let (one, other) = tokio::join!(self.send(&call), self.send(&call));
        [one, other]
            .into_iter()
            .filter_map(|answer| self.judge(&call, answer, expected))
            .collect()
    }

    async fn send(&self, call: &Call) -> Result<Answer, String> {
        let began = Instant::now();
        let within = tokio::time::timeout(self.deadline, self.exchange(call)).await;
        let (status, bytes) = match within {
            Err(_) => return Err(format!("no answer within {} ms", self.deadline.as_millis())),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(answer)) => answer,
        };
        Ok(Answer {
            call: call.name(),
            status,
            body: serde_json::from_slice(&bytes).ok(),
            empty: bytes.is_empty(),
            took: began.elapsed(),
        })
    }

    async fn exchange(&self, call: &Call) -> Result<(u16, Vec<u8>), String> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), call.path));
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = self.http.request(call.method.clone(), url);
        if let Some(body) = &call.body {
            request = request.header("Content-Type", "application/json").body(body.clone());
        }
        if let Some(token) = &call.token {
            request = request.bearer_auth(token);
        }
        // The query of an address may contain the secret.
        let lost = |error: reqwest::Error| format!("no answer: {}", error.without_url());
        let mut response = request.send().await.map_err(lost)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ANSWER {
                return Err(format!("an answer of more than {MAX_ANSWER} bytes"));
            }
        }
        Ok((response.status().as_u16(), bytes))
    }

    fn judge(&mut self, call: &Call, answer: Result<Answer, String>, expected: &[u16]) -> Option<Answer> {
        self.report.calls += 1;
        let answer = match answer {
            Ok(answer) => answer,
            Err(what) => {
                self.deviation(&call.name(), what);
                return None;
            }
        };
        let took = u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX);
        self.report.slowest_ms = self.report.slowest_ms.max(took);
        if !expected.contains(&answer.status) {
            self.deviation(
                &answer.call,
                format!("{} instead of {}", answer.status, either(expected)),
            );
            return None;
        }
        if answer.status == 204 && !answer.empty {
            self.deviation(&answer.call, "204 has no body");
        }
        if answer.status >= 400 {
            let text = |name: &str| answer.body.as_ref().is_some_and(|body| body[name].is_string());
            if !text("code") || !text("message") {
                self.deviation(
                    &answer.call,
                    format!("the body of a {} must be {{code, message}}", answer.status),
                );
            }
        }
        Some(answer)
    }
}

/// TLS with the machine's certificates, which a plain-text server does not need.
fn tls(needed: bool) -> Result<ClientConfig, DriveError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(DriveError::Tls)?;
    Ok(if needed {
        builder
            .with_platform_verifier()
            .map_err(DriveError::Tls)?
            .with_no_client_auth()
    } else {
        builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth()
    })
}

fn either(statuses: &[u16]) -> String {
    let texts: Vec<String> = statuses.iter().map(u16::to_string).collect();
    texts.join(" or ")
}
