//! How answers come in: bounded, and with what had arrived when a connection broke, because half of a body may be a key.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Response;
use reqwest::header::{DATE, RETRY_AFTER};

use super::patience::Patience;
use crate::error::{BadAnswer, Call, Error, Lost, NotSent};
use crate::retry::retry_after;

/// Longest list, in bytes after decompression. 20 products with long descriptions are well below a megabyte.
const LIST_LIMIT: usize = 8 << 20;
/// Longest answer about an order or a token, and longest error body that is looked at.
pub(super) const SMALL_LIMIT: usize = 64 << 10;
/// Longest key: it can be a file, and once asked for it is better taken whole.
const KEY_LIMIT: usize = 8 << 20;

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

/// How the body of an answer ended.
pub(super) enum BodyEnd {
    Complete,
    Broken,
    TimedOut,
    TooLong,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
    pub(super) end: BodyEnd,
}

impl Answer {
    /// The body, if all of it came.
    pub(super) fn whole(self, call: Call) -> Result<Bytes, Error> {
        match self.end {
            BodyEnd::Complete => Ok(self.body),
            BodyEnd::Broken => Err(Error::Lost {
                call,
                reason: Lost::HalfBody { status: self.status },
            }),
            BodyEnd::TimedOut => Err(Error::Lost {
                call,
                reason: Lost::Timeout,
            }),
            BodyEnd::TooLong => Err(Error::BadAnswer {
                call,
                status: self.status,
                reason: BadAnswer::TooLarge {
                    limit: body_limit(call),
                },
            }),
        }
    }
}

pub(super) fn body_limit(call: Call) -> usize {
    match call {
        Call::Products => LIST_LIMIT,
        Call::Key => KEY_LIMIT,
        Call::CreateOrder | Call::OrderDetails | Call::Pay => SMALL_LIMIT,
    }
}

pub(super) fn not_answered(call: Call, error: reqwest::Error) -> Error {
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

/// How far the other side's clock is ahead of ours, to a second or two: what it says in `Date`.
pub(super) fn clock_ahead(response: &Response) -> Option<TimeDelta> {
    let date = response.headers().get(DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(date).ok()?.to_utc() - Utc::now())
}

/// Reads an answer to its end or a little past `limit` bytes, keeping what arrived whatever happens.
pub(super) async fn read(mut response: Response, limit: usize, patience: &mut Patience) -> Answer {
    let status = response.status().as_u16();
    let header = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let retry_after = header.and_then(|value| retry_after(value, Utc::now()));
    let mut body = BytesMut::new();
    let end = loop {
        // What has arrived comes before any time that is over.
        let chunk = tokio::select! {
            biased;
            chunk = response.chunk() => chunk,
            () = patience.over() => break BodyEnd::TimedOut,
        };
        match chunk {
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
