//! The HTTP client that all buyers share: it checks every response before a buyer sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use reqwest::{Client, Method};
use serde_json::Value;

use crate::machine::is_busy;
use crate::plan::{Fault, Lane};
use crate::timeline::{Period, Timeline};
use crate::verdicts::{Rule, Verdicts};

/// Time limit of a request: the shop's own limit is 10 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long after its end a fault explains refusals.
const GRACE: Duration = Duration::from_secs(15);

/// A request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) token: Option<String>,
    pub(crate) cookie: Option<String>,
    /// JSON, or an encoded form.
    pub(crate) body: Option<String>,
    /// `Idempotency-Key`.
    pub(crate) key: Option<String>,
}

impl Request {
    /// A GET request.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }

    /// A request with a JSON body.
    pub(crate) fn send(method: Method, path: impl Into<String>, body: &Value) -> Self {
        Self {
            method,
            path: path.into(),
            body: Some(body.to_string()),
            ..Self::default()
        }
    }
}

/// A definite response.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// The guest cookie, if one was set.
    pub(crate) cookie: Option<String>,
}

impl Answer {
    /// Whether the request succeeded.
    pub(crate) fn done(&self) -> bool {
        matches!(self.status, 200..=399)
    }

    /// The body as JSON; null when it is not.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// `error.code`.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A game on sale.
#[derive(Debug, Clone)]
pub(crate) struct Game {
    pub(crate) id: String,
    pub(crate) slug: String,
}

/// The two instances of the shop.
#[derive(Debug, Clone)]
pub(crate) struct Shop {
    http: Client,
    /// The listening addresses, with the numbers of the instances.
    pub(crate) doors: Arc<Vec<(usize, SocketAddr)>>,
    pub(crate) games: Arc<Vec<Game>>,
    pub(crate) timeline: Timeline,
    pub(crate) verdicts: Verdicts,
}

impl Shop {
    /// A client without games.
    pub(crate) fn new(doors: Vec<(usize, SocketAddr)>, timeline: Timeline, verdicts: Verdicts) -> Result<Self> {
        Ok(Self {
            http: Client::builder()
                .no_proxy()
                .timeout(PATIENCE)
                .redirect(reqwest::redirect::Policy::none())
                .build()?,
            doors: Arc::new(doors),
            games: Arc::default(),
            timeline,
            verdicts,
        })
    }

    /// Sends a request to an instance; `None` when its effect is unknown: temporarily refused, or no response.
    pub(crate) async fn ask(&self, door: usize, request: &Request) -> Option<Answer> {
        let (instance, address) = *self.doors.get(door % self.doors.len())?;
        let sent = Instant::now();
        let answered = self.raw(address, request).await;
        let seen = match &answered {
            Ok(answer) => format!(
                "{} {}",
                answer.status,
                answer.body.chars().take(300).collect::<String>()
            ),
            Err(error) => format!("no answer: {error:#}"),
        };
        let said = format!(
            "{} {} at instance {instance} after {} ms: {seen}",
            request.method,
            request.path,
            sent.elapsed().as_millis()
        );
        let status = answered.as_ref().map_or(0, |answer| answer.status);
        if status == 500 {
            self.verdicts.broken(Rule::No500, said);
            return None;
        }
        self.verdicts.held(Rule::No500);
        // The API allows one export per account at a time, and only a few in total.
        if status == 429 && request.path == "/api/user/export" {
            self.verdicts.held(Rule::NoRefusalInCalm);
            return None;
        }
        if matches!(status, 0 | 429 | 502 | 503 | 504) {
            let faults = self.timeline.between(sent, Instant::now(), GRACE);
            let excused = faults.iter().any(|period| excuses(period, instance, request))
                || (matches!(status, 0 | 503 | 504) && is_busy());
            self.verdicts.judge(Rule::NoRefusalInCalm, (!excused).then_some(said));
            return None;
        }
        self.verdicts.held(Rule::NoRefusalInCalm);
        answered.ok()
    }

    /// Records a response that is not among the expected ones.
    pub(crate) fn unexpected(&self, request: &Request, answer: &Answer) {
        self.verdicts.broken(
            Rule::ExpectedAnswers,
            format!(
                "{} {}: {} {}",
                request.method,
                request.path,
                answer.status,
                answer.body.chars().take(300).collect::<String>()
            ),
        );
    }

    /// Sends one request and returns its response unchecked.
    pub(crate) async fn raw(&self, address: SocketAddr, request: &Request) -> Result<Answer> {
        let mut asked = self
            .http
            .request(request.method.clone(), format!("http://{address}{}", request.path));
        if let Some(token) = &request.token {
            asked = asked.bearer_auth(token);
        }
        if let Some(cookie) = &request.cookie {
            asked = asked.header("cookie", cookie);
        }
        if let Some(key) = &request.key {
            asked = asked.header("idempotency-key", key);
        }
        if let Some(body) = &request.body {
            let kind = if body.starts_with('{') {
                "application/json"
            } else {
                "application/x-www-form-urlencoded"
            };
            asked = asked.header("content-type", kind).body(body.clone());
        }
        let answer = asked.send().await?;
        let cookie = answer
            .headers()
            .get_all("set-cookie")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .find(|value| value.starts_with("sessionId="))
            .and_then(|value| value.split(';').next())
            .map(str::to_owned);
        Ok(Answer {
            status: answer.status().as_u16(),
            cookie,
            body: answer.text().await?,
        })
    }
}

/// Whether a fault explains that an instance refused a request. Faults of G2A, the mail server and Redis never do: no
/// request waits for them.
fn excuses(period: &Period, instance: usize, request: &Request) -> bool {
    let own = period.instance == Some(instance);
    match period.fault {
        // A row lock does not prevent reading the shop.
        Fault::GameRowLocked | Fault::UserRowLocked => {
            let catalogue = request.path.starts_with("/api/games") || request.path.starts_with("/games");
            !(request.method == Method::GET && catalogue)
        }
        // It may be suspended while it holds row locks.
        Fault::InstancePaused | Fault::InstancePausedPastLeases => true,
        fault => match fault.lane() {
            Lane::Database => true,
            Lane::Instance => own,
            Lane::Redis | Lane::Supplier | Lane::Mail => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_faults_that_requests_wait_for_explain_refusals() {
        let period = |fault, instance| Period {
            fault,
            instance,
            from: Instant::now(),
            until: None,
            recovered: None,
        };
        let (read, write) = (
            Request::get("/api/games?page=2"),
            Request::send(Method::POST, "/api/orders", &Value::Null),
        );
        assert!(excuses(&period(Fault::DatabaseFrozen, None), 0, &read));
        assert!(!excuses(&period(Fault::SupplierSlow, None), 0, &write));
        assert!(!excuses(&period(Fault::RedisKilled, None), 0, &read));
        assert!(!excuses(&period(Fault::GameRowLocked, None), 0, &read));
        assert!(excuses(&period(Fault::GameRowLocked, None), 0, &write));
        assert!(excuses(&period(Fault::InstanceKilled, Some(1)), 1, &read));
        assert!(!excuses(&period(Fault::InstanceKilled, Some(1)), 0, &read));
    }
}
