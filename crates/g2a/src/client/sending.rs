//! Sends single requests in the order breaker, concurrency permit, budget, authorization, request, and decides which
//! may be retried.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::accounts::{Account, Signer};
use super::answers::{Answer, BodyEnd, SMALL_LIMIT, body_limit, clock_ahead, not_answered, read};
use super::patience::Patience;
use super::requests::Request;
use super::{Inner, count};
use crate::auth::Authorization;
use crate::breaker::{Breaker, Change, Ending, Ticket};
use crate::budget::{BudgetError, CallClass};
use crate::error::{Call, Code, Error, Lost, NotSent, Repeat, TokenFailure};
use crate::retry::backoff;
use crate::wire::{error_code, parse_token};
use lockstep_domain::Secret;

impl Inner {
    /// Sends a read, and retries while the error allows it and attempts and time are left.
    pub(super) async fn repeated<T>(
        &self,
        request: &Request,
        parse: impl Fn(&[u8]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let retry = &self.config.retry;
        let began = Instant::now();
        let mut attempt = 1;
        loop {
            let error = match self.read_once(request, &parse).await {
                Ok(read) => return Ok(read),
                Err(error) => error,
            };
            let Repeat::Safe(asked_for) = error.repeat() else {
                return Err(error);
            };
            // An open breaker and an empty budget have had their wait; the caller gets the error.
            let fails_fast = matches!(
                error,
                Error::NotSent {
                    reason: NotSent::BreakerOpen { .. } | NotSent::Budget(_),
                    ..
                }
            );
            let random = backoff(retry, attempt, &mut self.config.random.rng());
            let wait = asked_for.map_or(random, |asked_for| asked_for.saturating_add(random.min(asked_for / 10)));
            if fails_fast || attempt >= retry.attempts || began.elapsed().saturating_add(wait) > retry.total {
                return Err(error);
            }
            tracing::debug!(
                call = request.call.name(),
                attempt,
                ?wait,
                "retrying a call to G2A: {error}"
            );
            tokio::time::sleep(wait).await;
            self.tally.repeat();
            attempt += 1;
        }
    }

    /// Sends one request whose answer must be complete and readable.
    pub(super) async fn read_once<T>(
        &self,
        request: &Request,
        parse: impl Fn(&[u8]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let call = request.call;
        let result = self.send(request).await;
        let result = result.and_then(|answer| parse(&answer.whole(call)?));
        count(call, result.as_ref().map_or_else(Error::label, |_| "ok"));
        result
    }

    /// Sends one request when breaker and budget allow it. Returns a 2xx answer, complete or not, or an error.
    pub(super) async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let call = request.call;
        let not_sent = |reason| Error::NotSent { call, reason };
        if let Account::Unknown(mark) = &request.account {
            return Err(not_sent(NotSent::UnknownAccount(mark.clone())));
        }
        if let Some(retry_after) = self.breaker().refuses(Instant::now()) {
            return Err(not_sent(NotSent::BreakerOpen { retry_after }));
        }
        let _permit = self
            .acquire_permit(call.class())
            .await
            .map_err(|error| not_sent(NotSent::Budget(error)))?;
        let admission = self
            .admit()
            .map_err(|retry_after| not_sent(NotSent::BreakerOpen { retry_after }))?;
        let result = self.authorized(request).await;
        admission.finish(match &result {
            Ok(Answer {
                end: BodyEnd::Broken | BodyEnd::TimedOut,
                ..
            }) => Ending::Failed,
            Err(error) if error.is_failure_of_g2a() => Ending::Failed,
            _ => Ending::Answered,
        });
        if let Some(wait) = result.as_ref().err().and_then(Error::asks_to_slow_down) {
            self.pause_all_calls(wait).await;
        }
        result
    }

    /// Waits for a concurrency permit and then for the budget, so that a granted call is sent at once.
    pub(super) async fn acquire_permit(&self, class: CallClass) -> Result<SemaphorePermit<'_>, BudgetError> {
        let permits = match class {
            CallClass::Catalogue => &self.catalogue_places,
            CallClass::Order => &self.order_places,
        };
        let waiting = async {
            let permit = permits
                .acquire()
                .await
                .map_err(|closed| BudgetError::Unavailable(closed.into()))?;
            self.budget.acquire(class).await?;
            Ok(permit)
        };
        self.within_budget_timeout(waiting).await
    }

    async fn within_budget_timeout<T>(
        &self,
        waiting: impl Future<Output = Result<T, BudgetError>>,
    ) -> Result<T, BudgetError> {
        let waited = self.config.budget_timeout;
        timeout(waited, waiting)
            .await
            .unwrap_or(Err(BudgetError::TimedOut { waited }))
    }

    async fn pause_all_calls(&self, wait: Duration) {
        tracing::warn!(
            wait_s = wait.as_secs(),
            "G2A's rate limit is reached: no calls for {wait:?}"
        );
        if self.within_budget_timeout(self.budget.penalise(wait)).await.is_err() {
            tracing::warn!("the shared request budget could not be paused");
        }
    }

    /// Signs and sends the request. Replaces a refused token once, for calls that may be made twice.
    async fn authorized(&self, request: &Request) -> Result<Answer, Error> {
        let call = request.call;
        let access = self.access(&request.account);
        let access = access.map_err(|reason| Error::NotSent { call, reason })?;
        let authorization = self.authorization(&access.signer, call).await?;
        let result = self.exchange(request, &authorization).await;
        let (Signer::Bearer { tokens, .. }, true) = (&access.signer, result.as_ref().is_err_and(token_may_be_bad))
        else {
            return result;
        };
        tokens.drop_refused(&authorization).await;
        if !matches!(call, Call::Products | Call::OrderDetails | Call::CreateOrder) {
            return Err(Error::TokenRejected { call });
        }
        let authorization = self.authorization(&access.signer, call).await?;
        let granted = self.within_budget_timeout(self.budget.acquire(call.class())).await;
        granted.map_err(|error| Error::NotSent {
            call,
            reason: NotSent::Budget(error),
        })?;
        self.exchange(request, &authorization).await
    }

    async fn authorization(&self, signer: &Signer, call: Call) -> Result<Authorization, Error> {
        match signer {
            Signer::Fixed(authorization) => Ok(authorization.clone()),
            Signer::Bearer {
                tokens,
                token_url,
                client_id,
                client_secret,
            } => {
                let fetch = self.fetch_token(token_url, client_id, client_secret);
                tokens.get(fetch).await.map_err(|failure| Error::NotSent {
                    call,
                    reason: NotSent::Token(failure),
                })
            }
        }
    }

    pub(super) async fn fetch_token(
        &self,
        token_url: &str,
        client_id: &Secret,
        client_secret: &Secret,
    ) -> Result<(Secret, Option<u64>), TokenFailure> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id.expose()),
            ("client_secret", client_secret.expose()),
        ];
        let mut patience = Patience::new(self.config.timeout);
        let response = tokio::select! {
            biased;
            sent = self.single.post(token_url).form(&form).send() => sent.map_err(|_| TokenFailure::Unavailable)?,
            () = patience.over() => return Err(TokenFailure::Unavailable),
        };
        let answer = read(response, SMALL_LIMIT, &mut patience, self.config.clock.now()).await;
        match answer.status {
            200..300 if matches!(answer.end, BodyEnd::Complete) => {
                parse_token(&answer.body).ok_or(TokenFailure::Unreadable)
            }
            200..300 | 500.. => Err(TokenFailure::Unavailable),
            429 => Err(TokenFailure::RateLimited {
                retry_after: answer.retry_after,
            }),
            status => Err(TokenFailure::Refused { status }),
        }
    }

    /// Sends exactly one HTTP request and records its duration.
    async fn exchange(&self, request: &Request, authorization: &Authorization) -> Result<Answer, Error> {
        let began = Instant::now();
        let span = lockstep_telemetry::call_span(format_args!("g2a.{}", request.call.name()));
        let result = self.round_trip(request, authorization).instrument(span.clone()).await;
        if result.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        if !matches!(result, Err(Error::NotSent { .. })) {
            metrics::histogram!("lockstep_g2a_call_seconds", "call" => request.call.name()).record(began.elapsed());
            let is_whole = matches!(&result, Ok(answer) if matches!(answer.end, BodyEnd::Complete));
            self.tally.count(is_whole, began.elapsed());
        }
        result
    }

    async fn round_trip(&self, request: &Request, authorization: &Authorization) -> Result<Answer, Error> {
        let call = request.call;
        let client = if call.only_reads() { &self.reads } else { &self.single };
        let limit = if call == Call::Key {
            self.config.key_timeout
        } else {
            self.config.timeout
        };
        let url = format!("{}{}", self.config.base_url, request.path);
        let mut http = client
            .request(request.method.clone(), url)
            .header(AUTHORIZATION, authorization.header.clone());
        if let Some(parent) = lockstep_telemetry::current() {
            http = http.header(lockstep_telemetry::HEADER, parent.to_string());
        }
        if !request.query.is_empty() {
            http = http.query(&request.query);
        }
        if let Some(body) = &request.body {
            http = http.header(CONTENT_TYPE, "application/json").body(body.clone());
        } else if request.method == Method::PUT {
            http = http
                .header(CONTENT_TYPE, "application/json")
                .header(CONTENT_LENGTH, "0");
        }
        let mut patience = Patience::new(limit);
        let response = tokio::select! {
            biased;
            sent = http.send() => sent.map_err(|error| not_answered(call, error))?,
            () = patience.over() => {
                let reason = Lost::Timeout;
                return Err(Error::Lost { call, reason });
            }
        };
        let now = self.config.clock.now();
        if let Some(ahead) = clock_ahead(&response, now) {
            self.clock_ahead_ms.store(ahead.num_milliseconds(), Ordering::Relaxed);
        }
        let answer = read(response, body_limit(call), &mut patience, now).await;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let code = error_code(&answer.body);
        let too_many = answer.status == 429 || code == Some(Code::TooManyRequests);
        let pause = self.config.retry.rate_limit_pause;
        let retry_after = answer.retry_after.or(too_many.then_some(pause));
        let status = answer.status;
        Err(Error::Refused {
            call,
            status,
            code,
            retry_after,
        })
    }

    pub(super) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self) -> Result<Admission<'_>, Duration> {
        let ticket = self.breaker().admit(Instant::now())?;
        Ok(Admission {
            inner: self,
            ticket: Some(ticket),
        })
    }
}

/// A call that the breaker admitted. Dropped without a result it counts as abandoned, so that a cancelled probe does
/// not keep the breaker half open.
struct Admission<'a> {
    inner: &'a Inner,
    ticket: Option<Ticket>,
}

impl Admission<'_> {
    fn finish(mut self, ending: Ending) {
        self.end(ending);
    }

    fn end(&mut self, ending: Ending) {
        let Some(ticket) = self.ticket.take() else { return };
        let change = self.inner.breaker().finish(ticket, ending, Instant::now());
        let base_url = &self.inner.config.base_url;
        match change {
            Some(Change::Opened) => tracing::warn!(base_url, "G2A does not answer; the circuit breaker is open"),
            Some(Change::Closed) => tracing::info!(base_url, "G2A answers again"),
            None => {}
        }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.end(Ending::Abandoned);
    }
}

/// Whether another token may fix a 401; not if G2A refused our address or our permissions.
fn token_may_be_bad(error: &Error) -> bool {
    let another_cause = matches!(error.code(), Some(Code::AddressNotAllowed | Code::NoPrivilege));
    matches!(error, Error::Refused { status: 401, .. }) && !another_cause
}
