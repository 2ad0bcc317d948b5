//! What can go wrong with a call, and what follows from it.
//!
//! Two questions decide money and keys, so each has its own answer: did G2A do it ([`Error::outcome`]), and may the same
//! call be made again ([`Error::repeat`]). No text here holds any part of a body: an order's or key's body is a secret.

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
    /// The share of the request budget it uses.
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

    /// True for the calls that change nothing at G2A. The key call is a `GET` and yet not among them.
    pub(crate) fn only_reads(self) -> bool {
        matches!(self, Self::Products | Self::OrderDetails)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a call did not give what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// G2A answered with an error status, or with an error body.
    #[error("G2A refused {call}: status {status}, {}", code.as_ref().map_or("no code", Code::as_str))]
    Refused {
        /// The call.
        call: Call,
        /// HTTP status.
        status: u16,
        /// Code of the error body; `None` when the body was empty, cut off or not G2A's.
        code: Option<Code>,
        /// What `Retry-After` asked for; for a 429 without one, the pause that was imposed on all processes.
        retry_after: Option<Duration>,
    },
    /// G2A does not accept the bearer token any more. It has been dropped, the next call fetches another; pay and key are
    /// left to the caller because the client never repeats them.
    #[error("G2A no longer accepts the bearer token ({call})")]
    TokenRejected {
        /// The call.
        call: Call,
    },
    /// G2A said yes, in words that cannot be read.
    #[error("cannot read G2A's answer to {call} (status {status})")]
    BadAnswer {
        /// The call.
        call: Call,
        /// HTTP status; 200 for any 2xx whose body was read and not understood.
        status: u16,
        /// What is wrong with it.
        #[source]
        reason: BadAnswer,
    },
    /// No byte of the request reached G2A.
    #[error("{call} was not sent to G2A")]
    NotSent {
        /// The call.
        call: Call,
        /// Why not.
        #[source]
        reason: NotSent,
    },
    /// The request left, no complete answer came back.
    #[error("no complete answer from G2A to {call}")]
    Lost {
        /// The call.
        call: Call,
        /// How it was lost.
        #[source]
        reason: Lost,
    },
}

/// What is wrong with the body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// Nothing at all.
    #[error("the body is empty")]
    Empty,
    /// Not JSON: a page of a proxy, half a document, noise.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON of another shape.
    #[error("the body is JSON of another shape: {0}")]
    Shape(&'static str),
    /// Longer than any honest answer.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes after decompression.
        limit: usize,
    },
}

/// Why a request never left.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// No connection: refused, unresolved, timed out, or its certificate did not convince.
    #[error("no connection")]
    Connect(#[source] reqwest::Error),
    /// G2A has not been answering; see [`Health`](crate::Health).
    #[error("G2A is not answering; next attempt in {retry_after:?}")]
    BreakerOpen {
        /// When it will be tried again.
        retry_after: Duration,
    },
    /// The request budget gave nothing.
    #[error("no call left in the request budget")]
    Budget(#[source] BudgetError),
    /// No bearer token could be had.
    #[error("no access token")]
    Token(#[source] TokenFailure),
    /// What was asked for makes no sense; says which argument.
    #[error("the argument `{0}` is not valid")]
    Argument(&'static str),
    /// The request could not be put together.
    #[error("the request cannot be built")]
    Build(#[source] reqwest::Error),
}

/// Why no bearer token could be had. Cheap to clone: everyone who waited for the same token gets the same reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFailure {
    /// The token server refused our credentials.
    #[error("the token server refused the credentials (status {status})")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// Too many requests for tokens.
    #[error("the token server asks to slow down")]
    RateLimited {
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// No connection, no complete answer, or 5xx.
    #[error("the token server does not answer")]
    Unavailable,
    /// Its answer holds no token that can be used.
    #[error("the token server's answer cannot be read")]
    Unreadable,
}

/// How an answer was lost.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// No complete answer in time.
    #[error("timed out")]
    Timeout,
    /// The connection broke before the answer began.
    #[error("the connection broke")]
    Connection(#[source] reqwest::Error),
    /// The connection broke in the middle of the answer.
    #[error("the answer stopped half-way (status {status})")]
    HalfBody {
        /// HTTP status, which had arrived.
        status: u16,
    },
}

/// What a failed call has done at G2A.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: it never left.
    NotSent,
    /// Nothing: G2A looked at it and said no.
    Refused,
    /// Perhaps everything.
    Unknown,
}

/// Whether the same call may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Yes, after this time; `None`: after a back-off of the caller's choice.
    Safe(Option<Duration>),
    /// Not before the order's details have been read: money may have moved.
    LookFirst,
    /// No: it would fail again, or it could destroy a key. A second read of a key is a deliberate act of the caller, who
    /// has recorded the first.
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

    /// What the call has done at G2A.
    ///
    /// Creating costs nothing until paid, so a created order of unknown outcome simply lapses.
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

    /// Whether the same call may be made again, from the call and from what happened.
    pub fn repeat(&self) -> Repeat {
        match self {
            Self::NotSent { reason, .. } => match reason {
                NotSent::Connect(_)
                | NotSent::Budget(_)
                | NotSent::Token(TokenFailure::Unavailable | TokenFailure::Unreadable) => Repeat::Safe(None),
                NotSent::BreakerOpen { retry_after } => Repeat::Safe(Some(*retry_after)),
                NotSent::Token(TokenFailure::Refused { .. }) | NotSent::Argument(_) | NotSent::Build(_) => {
                    Repeat::Never
                }
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

    /// True when G2A was not there or not well, as opposed to saying no.
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

    /// The pause that G2A asks of everybody, if it does.
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

    /// One word for metrics.
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
    fn wrong_credentials_are_never_worth_repeating() {
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
    fn too_many_requests_may_be_repeated_after_the_time_asked_for_whatever_the_call() {
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
    fn after_a_fault_reads_and_unpaid_orders_repeat_payments_look_and_keys_do_not() {
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
    fn a_payment_without_money_or_in_vain_is_final_and_every_unclear_one_is_looked_at() {
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
    fn a_key_that_is_not_ready_may_be_asked_for_again_and_a_downloaded_one_never() {
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
    fn an_undocumented_no_to_a_new_order_bought_nothing() {
        let error = refused(Call::CreateOrder, 400, Some("ORD999"));
        assert_eq!((error.repeat(), error.outcome()), (Repeat::Never, Outcome::Refused));
    }

    #[test]
    fn what_was_not_sent_may_be_sent_again_even_for_a_key() {
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
