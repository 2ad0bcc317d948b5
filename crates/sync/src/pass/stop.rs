//! Why a pass ends early, and which of G2A's errors require a person to act.

use lockstep_g2a::{Code, Error as G2aError, NotSent, Repeat, TokenFailure};
use lockstep_store::StoreError;

use lockstep_domain::error_chain;

/// Why a pass did not reach its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It cannot succeed until a person acts.
    Failed(String),
    /// It can resume later.
    Interrupted(String),
    /// The database failed, or another run has begun.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<G2aError> for Stop {
    fn from(error: G2aError) -> Self {
        let refused_us = matches!(error.status(), Some(401 | 403))
            || matches!(
                error.code(),
                Some(Code::NoAuthorization | Code::WrongCredentials | Code::AddressNotAllowed | Code::NoPrivilege)
            )
            || matches!(
                &error,
                G2aError::NotSent {
                    reason: NotSent::Token(TokenFailure::Refused { .. }),
                    ..
                }
            );
        let text = error_chain(&error);
        if error.code() == Some(&Code::AddressNotAllowed) {
            Self::Failed(format!(
                "{text}; the address of this machine is not on the list of the G2A account"
            ))
        } else if refused_us {
            Self::Failed(format!(
                "{text}; G2A does not accept the credentials: check G2A_API_HASH, G2A_API_EMAIL and G2A_API_SECRET"
            ))
        } else if error.repeat() == Repeat::Never {
            Self::Failed(text)
        } else {
            Self::Interrupted(text)
        }
    }
}
