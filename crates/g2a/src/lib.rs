//! The only code that talks to G2A, through its buyer API.
//!
//! Why a crate of its own: G2A takes money and hands out keys that can be read once, so the rules about what may be
//! repeated have to stand in one place. Everything above it sees typed calls and an [`Error`] that says
//! [what happened at G2A](Error::outcome) and [whether to repeat](Error::repeat).
//!
//! `config` says where and who, `budget` when a call may be made, `breaker` whether G2A is worth asking, `auth` signs,
//! `client` makes the calls, `wire` reads the answers, `error` says what went wrong.
//!
//! Invariants:
//! - a key is asked for with exactly one HTTP request: no repetition, no redirect, no proxy, no reused connection, no
//!   compression, and its bytes reach the caller before anything reads them;
//! - creating and paying are never repeated here, only products and order details are;
//! - a price is an exact decimal, read from the digits of the JSON text;
//! - no secret, key or body appears in `Debug` output, an error text or a log line.
//!
//! TLS uses the ring provider and the certificates of the machine, set up per [`Client`]; no process-wide provider is
//! installed or needed.

mod config;
mod secret;

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
pub use client::{Client, MAX_PAGE, NewOrder, PAGE_SIZE, ProductQuery, RawKeyAnswer};
pub use config::{Auth, BreakerConfig, Config, ConfigError, RetryConfig};
pub use error::{BadAnswer, Call, Code, Error, Lost, NotSent, Outcome, Repeat, TokenFailure};
pub use secret::SecretText;
pub use wire::{
    Category, CreatedOrder, Key, OrderDetails, OrderStatus, Payment, PriceLimit, Product, ProductPage, Requirements,
    Unreadable, Video, parse_created_order, parse_key, parse_order_details, parse_payment, parse_product_page,
};
