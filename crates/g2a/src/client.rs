//! The calls, as typed methods of [`Client`].
//!
//! `requests` defines them; `sending` sends them in the order breaker, concurrency permit, budget, authorization,
//! request; `answers` reads the responses; `patience` limits the time; `http` has the two HTTP clients and the reason
//! for two.
//!
//! Every request counts in `lockstep_g2a_calls_total{call,outcome}` (`ok`, `refused`, `rate_limited`, `server_error`,
//! `bad_answer`, `lost`, `not_sent`); `lockstep_g2a_call_seconds{call}` measures the requests that were sent, without the wait
//! for the budget.

mod accounts;
mod answers;
mod http;
mod patience;
mod requests;
mod sending;
mod tally;

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use reqwest::Method;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::breaker::{Breaker, Health};
use crate::budget::Budget;
use crate::config::{Config, ConfigError};
use crate::error::{BadAnswer, Call, Error};
use crate::wire::{
    CreatedOrder, OrderDetails, Payment, Product, ProductPage, parse_created_order, parse_order_details, parse_payment,
    parse_product_page,
};
use accounts::{Account, Accounts};
use answers::BodyEnd;
use requests::{Request, argument};

use tally::Tally;

pub use accounts::AccessToken;
pub use answers::RawKeyAnswer;
pub use requests::{MAX_PAGE, NewOrder, PAGE_SIZE, ProductQuery};
pub use tally::Calls;

/// Client of the G2A API. Cheap to clone; clones share connections, token, breaker and concurrency permits.
///
/// Dropping the future of a call abandons it. Never drop that of [`key_bytes`](Self::key_bytes) once it has started:
/// run it in its own task and await the task.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    account: Account,
}

struct Inner {
    config: Config,
    reads: reqwest::Client,
    single: reqwest::Client,
    budget: Arc<dyn Budget>,
    breaker: Mutex<Breaker>,
    catalogue_places: Semaphore,
    order_places: Semaphore,
    accounts: RwLock<Accounts>,
    /// How far G2A's clock was ahead at the last answer, in milliseconds; [`i64::MIN`] before the first.
    clock_ahead_ms: AtomicI64,
    tally: Tally,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base_url", &self.inner.config.base_url)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Creates a client without making a call. Certificates are only needed for an `https` address.
    ///
    /// # Errors
    /// Returns [`ConfigError`], which names the invalid setting.
    pub fn new(config: Config, budget: Arc<dyn Budget>) -> Result<Self, ConfigError> {
        config.validate()?;
        let accounts = Accounts::of(config.auth.as_ref(), &[])?;
        let (reads, single) = http::clients(&config)?;
        Ok(Self {
            inner: Arc::new(Inner {
                reads,
                single,
                budget,
                breaker: Mutex::new(Breaker::new(config.breaker.clone())),
                catalogue_places: Semaphore::new(config.concurrency),
                order_places: Semaphore::new(config.concurrency),
                accounts: RwLock::new(accounts),
                clock_ahead_ms: AtomicI64::new(i64::MIN),
                tally: Tally::default(),
                config,
            }),
            account: Account::InUse,
        })
    }

    fn about_order(&self, call: Call, method: Method, path: &str, order_id: &str) -> Result<Request, Error> {
        Request::about_order(&self.account, call, method, path, order_id)
    }

    /// What this client and its clones have counted since they were made.
    pub fn calls(&self) -> Calls {
        self.inner.tally.calls()
    }

    /// Returns G2A's health as this process sees it.
    pub fn health(&self) -> Health {
        self.inner.breaker().health(Instant::now())
    }

    /// Returns how far G2A's clock was ahead of this machine's at the last answer, accurate to a second or two; `None`
    /// before the first answer with a `Date`.
    pub fn clock_ahead(&self) -> Option<chrono::TimeDelta> {
        match self.inner.clock_ahead_ms.load(Ordering::Relaxed) {
            i64::MIN => None,
            ms => Some(chrono::TimeDelta::milliseconds(ms)),
        }
    }

    /// Fetches one page of products. Retries where that can help, within [`RetryConfig`](crate::RetryConfig).
    ///
    /// # Errors
    /// Returns any [`Error`]. A single unreadable product is not an error.
    pub async fn products(&self, query: &ProductQuery) -> Result<ProductPage, Error> {
        let page = query.page.max(1);
        if page > MAX_PAGE {
            return Err(argument(Call::Products, "page"));
        }
        let request = Request {
            account: self.account.clone(),
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

    /// Fetches one product by its id, in stock or not; `None` if G2A does not list it.
    ///
    /// It uses the list, because sources disagree about the shape of `GET /products/{id}`.
    ///
    /// # Errors
    /// Returns any [`Error`]; [`Error::BadAnswer`] if the product is listed but unreadable.
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

    /// Creates and reserves an order for 30 minutes. It sends one request: after a failure the caller decides, and an
    /// order that was created without an answer lapses unpaid.
    ///
    /// # Errors
    /// Returns any [`Error`]. A product that is sold out or above the maximum price has no documented code: it is an
    /// [`Error::Refused`] with [`Outcome::Refused`](crate::Outcome::Refused).
    pub async fn create_order(&self, order: &NewOrder) -> Result<CreatedOrder, Error> {
        let request = Request {
            account: self.account.clone(),
            call: Call::CreateOrder,
            method: Method::POST,
            path: "/order".into(),
            query: Vec::new(),
            body: Some(order.body()?),
        };
        self.inner.read_once(&request, parse_created_order).await
    }

    /// Fetches the details of an order. Retries where that can help.
    ///
    /// # Errors
    /// Returns any [`Error`].
    pub async fn order_details(&self, order_id: &str) -> Result<OrderDetails, Error> {
        let request = self.about_order(Call::OrderDetails, Method::GET, "/order/details/", order_id)?;
        self.inner.repeated(&request, parse_order_details).await
    }

    /// Pays an order. It sends one request and never retries: whether G2A would charge twice is unknown.
    ///
    /// # Errors
    /// Returns any [`Error`]. After [`Repeat::LookFirst`](crate::Repeat::LookFirst), read
    /// [`order_details`](Self::order_details) before anything else.
    pub async fn pay(&self, order_id: &str) -> Result<Payment, Error> {
        let request = self.about_order(Call::Pay, Method::PUT, "/order/pay/", order_id)?;
        self.inner.read_once(&request, parse_payment).await
    }

    /// Fetches the bytes of a key with exactly one HTTP request. G2A hands out a key once: record the intention before
    /// the call, and store the bytes before parsing them with [`parse_key`](crate::parse_key).
    ///
    /// Must not be cancelled once started (see [`Client`]).
    ///
    /// # Errors
    /// Returns [`Error::Refused`] for every status but 2xx, and [`Error::Lost`] if no answer began. Once a 2xx has
    /// begun there is no error: [`RawKeyAnswer::complete`] reports whether it also ended.
    pub async fn key_bytes(&self, order_id: &str) -> Result<RawKeyAnswer, Error> {
        let request = self.about_order(Call::Key, Method::GET, "/order/key/", order_id)?;
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

fn count(call: Call, outcome: &'static str) {
    metrics::counter!("lockstep_g2a_calls_total", "call" => call.name(), "outcome" => outcome).increment(1);
}
