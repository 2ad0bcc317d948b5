//! Maps G2A's answers and errors to the outcomes that [`rules`](crate::rules) decides about.

use std::time::Duration;

use lockstep_g2a::{Code, Error, NotSent, OrderDetails, OrderStatus, Outcome, Repeat};

use crate::rules::{DetailsOutcome, KeyOutcome, PayOutcome};

/// Why no purchase at all is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Funds,
    Limit,
    Access,
}

impl Stop {
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Funds => "FUNDS",
            Self::Limit => "LIMIT",
            Self::Access => "ACCESS",
        }
    }

    /// Returns a stop when the error would hit any order.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Refused { status, code, .. } => match code {
                Some(Code::NotEnoughFunds) => Some(Self::Funds),
                Some(Code::PayLimitReached) => Some(Self::Limit),
                Some(
                    Code::NoAuthorization
                    | Code::WrongCredentials
                    | Code::AddressNotAllowed
                    | Code::NoPrivilege
                    | Code::UserUnknown
                    | Code::WrongUrl
                    | Code::ContentType
                    | Code::InvalidJson,
                ) => Some(Self::Access),
                Some(Code::Other(_)) | None if matches!(status, 401 | 403) => Some(Self::Access),
                _ => None,
            },
            Error::NotSent {
                reason: NotSent::NoCredentials | NotSent::Token(lockstep_g2a::TokenFailure::Refused { .. }),
                ..
            } => Some(Self::Access),
            _ => None,
        }
    }
}

/// Whether the call was not made because the credentials of the order's account are not known.
pub(crate) fn is_unknown_account(error: &Error) -> bool {
    matches!(
        error,
        Error::NotSent {
            reason: NotSent::UnknownAccount(_),
            ..
        }
    )
}

/// True when the call certainly had no effect and can be repeated safely.
pub(crate) fn nothing_done(error: &Error) -> bool {
    error.outcome() == Outcome::NotSent
        || (error.outcome() == Outcome::Refused && matches!(error.repeat(), Repeat::Safe(_)))
}

/// The wait that G2A requests.
pub(crate) fn asked_to_wait(error: &Error) -> Option<Duration> {
    match error.repeat() {
        Repeat::Safe(wait) => wait,
        Repeat::LookFirst | Repeat::Never => None,
    }
}

pub(crate) fn pay(error: &Error) -> PayOutcome {
    if Stop::of(error).is_some() || nothing_done(error) {
        PayOutcome::NothingDone
    } else {
        PayOutcome::Unsure
    }
}

/// Statuses of an order that G2A has taken back; no source documents them.
const TAKEN_BACK: &[&str] = &[
    "refunded",
    "refund",
    "cancelled",
    "canceled",
    "rejected",
    "failed",
    "expired",
];

pub(crate) fn details(answer: &Result<OrderDetails, Error>) -> DetailsOutcome {
    match answer {
        Ok(details) => match &details.status {
            OrderStatus::New => DetailsOutcome::Unpaid,
            OrderStatus::Complete => DetailsOutcome::Paid,
            OrderStatus::Pending => DetailsOutcome::Pending,
            OrderStatus::Other(word) if TAKEN_BACK.contains(&word.as_str()) => DetailsOutcome::TakenBack,
            OrderStatus::Other(_) => DetailsOutcome::Unclear,
        },
        Err(Error::Refused {
            code: Some(Code::OrderNotFound | Code::InvalidOrderId),
            ..
        }) => DetailsOutcome::NotFound,
        Err(_) => DetailsOutcome::Unclear,
    }
}

/// Interprets a refused or lost key call. `None`: G2A does not know the order.
pub(crate) fn key(error: &Error) -> Option<KeyOutcome> {
    Some(match error.code() {
        Some(Code::KeyAlreadyDownloaded) => KeyOutcome::Gone,
        Some(Code::PaymentNotReady | Code::PaymentRequired | Code::OrderNotProcessed) => KeyOutcome::NotYet,
        Some(Code::OrderNotFound | Code::InvalidOrderId) => return None,
        _ if Stop::of(error).is_some() || error.outcome() == Outcome::NotSent => KeyOutcome::NotYet,
        _ if error.outcome() == Outcome::Refused && matches!(error.repeat(), Repeat::Safe(_)) => KeyOutcome::NotYet,
        _ => KeyOutcome::Unsure,
    })
}
