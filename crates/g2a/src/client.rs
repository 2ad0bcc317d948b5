//! The calls themselves: one HTTP request at a time, in the order breaker, a free place, budget, authorization, request.
//!
//! Two HTTP clients stand behind a [`Client`]. Reads share pooled connections and accept compression. Creating, paying and
//! fetching a key go out one by one, each on a connection of its own and uncompressed: a request on a connection that is
//! just being closed is quietly sent again by HTTP libraries, and half of a compressed key is no key at all.
//! Neither client follows redirects, uses a proxy, or repeats anything by itself.
//!
//! Every request counts in `g2a_calls_total{call,outcome}` (`ok`, `refused`, `rate_limited`, `server_error`, `bad_answer`,
//! `lost`, `not_sent`); those that were sent are timed in `g2a_call_seconds{call}`, without the wait
//! for the budget.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, Response};
use rust_decimal::Decimal;
use rustls_platform_verifier::BuilderVerifierExt;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::auth::{Authorization, TokenCache, hash_header, secret_header};
use crate::breaker::{Breaker, Change, Ending, Health, Ticket};
use crate::budget::{Budget, BudgetError, CallClass};
use crate::config::{Auth, Config, ConfigError};
use crate::error::{BadAnswer, Call, Code, Error, Lost, NotSent, Repeat, TokenFailure};
use crate::retry::{backoff, retry_after};
use crate::secret::SecretText;
use crate::wire::{
    CreatedOrder, OrderDetails, Payment, Product, ProductPage, error_code, is_id, parse_created_order,
    parse_order_details, parse_payment, parse_product_page, parse_token,
};

/// Products on a page: fixed by G2A.
pub const PAGE_SIZE: u32 = 20;
/// The last page G2A gives out, however many match; a longer list has to be asked for in slices.
pub const MAX_PAGE: u32 = 500;

/// Longest list, in bytes after decompression. 20 products with long descriptions are well below a megabyte.
const LIST_LIMIT: usize = 8 << 20;
/// Longest answer about an order or a token, and longest error body that is looked at.
const SMALL_LIMIT: usize = 64 << 10;
/// Longest key: it can be a file, and once asked for it is better taken whole.
const KEY_LIMIT: usize = 8 << 20;

/// Talks to G2A. Cheap to clone; clones share connections, token, breaker and places.
///
/// Dropping the future of a call abandons it. Never drop that of [`key_bytes`](Self::key_bytes) once it has begun: run it
/// in a task of its own and await that.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    reads: reqwest::Client,
    single: reqwest::Client,
    budget: Arc<dyn Budget>,
    breaker: Mutex<Breaker>,
    catalogue_places: Semaphore,
    order_places: Semaphore,
    signer: Signer,
}

enum Signer {
    Fixed(Authorization),
    Bearer {
        tokens: TokenCache,
        token_url: String,
        client_id: SecretText,
        client_secret: SecretText,
    },
}

/// What to list. The default lists everything in stock, from page 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductQuery {
    /// Page, from 1 to [`MAX_PAGE`]; zero counts as 1.
    pub page: u32,
    /// Only this product.
    pub id: Option<String>,
    /// At least so many in stock.
    pub min_qty: Option<u32>,
    /// `minPrice` at least this, in euro.
    pub min_price_from: Option<Decimal>,
    /// `minPrice` at most this, in euro.
    pub min_price_to: Option<Decimal>,
    /// Also products out of stock.
    pub include_out_of_stock: bool,
    /// Changed at or after this, to the second.
    pub updated_at_from: Option<DateTime<Utc>>,
    /// Changed at or before this, to the second.
    pub updated_at_to: Option<DateTime<Utc>>,
}

/// An order for one key: G2A sells one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// G2A's product id.
    pub product_id: String,
    /// Currency to be charged in: three capital letters.
    pub currency: String,
    /// Highest price, in euro whatever the currency. `None` for no limit; zero is refused, because G2A would read it as no
    /// limit. G2A compares it with `minPrice`, so it does not bound what is charged: look at [`CreatedOrder::price`].
    pub max_price: Option<Money>,
}

/// The answer to a key call, before anything has read it. Store [`body`](Self::body) first, then
/// [`parse_key`](crate::parse_key) it.
#[derive(Clone, PartialEq, Eq)]
pub struct RawKeyAnswer {
    /// HTTP status, always 2xx.
    pub status: u16,
    /// The bytes as they came.
    pub body: Bytes,
    /// False when the connection broke, time ran out or the limit of 8 MiB was reached before the end. What had arrived is
    /// in `body`: it may hold the key, and nothing else will.
    pub complete: bool,
}

/// Says how long the body is and nothing of it.
impl fmt::Debug for RawKeyAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawKeyAnswer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .field("complete", &self.complete)
            .finish()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base_url", &self.inner.config.base_url)
            .finish_non_exhaustive()
    }
}

/// One HTTP request to be made.
struct Request {
    call: Call,
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
}

/// How the body of an answer ended.
enum BodyEnd {
    Complete,
    Broken,
    TimedOut,
    TooLong,
}

struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    body: Bytes,
    end: BodyEnd,
}

impl Client {
    /// A client for these settings. Makes no call yet; certificates are only needed for an `https` address.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that is wrong.
    pub fn new(config: Config, budget: Arc<dyn Budget>) -> Result<Self, ConfigError> {
        config.validate()?;
        let signer = match &config.auth {
            Auth::Hash {
                api_hash,
                email,
                secret,
            } => {
                let header = secret_header(&hash_header(api_hash.expose(), email, secret.expose()));
                Signer::Fixed(Authorization::fixed(header.ok_or(ConfigError::Credential("API hash"))?))
            }
            Auth::OAuth {
                token_url,
                client_id,
                client_secret,
            } => Signer::Bearer {
                tokens: TokenCache::default(),
                token_url: token_url.clone(),
                client_id: client_id.clone(),
                client_secret: client_secret.clone(),
            },
        };
        let tls = tls(config.uses_tls())?;
        let common = || {
            reqwest::Client::builder()
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
        Ok(Self {
            inner: Arc::new(Inner {
                reads: reads.build().map_err(ConfigError::Http)?,
                single: single.build().map_err(ConfigError::Http)?,
                budget,
                breaker: Mutex::new(Breaker::new(config.breaker.clone())),
                catalogue_places: Semaphore::new(config.concurrency),
                order_places: Semaphore::new(config.concurrency),
                signer,
                config,
            }),
        })
    }

    /// Whether G2A is answering, as this process has seen it.
    pub fn health(&self) -> Health {
        self.inner.breaker().health(Instant::now())
    }

    /// One page of products. Repeated where that can help, within [`RetryConfig`](crate::RetryConfig).
    ///
    /// # Errors
    /// Any [`Error`]; a single product that cannot be read is none.
    pub async fn products(&self, query: &ProductQuery) -> Result<ProductPage, Error> {
        let page = query.page.max(1);
        if page > MAX_PAGE {
            return Err(argument(Call::Products, "page"));
        }
        let request = Request {
            call: Call::Products,
            method: Method::GET,
            path: "/products".into(),
            query: query.pairs(page)?,
            body: None,
        };
        self.inner
            .repeated(&request, |body| parse_product_page(body, page))
            .await
    }

    /// One product by its id, in stock or not; `None` when G2A does not list it.
    ///
    /// Asked for through the list: the shape of `GET /products/{id}` is disputed.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::BadAnswer`] when the product is listed and cannot be read.
    pub async fn product(&self, id: &str) -> Result<Option<Product>, Error> {
        let query = ProductQuery {
            id: Some(id.to_owned()),
            include_out_of_stock: true,
            ..ProductQuery::default()
        };
        let page = self.products(&query).await?;
        if let Some(product) = page.products.into_iter().find(|product| product.id == id) {
            return Ok(Some(product));
        }
        match page
            .unreadable
            .into_iter()
            .find(|one| one.id.as_deref().is_none_or(|listed| listed == id))
        {
            Some(one) => Err(Error::BadAnswer {
                call: Call::Products,
                status: 200,
                reason: BadAnswer::Shape(one.reason),
            }),
            None => Ok(None),
        }
    }

    /// Creates and reserves an order for 30 minutes. One request: if it fails the caller decides, and an order that was
    /// created unseen lapses unpaid.
    ///
    /// # Errors
    /// Any [`Error`]. That a product is sold out or dearer than allowed has no documented code: it is some
    /// [`Error::Refused`] with [`Outcome::Refused`](crate::Outcome::Refused).
    pub async fn create_order(&self, order: &NewOrder) -> Result<CreatedOrder, Error> {
        let request = Request {
            call: Call::CreateOrder,
            method: Method::POST,
            path: "/order".into(),
            query: Vec::new(),
            body: Some(order.body()?),
        };
        self.inner.read_once(&request, parse_created_order).await
    }

    /// What G2A says of an order. Repeated where that can help.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn order_details(&self, order_id: &str) -> Result<OrderDetails, Error> {
        let request = Request::about_order(Call::OrderDetails, Method::GET, "/order/details/", order_id)?;
        self.inner.repeated(&request, parse_order_details).await
    }

    /// Pays an order. One request, never repeated here: whether G2A would charge twice is not known.
    ///
    /// # Errors
    /// Any [`Error`]; after [`Repeat::LookFirst`] read [`order_details`](Self::order_details) before anything else.
    pub async fn pay(&self, order_id: &str) -> Result<Payment, Error> {
        let request = Request::about_order(Call::Pay, Method::PUT, "/order/pay/", order_id)?;
        self.inner.read_once(&request, parse_payment).await
    }

    /// Fetches the bytes of a key with exactly one HTTP request. G2A gives a key out once: store the bytes before reading
    /// them with [`parse_key`](crate::parse_key), and record the intention before calling.
    ///
    /// Not to be cancelled once begun (see [`Client`]).
    ///
    /// # Errors
    /// [`Error::Refused`] for every status but 2xx, [`Error::Lost`] when no answer began. Once a 2xx has begun there is
    /// no error: [`RawKeyAnswer::complete`] says whether it also ended.
    pub async fn key_bytes(&self, order_id: &str) -> Result<RawKeyAnswer, Error> {
        let request = Request::about_order(Call::Key, Method::GET, "/order/key/", order_id)?;
        let result = self.inner.send(&request).await.map(|answer| RawKeyAnswer {
            status: answer.status,
            body: answer.body,
            complete: matches!(answer.end, BodyEnd::Complete),
        });
        count(
            Call::Key,
            result
                .as_ref()
                .map_or_else(Error::label, |answer| if answer.complete { "ok" } else { "lost" }),
        );
        result
    }
}

impl Inner {
    /// A read: repeated while the error allows it, attempts are left and time is left.
    async fn repeated<T>(&self, request: &Request, parse: impl Fn(&[u8]) -> Result<T, Error>) -> Result<T, Error> {
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
            // An open breaker and an empty budget have had their wait; the caller is to know.
            let fails_fast = matches!(
                error,
                Error::NotSent {
                    reason: NotSent::BreakerOpen { .. } | NotSent::Budget(_),
                    ..
                }
            );
            let random = backoff(retry, attempt, &mut rand::rng());
            let wait = asked_for.map_or(random, |asked_for| asked_for.saturating_add(random.min(asked_for / 10)));
            if fails_fast || attempt >= retry.attempts || began.elapsed().saturating_add(wait) > retry.total {
                return Err(error);
            }
            tracing::debug!(
                call = request.call.name(),
                attempt,
                ?wait,
                "repeating a call to G2A: {error}"
            );
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// One request, whose answer has to be complete and readable.
    async fn read_once<T>(&self, request: &Request, parse: impl Fn(&[u8]) -> Result<T, Error>) -> Result<T, Error> {
        let call = request.call;
        let result = self
            .send(request)
            .await
            .and_then(|Answer { status, body, end, .. }| match end {
                BodyEnd::Complete => parse(&body),
                BodyEnd::Broken => Err(Error::Lost {
                    call,
                    reason: Lost::HalfBody { status },
                }),
                BodyEnd::TimedOut => Err(Error::Lost {
                    call,
                    reason: Lost::Timeout,
                }),
                BodyEnd::TooLong => Err(Error::BadAnswer {
                    call,
                    status,
                    reason: BadAnswer::TooLarge {
                        limit: body_limit(call),
                    },
                }),
            });
        count(call, result.as_ref().map_or_else(Error::label, |_| "ok"));
        result
    }

    /// One request, if breaker and budget allow it: a 2xx answer, complete or not, or an error.
    async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let call = request.call;
        let not_sent = |reason| Error::NotSent { call, reason };
        if let Some(retry_after) = self.breaker().refuses(Instant::now()) {
            return Err(not_sent(NotSent::BreakerOpen { retry_after }));
        }
        let _place = self
            .place(call.class())
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
            self.pause_everybody(wait).await;
        }
        result
    }

    /// Waits for one of the places and then for the budget, so that a granted call leaves at once.
    async fn place(&self, class: CallClass) -> Result<SemaphorePermit<'_>, BudgetError> {
        let places = match class {
            CallClass::Catalogue => &self.catalogue_places,
            CallClass::Order => &self.order_places,
        };
        let waiting = async {
            let place = places
                .acquire()
                .await
                .map_err(|closed| BudgetError::Unavailable(closed.into()))?;
            self.budget.acquire(class).await?;
            Ok(place)
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

    async fn pause_everybody(&self, wait: Duration) {
        tracing::warn!(wait_s = wait.as_secs(), "G2A asks to slow down: no calls for {wait:?}");
        if self.within_budget_timeout(self.budget.penalise(wait)).await.is_err() {
            tracing::warn!("the shared request budget could not be told to pause");
        }
    }

    /// Signs and makes the request. A token that is refused is replaced once, for calls that may be made twice.
    async fn authorized(&self, request: &Request) -> Result<Answer, Error> {
        let call = request.call;
        let authorization = self.authorization(call).await?;
        let result = self.exchange(request, &authorization).await;
        let (Signer::Bearer { tokens, .. }, true) = (&self.signer, result.as_ref().is_err_and(token_may_be_bad)) else {
            return result;
        };
        tokens.drop_refused(&authorization).await;
        if !matches!(call, Call::Products | Call::OrderDetails | Call::CreateOrder) {
            return Err(Error::TokenRejected { call });
        }
        let authorization = self.authorization(call).await?;
        let granted = self.within_budget_timeout(self.budget.acquire(call.class())).await;
        granted.map_err(|error| Error::NotSent {
            call,
            reason: NotSent::Budget(error),
        })?;
        self.exchange(request, &authorization).await
    }

    async fn authorization(&self, call: Call) -> Result<Authorization, Error> {
        match &self.signer {
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

    async fn fetch_token(
        &self,
        token_url: &str,
        client_id: &SecretText,
        client_secret: &SecretText,
    ) -> Result<(SecretText, Option<u64>), TokenFailure> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id.expose()),
            ("client_secret", client_secret.expose()),
        ];
        let sending = self
            .single
            .post(token_url)
            .form(&form)
            .timeout(self.config.timeout)
            .send();
        let response = sending.await.map_err(|_| TokenFailure::Unavailable)?;
        let answer = read(response, SMALL_LIMIT).await;
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

    /// The HTTP request itself, exactly one, measured.
    async fn exchange(&self, request: &Request, authorization: &Authorization) -> Result<Answer, Error> {
        let began = Instant::now();
        let result = self.round_trip(request, authorization).await;
        if !matches!(result, Err(Error::NotSent { .. })) {
            metrics::histogram!("g2a_call_seconds", "call" => request.call.name()).record(began.elapsed());
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
            .header(AUTHORIZATION, authorization.header.clone())
            .timeout(limit);
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
        let response = http.send().await.map_err(|error| not_answered(call, error))?;
        let answer = read(response, body_limit(call)).await;
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

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
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

/// A call that the breaker let through. Dropped without an ending it counts as abandoned, so that a probe whose caller
/// went away does not keep the breaker half open.
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
            Some(Change::Opened) => tracing::warn!(base_url, "G2A does not answer; calls are held back"),
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

impl Request {
    fn about_order(call: Call, method: Method, path: &str, order_id: &str) -> Result<Self, Error> {
        if !is_id(order_id) {
            return Err(argument(call, "order_id"));
        }
        Ok(Self {
            call,
            method,
            path: format!("{path}{order_id}"),
            query: Vec::new(),
            body: None,
        })
    }
}

impl ProductQuery {
    fn pairs(&self, page: u32) -> Result<Vec<(&'static str, String)>, Error> {
        if self.id.as_deref().is_some_and(|id| !is_id(id)) {
            return Err(argument(Call::Products, "id"));
        }
        let moment = |moment: &DateTime<Utc>| moment.format("%Y-%m-%d %H:%M:%S").to_string();
        let pairs = [
            ("page", Some(page.to_string())),
            ("id", self.id.clone()),
            ("minQty", self.min_qty.map(|qty| qty.to_string())),
            ("minPriceFrom", self.min_price_from.map(|price| price.to_string())),
            ("minPriceTo", self.min_price_to.map(|price| price.to_string())),
            (
                "includeOutOfStock",
                self.include_out_of_stock.then(|| "true".to_owned()),
            ),
            ("updatedAtFrom", self.updated_at_from.as_ref().map(moment)),
            ("updatedAtTo", self.updated_at_to.as_ref().map(moment)),
        ];
        Ok(pairs
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect())
    }
}

impl NewOrder {
    fn body(&self) -> Result<Vec<u8>, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            product_id: &'a str,
            currency: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            max_price: Option<Box<RawValue>>,
        }
        let invalid = |name| argument(Call::CreateOrder, name);
        if !is_id(&self.product_id) {
            return Err(invalid("product_id"));
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(invalid("currency"));
        }
        let max_price = match self.max_price {
            None => None,
            Some(price) if !price.is_positive() => return Err(invalid("max_price")),
            // From its digits, not through a float.
            Some(price) => Some(RawValue::from_string(price.to_string()).map_err(|_| invalid("max_price"))?),
        };
        let body = Body {
            product_id: &self.product_id,
            currency: &self.currency,
            max_price,
        };
        serde_json::to_vec(&body).map_err(|_| invalid("product_id"))
    }
}

fn count(call: Call, outcome: &'static str) {
    metrics::counter!("g2a_calls_total", "call" => call.name(), "outcome" => outcome).increment(1);
}

fn argument(call: Call, name: &'static str) -> Error {
    Error::NotSent {
        call,
        reason: NotSent::Argument(name),
    }
}

fn body_limit(call: Call) -> usize {
    match call {
        Call::Products => LIST_LIMIT,
        Call::Key => KEY_LIMIT,
        Call::CreateOrder | Call::OrderDetails | Call::Pay => SMALL_LIMIT,
    }
}

/// A 401 that another token may cure: not one about our address or our rights.
fn token_may_be_bad(error: &Error) -> bool {
    let another_cause = matches!(error.code(), Some(Code::AddressNotAllowed | Code::NoPrivilege));
    matches!(error, Error::Refused { status: 401, .. }) && !another_cause
}

fn not_answered(call: Call, error: reqwest::Error) -> Error {
    // The address of an order is nobody's business in a log.
    let error = error.without_url();
    if error.is_builder() {
        Error::NotSent {
            call,
            reason: NotSent::Build(error),
        }
    } else if error.is_connect() {
        Error::NotSent {
            call,
            reason: NotSent::Connect(error),
        }
    } else if error.is_timeout() {
        Error::Lost {
            call,
            reason: Lost::Timeout,
        }
    } else {
        Error::Lost {
            call,
            reason: Lost::Connection(error),
        }
    }
}

/// Reads an answer to its end or a little past `limit` bytes, keeping what arrived whatever happens.
async fn read(mut response: Response, limit: usize) -> Answer {
    let status = response.status().as_u16();
    let header = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let retry_after = header.and_then(|value| retry_after(value, Utc::now()));
    let mut body = BytesMut::new();
    let end = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                body.extend_from_slice(&chunk);
                if body.len() > limit {
                    break BodyEnd::TooLong;
                }
            }
            Ok(None) => break BodyEnd::Complete,
            Err(error) if error.is_timeout() => break BodyEnd::TimedOut,
            Err(_) => break BodyEnd::Broken,
        }
    };
    Answer {
        status,
        retry_after,
        body: body.freeze(),
        end,
    }
}

/// TLS with ring and the machine's certificates. A machine without any can still talk to a plain-text simulator.
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
