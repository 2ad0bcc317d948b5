//! What kind of no a refusal is: sorted by its code where there is one, else by its status.

use super::Code;

/// What kind of no it was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too many requests.
    Busy,
    /// The same request would meet the same answer.
    Final,
    /// The order is not that far.
    NotYet,
    /// No source says what it means; when a payment is answered so, the money may have moved.
    Unclear,
    /// Something broke on the way.
    Fault,
}

/// Sorts a refusal by its code, else by its status.
pub(super) fn refusal(status: u16, code: Option<&Code>) -> Refusal {
    if status == 429 || code == Some(&Code::TooManyRequests) {
        return Refusal::Busy;
    }
    match code {
        Some(Code::PaymentNotReady | Code::PaymentRequired | Code::OrderNotProcessed) => Refusal::NotYet,
        // A payment made twice may be answered with any of these: nobody has documented it.
        Some(Code::PaymentFailed | Code::TransactionNotFound | Code::PaymentProvider | Code::BadGateway) => {
            Refusal::Unclear
        }
        Some(Code::Severe | Code::Internal) => Refusal::Fault,
        // These are said before anything is done, whatever the status (BR04 has been seen with 500).
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
            // An undocumented no, an error body under a 2xx, or a redirect, which is never followed.
            _ => Refusal::Unclear,
        },
    }
}
