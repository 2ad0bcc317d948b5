//! Client of G2A's buyer API, the only code that calls G2A.
//!
//! It is a separate crate because G2A takes money and hands out keys that can be read only once, so the rules about
//! repeating calls must be in one place. Other crates use typed calls and an [`Error`] that reports [the effect at
//! G2A](Error::outcome) and [whether to repeat](Error::repeat).
//!
//! `config` has the addresses and credentials, `budget` limits the call rate, `breaker` is the circuit breaker, `auth`
//! signs, `client` makes the calls, `wire` parses the answers, `error` has the errors.
//!
//! Invariants:
//! - a key is requested with exactly one HTTP request: no retry, no redirect, no proxy, no reused connection, no
//!   compression, and its bytes reach the caller before anything parses them;
//! - creating and paying are never retried here, only product lists and order details are;
//! - a price is an exact decimal, read from the digits of the JSON text;
//! - no secret, key or body appears in `Debug` output, an error text or a log line.
//!
//! TLS uses the ring provider and the machine's certificates, set up per [`Client`]; no process-wide provider is
//! installed or needed.

mod config;

mod client;

mod auth;
mod breaker;
mod budget;
mod retry;

mod wire;

mod error;

pub use breaker::{BreakerState, Health};
pub use budget::{
    BucketState, Budget, BudgetError, BudgetFuture, CallClass, LimitTooSmall, Limits, LocalBudget, MAX_PENALTY,
    UNITS_PER_CALL, Unlimited, penalise, take,
};
pub use client::{AccessToken, Calls, Client, MAX_PAGE, NewOrder, PAGE_SIZE, ProductQuery, RawKeyAnswer};
pub use config::{Auth, BreakerConfig, Config, ConfigError, RetryConfig};
pub use error::{BadAnswer, Call, Code, Error, Lost, NotSent, Outcome, Repeat, TokenFailure};
pub use wire::{
    Category, CreatedOrder, Key, OrderDetails, OrderStatus, Payment, PriceLimit, Product, ProductPage, Requirements,
    Unreadable, Video, parse_created_order, parse_key, parse_order_details, parse_payment, parse_product_page,
};
