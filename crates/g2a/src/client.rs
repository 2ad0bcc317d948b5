//! The calls themselves, as typed methods of one [`Client`].
//!
//! `requests` is what can be asked, `sending` asks it in the order breaker, a free place, budget, authorization, request,
//! `answers` takes in what comes, `patience` says for how long, `http` holds the two HTTP clients and why there are two.
//!
//! Every request counts in `g2a_calls_total{call,outcome}` (`ok`, `refused`, `rate_limited`, `server_error`, `bad_answer`,
//! `lost`, `not_sent`); those that were sent are timed in `g2a_call_seconds{call}`, without the wait
//! for the budget.

mod answers;
mod http;
mod patience;
mod requests;
mod sending;

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use reqwest::Method;
use tokio::sync::Semaphore;

use crate::auth::{Authorization, TokenCache, hash_header, secret_header};
use crate::breaker::{Breaker, Health};
use crate::budget::Budget;
use crate::config::{Auth, Config, ConfigError};
use crate::error::{BadAnswer, Call, Error};
use crate::secret::SecretText;
use crate::wire::{
    CreatedOrder, OrderDetails, Payment, Product, ProductPage, parse_created_order, parse_order_details, parse_payment,
    parse_product_page,
};
use answers::BodyEnd;
use requests::{Request, argument};

pub use answers::RawKeyAnswer;
pub use requests::{MAX_PAGE, NewOrder, PAGE_SIZE, ProductQuery};

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
    /// How far G2A's clock was ahead at the last answer; [`i64::MIN`] before the first.
    clock_ahead_ms: AtomicI64,
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

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base_url", &self.inner.config.base_url)
            .finish_non_exhaustive()
    }
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
        let (reads, single) = http::clients(&config)?;
        Ok(Self {
            inner: Arc::new(Inner {
                reads,
                single,
                budget,
                breaker: Mutex::new(Breaker::new(config.breaker.clone())),
                catalogue_places: Semaphore::new(config.concurrency),
                order_places: Semaphore::new(config.concurrency),
                signer,
                clock_ahead_ms: AtomicI64::new(i64::MIN),
                config,
            }),
        })
    }

    /// Whether G2A is answering, as this process has seen it.
    pub fn health(&self) -> Health {
        self.inner.breaker().health(Instant::now())
    }

    /// How far G2A's clock was ahead of this machine's at the last answer, to a second or two; `None` before the first
    /// that told the time.
    pub fn clock_ahead(&self) -> Option<chrono::TimeDelta> {
        match self.inner.clock_ahead_ms.load(Ordering::Relaxed) {
            i64::MIN => None,
            ms => Some(chrono::TimeDelta::milliseconds(ms)),
        }
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
    /// Any [`Error`]; after [`Repeat::LookFirst`](crate::Repeat::LookFirst) read [`order_details`](Self::order_details) before anything else.
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

fn count(call: Call, outcome: &'static str) {
    metrics::counter!("g2a_calls_total", "call" => call.name(), "outcome" => outcome).increment(1);
}
