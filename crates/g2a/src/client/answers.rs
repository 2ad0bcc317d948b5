//! Reads responses with a size limit, and keeps what arrived before a connection broke, because part of a body may be a
//! key.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Response;
use reqwest::header::{DATE, RETRY_AFTER};

use super::patience::Patience;
use crate::error::{BadAnswer, Call, Error, Lost, NotSent};
use crate::retry::retry_after;

/// Maximum size of a list, in bytes after decompression. 20 products with long descriptions are well below 1 MB.
const LIST_LIMIT: usize = 8 << 20;
/// Maximum size in bytes of an answer about an order or a token, and of the part of an error body that is read.
pub(super) const SMALL_LIMIT: usize = 64 << 10;
/// Maximum size of a key in bytes: it can be a file, and it must be received whole because it is handed out once.
const KEY_LIMIT: usize = 8 << 20;

/// The unparsed answer to a key call. Store [`body`](Self::body) first, then parse it with
/// [`parse_key`](crate::parse_key).
#[derive(Clone, PartialEq, Eq)]
pub struct RawKeyAnswer {
    /// HTTP status, always 2xx.
    pub status: u16,
    /// The bytes as received.
    pub body: Bytes,
    /// `false` if the connection broke, the time limit passed or the limit of 8 MiB was reached before the end. `body`
    /// has what arrived; it may contain the key, which is not available elsewhere.
    pub complete: bool,
}

/// Shows the length of the body, never its content.
impl fmt::Debug for RawKeyAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawKeyAnswer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .field("complete", &self.complete)
            .finish()
    }
}

/// How a body ended.
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
    /// Returns the body if it is complete.
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
    // The URL contains the order's id, which must not reach a log.
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

/// How far the server's clock is ahead of ours, which shows `now`, according to `Date`; accurate to a second or two.
pub(super) fn clock_ahead(response: &Response, now: DateTime<Utc>) -> Option<TimeDelta> {
    let date = response.headers().get(DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(date).ok()?.to_utc() - now)
}

/// Reads a response that began at `now` to its end or slightly past `limit` bytes, and keeps what arrived in every case.
pub(super) async fn read(mut response: Response, limit: usize, patience: &mut Patience, now: DateTime<Utc>) -> Answer {
    let status = response.status().as_u16();
    let header = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let retry_after = header.and_then(|value| retry_after(value, now));
    let mut body = BytesMut::new();
    let end = loop {
        // Data that has arrived takes precedence over an expired time limit.
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
