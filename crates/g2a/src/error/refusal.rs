//! Classifies refusals by their code, or by their status if they have none.

use super::Code;

/// The kind of a refusal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too many requests.
    Busy,
    /// The same request would get the same answer.
    Final,
    /// The order has not reached that state yet.
    NotYet,
    /// Undocumented. As the answer to a payment, the money may have moved.
    Unclear,
    /// A failure on G2A's side or on the way.
    Fault,
}

/// Classifies a refusal by its code, else by its status.
pub(super) fn refusal(status: u16, code: Option<&Code>) -> Refusal {
    if status == 429 || code == Some(&Code::TooManyRequests) {
        return Refusal::Busy;
    }
    match code {
        Some(Code::PaymentNotReady | Code::PaymentRequired | Code::OrderNotProcessed) => Refusal::NotYet,
        // A repeated payment may get any of these answers: none is documented.
        Some(Code::PaymentFailed | Code::TransactionNotFound | Code::PaymentProvider | Code::BadGateway) => {
            Refusal::Unclear
        }
        Some(Code::Severe | Code::Internal) => Refusal::Fault,
        // G2A returns these before it acts, whatever the status (BR04 has been seen with 500).
        Some(
            Code::NoAuthorization
            | Code::WrongCredentials
            | Code::AddressNotAllowed
            | Code::NoPrivilege
            | Code::ContentType
            | Code::InvalidJson
            | Code::InvalidData
            | Code::InvalidProduct
            | Code::InvalidQuery
            | Code::QueryProductId
            | Code::QueryPage
            | Code::QueryMinQty
            | Code::QueryMinPriceFrom
            | Code::QueryMinPriceTo
            | Code::InvalidOrderId
            | Code::OrderNotFound
            | Code::KeyAlreadyDownloaded
            | Code::NotEnoughFunds
            | Code::UserUnknown
            | Code::PaymentTooLate
            | Code::PayLimitReached
            | Code::WrongUrl,
        ) => Refusal::Final,
        Some(Code::TooManyRequests | Code::Other(_)) | None => match status {
            401 | 403 => Refusal::Final,
            408 | 500.. => Refusal::Fault,
            // An undocumented refusal, an error body under a 2xx, or a redirect, which is never followed.
            _ => Refusal::Unclear,
        },
    }
}
