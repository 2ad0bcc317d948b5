//! Errors of calls and their consequences.
//!
//! Two questions decide about money and keys, so each has its own method: did G2A act ([`Error::outcome`]), and may the
//! call be repeated ([`Error::repeat`]). No text here contains any part of a body: the body of an order or key is a
//! secret.

mod code;
mod refusal;

use std::fmt;
use std::time::Duration;

use crate::budget::{BudgetError, CallClass};
use refusal::{Refusal, refusal};

pub use code::Code;

/// One call of the buyer API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// `GET /products`.
    Products,
    /// `POST /order`.
    CreateOrder,
    /// `GET /order/details/{id}`.
    OrderDetails,
    /// `PUT /order/pay/{id}`.
    Pay,
    /// `GET /order/key/{id}`.
    Key,
}

impl Call {
    /// The class of the request budget that it uses.
    pub fn class(self) -> CallClass {
        match self {
            Self::Products => CallClass::Catalogue,
            Self::CreateOrder | Self::OrderDetails | Self::Pay | Self::Key => CallClass::Order,
        }
    }

    /// Its name in metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Products => "products",
            Self::CreateOrder => "create_order",
            Self::OrderDetails => "order_details",
            Self::Pay => "pay",
            Self::Key => "key",
        }
    }

    /// Whether the call changes nothing at G2A. The key call is a `GET` but not such a call.
    pub(crate) fn only_reads(self) -> bool {
        matches!(self, Self::Products | Self::OrderDetails)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// G2A answered with an error status, or with an error body.
    #[error("G2A refused {call}: status {status}, {}", code.as_ref().map_or("no code", Code::as_str))]
    Refused {
        /// The call.
        call: Call,
        /// HTTP status.
        status: u16,
        /// Code of the error body; `None` if the body was empty, truncated or not G2A's.
        code: Option<Code>,
        /// The value of `Retry-After`; for a 429 without one, the pause imposed on all processes.
        retry_after: Option<Duration>,
    },
    /// G2A no longer accepts the bearer token. The client has dropped it, and the next call fetches another. Only
    /// returned for paying and key calls, which the client never repeats.
    #[error("G2A no longer accepts the bearer token ({call})")]
    TokenRejected {
        /// The call.
        call: Call,
    },
    /// G2A answered with success, but the body is unreadable.
    #[error("cannot read G2A's answer to {call} (status {status})")]
    BadAnswer {
        /// The call.
        call: Call,
        /// HTTP status; 200 for any 2xx whose body was received but not understood.
        status: u16,
        /// What is wrong with the body.
        #[source]
        reason: BadAnswer,
    },
    /// No byte of the request reached G2A.
    #[error("{call} was not sent to G2A")]
    NotSent {
        /// The call.
        call: Call,
        /// The reason.
        #[source]
        reason: NotSent,
    },
    /// The request was sent, but no complete answer was received.
    #[error("no complete answer from G2A to {call}")]
    Lost {
        /// The call.
        call: Call,
        /// How the answer was lost.
        #[source]
        reason: Lost,
    },
}

/// What is wrong with the body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// The body is empty.
    #[error("the body is empty")]
    Empty,
    /// Not JSON: a proxy's page, a truncated document, noise.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON of an unexpected shape.
    #[error("the body is JSON of another shape: {0}")]
    Shape(&'static str),
    /// The body exceeds the size limit.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes after decompression.
        limit: usize,
    },
}

/// Why a request was not sent.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// No connection: refused, unresolved, timed out, or the certificate is not trusted.
    #[error("no connection")]
    Connect(#[source] reqwest::Error),
    /// The circuit breaker is open; see [`Health`](crate::Health).
    #[error("G2A is not answering; next attempt in {retry_after:?}")]
    BreakerOpen {
        /// Time until the next attempt.
        retry_after: Duration,
    },
    /// The request budget granted no call.
    #[error("no call left in the request budget")]
    Budget(#[source] BudgetError),
    /// No bearer token is available.
    #[error("no access token")]
    Token(#[source] TokenFailure),
    /// The shop has no credentials at the moment.
    #[error("no credentials of G2A are in use")]
    NoCredentials,
    /// The order belongs to an account whose credentials the client does not have; the mark of the account.
    #[error("the credentials of the account {0} at G2A, which the order belongs to, are not known")]
    UnknownAccount(String),
    /// An argument is invalid; the text names it.
    #[error("the argument `{0}` is not valid")]
    Argument(&'static str),
    /// The request could not be built.
    #[error("the request cannot be built")]
    Build(#[source] reqwest::Error),
}

/// Why no bearer token is available. Cheap to clone: all waiters of the same token get the same reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFailure {
    /// The token server refused our credentials.
    #[error("the token server refused the credentials (status {status})")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// Too many token requests.
    #[error("the token server's rate limit is reached")]
    RateLimited {
        /// The value of `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// No connection, no complete answer, or 5xx.
    #[error("the token server does not answer")]
    Unavailable,
    /// The answer has no usable token.
    #[error("the token server's answer cannot be read")]
    Unreadable,
}

/// How an answer was lost.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// No complete answer within the time limit.
    #[error("timed out")]
    Timeout,
    /// The connection broke before the answer began.
    #[error("the connection broke")]
    Connection(#[source] reqwest::Error),
    /// The connection broke in the middle of the answer.
    #[error("the answer stopped half-way (status {status})")]
    HalfBody {
        /// HTTP status, which was received.
        status: u16,
    },
}

/// The effect of a failed call at G2A.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No effect: it was not sent.
    NotSent,
    /// No effect: G2A refused it.
    Refused,
    /// Unknown: G2A may have carried it out.
    Unknown,
}

/// Whether the same call may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Yes, after this time; `None`: after a back-off of the caller's choice.
    Safe(Option<Duration>),
    /// Only after reading the order's details: money may have moved.
    LookFirst,
    /// No: it would fail again or could destroy a key. Reading a key a second time is a deliberate act of the caller,
    /// who has recorded the first.
    Never,
}

impl Error {
    /// The call that failed.
    pub fn call(&self) -> Call {
        match self {
            Self::Refused { call, .. }
            | Self::TokenRejected { call }
            | Self::BadAnswer { call, .. }
            | Self::NotSent { call, .. }
            | Self::Lost { call, .. } => *call,
        }
    }

    /// HTTP status, if one arrived.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. }
            | Self::BadAnswer { status, .. }
            | Self::Lost {
                reason: Lost::HalfBody { status },
                ..
            } => Some(*status),
            Self::TokenRejected { .. } => Some(401),
            Self::NotSent { .. } | Self::Lost { .. } => None,
        }
    }

    /// G2A's error code, if one arrived.
    pub fn code(&self) -> Option<&Code> {
        match self {
            Self::Refused { code, .. } => code.as_ref(),
            _ => None,
        }
    }

    /// The effect of the call at G2A.
    ///
    /// An unpaid order costs nothing, so a created order of unknown outcome simply lapses.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::NotSent { .. } => Outcome::NotSent,
            Self::TokenRejected { .. } => Outcome::Refused,
            Self::Refused { call, status, code, .. } => match refusal(*status, code.as_ref()) {
                Refusal::Fault => Outcome::Unknown,
                Refusal::Unclear if *call == Call::Pay || *status >= 500 => Outcome::Unknown,
                Refusal::Unclear | Refusal::Busy | Refusal::Final | Refusal::NotYet => Outcome::Refused,
            },
            Self::BadAnswer { .. } | Self::Lost { .. } => Outcome::Unknown,
        }
    }

    /// Whether the same call may be repeated, given the call and the error.
    pub fn repeat(&self) -> Repeat {
        match self {
            Self::NotSent { reason, .. } => match reason {
                NotSent::Connect(_)
                | NotSent::Budget(_)
                | NotSent::Token(TokenFailure::Unavailable | TokenFailure::Unreadable) => Repeat::Safe(None),
                NotSent::BreakerOpen { retry_after } => Repeat::Safe(Some(*retry_after)),
                NotSent::Token(TokenFailure::Refused { .. })
                | NotSent::NoCredentials
                | NotSent::UnknownAccount(_)
                | NotSent::Argument(_)
                | NotSent::Build(_) => Repeat::Never,
                NotSent::Token(TokenFailure::RateLimited { retry_after }) => Repeat::Safe(*retry_after),
            },
            Self::TokenRejected { .. } => Repeat::Safe(None),
            Self::Refused {
                call,
                status,
                code,
                retry_after,
            } => match refusal(*status, code.as_ref()) {
                Refusal::Final => Repeat::Never,
                Refusal::NotYet | Refusal::Unclear if *call == Call::Pay => Repeat::LookFirst,
                Refusal::Busy | Refusal::NotYet => Repeat::Safe(*retry_after),
                Refusal::Unclear if *status < 500 => Repeat::Never,
                Refusal::Unclear | Refusal::Fault => after_unknown(*call, *retry_after),
            },
            Self::BadAnswer {
                call,
                reason: BadAnswer::TooLarge { .. },
                ..
            } if call.only_reads() => Repeat::Never,
            Self::BadAnswer { call, .. } | Self::Lost { call, .. } => after_unknown(*call, None),
        }
    }

    /// Whether G2A was unavailable or faulty, rather than refusing.
    pub(crate) fn is_failure_of_g2a(&self) -> bool {
        match self {
            Self::Refused { status, .. } | Self::BadAnswer { status, .. } => *status >= 500,
            Self::Lost { .. } => true,
            Self::NotSent { reason, .. } => {
                matches!(reason, NotSent::Connect(_) | NotSent::Token(TokenFailure::Unavailable))
            }
            Self::TokenRejected { .. } => false,
        }
    }

    /// The pause that G2A requests of all processes, if any.
    pub(crate) fn asks_to_slow_down(&self) -> Option<Duration> {
        match self {
            Self::Refused {
                status,
                code,
                retry_after,
                ..
            } if refusal(*status, code.as_ref()) == Refusal::Busy => *retry_after,
            _ => None,
        }
    }

    /// The label of the `outcome` metric.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Refused { status: 429, .. } => "rate_limited",
            Self::Refused { status: 500.., .. } => "server_error",
            Self::Refused { .. } | Self::TokenRejected { .. } => "refused",
            Self::BadAnswer { .. } => "bad_answer",
            Self::NotSent { .. } => "not_sent",
            Self::Lost { .. } => "lost",
        }
    }
}

fn after_unknown(call: Call, retry_after: Option<Duration>) -> Repeat {
    match call {
        Call::Products | Call::OrderDetails | Call::CreateOrder => Repeat::Safe(retry_after),
        Call::Pay => Repeat::LookFirst,
        Call::Key => Repeat::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: [Call; 5] = [
        Call::Products,
        Call::CreateOrder,
        Call::OrderDetails,
        Call::Pay,
        Call::Key,
    ];

    fn refused(call: Call, status: u16, code: Option<&str>) -> Error {
        Error::Refused {
            call,
            status,
            code: code.and_then(Code::from_text),
            retry_after: None,
        }
    }

    #[test]
    fn wrong_credentials_are_never_repeated() {
        for call in CALLS {
            for code in ["AUTH01", "AUTH02", "AUTH03", "AUTH04"] {
                for status in [400, 401, 403] {
                    let error = refused(call, status, Some(code));
                    assert_eq!((error.repeat(), error.outcome()), (Repeat::Never, Outcome::Refused));
                }
            }
            assert_eq!(refused(call, 401, None).repeat(), Repeat::Never);
        }
    }

    #[test]
    fn rate_limited_calls_are_repeated_after_the_requested_time() {
        for call in CALLS {
            let retry_after = Some(Duration::from_secs(3));
            let error = Error::Refused {
                call,
                status: 429,
                code: None,
                retry_after,
            };
            assert_eq!(
                (error.repeat(), error.outcome()),
                (Repeat::Safe(retry_after), Outcome::Refused)
            );
        }
    }

    #[test]
    fn after_a_fault_reads_repeat_payments_look_first_keys_never_repeat() {
        for status in [408, 500, 502, 503, 504] {
            for (call, repeat) in [
                (Call::Products, Repeat::Safe(None)),
                (Call::OrderDetails, Repeat::Safe(None)),
                (Call::CreateOrder, Repeat::Safe(None)),
                (Call::Pay, Repeat::LookFirst),
                (Call::Key, Repeat::Never),
            ] {
                for code in [None, Some("ERR99"), Some("API00")] {
                    let error = refused(call, status, code);
                    assert_eq!((error.repeat(), error.outcome()), (repeat, Outcome::Unknown), "{error}");
                }
                assert_eq!(
                    Error::Lost {
                        call,
                        reason: Lost::Timeout
                    }
                    .repeat(),
                    repeat
                );
                let error = Error::BadAnswer {
                    call,
                    status: 200,
                    reason: BadAnswer::NotJson,
                };
                assert_eq!((error.repeat(), error.outcome()), (repeat, Outcome::Unknown));
            }
        }
    }

    #[test]
    fn unfunded_payments_are_final_and_unclear_ones_look_first() {
        for code in ["ORD112", "ORD113", "ORD114", "ORD121", "ORD02"] {
            let error = refused(Call::Pay, 403, Some(code));
            assert_eq!(
                (error.repeat(), error.outcome()),
                (Repeat::Never, Outcome::Refused),
                "{code}"
            );
        }
        for (status, code) in [
            (400, Some("ORD110")),
            (404, Some("ORD111")),
            (400, Some("ORD120")),
            (502, Some("ORD122")),
            (400, Some("ORD777")),
            (402, Some("ORD05")),
            (403, Some("ORD03")),
            (409, None),
            (302, None),
        ] {
            assert_eq!(
                refused(Call::Pay, status, code).repeat(),
                Repeat::LookFirst,
                "{status} {code:?}"
            );
        }
    }

    #[test]
    fn unready_keys_may_be_repeated_and_downloaded_ones_never() {
        for (status, code) in [(403, "ORD03"), (400, "ORD03"), (402, "ORD05"), (400, "ORD06")] {
            assert_eq!(
                refused(Call::Key, status, Some(code)).repeat(),
                Repeat::Safe(None),
                "{code}"
            );
        }
        for (status, code) in [(404, "ORD04"), (400, "ORD004")] {
            let error = refused(Call::Key, status, Some(code));
            assert_eq!((error.repeat(), error.outcome()), (Repeat::Never, Outcome::Refused));
        }
    }

    #[test]
    fn an_undocumented_refusal_of_a_new_order_has_no_effect() {
        let error = refused(Call::CreateOrder, 400, Some("ORD999"));
        assert_eq!((error.repeat(), error.outcome()), (Repeat::Never, Outcome::Refused));
    }

    #[test]
    fn unsent_calls_may_be_repeated_even_for_keys() {
        let wait = Duration::from_secs(2);
        for call in CALLS {
            let error = Error::NotSent {
                call,
                reason: NotSent::BreakerOpen { retry_after: wait },
            };
            assert_eq!(
                (error.repeat(), error.outcome()),
                (Repeat::Safe(Some(wait)), Outcome::NotSent)
            );
            let error = Error::NotSent {
                call,
                reason: NotSent::Token(TokenFailure::Refused { status: 401 }),
            };
            assert_eq!((error.repeat(), error.outcome()), (Repeat::Never, Outcome::NotSent));
        }
    }
}
