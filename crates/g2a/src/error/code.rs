//! G2A's error codes, by name and in G2A's spelling.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $(| $alias:literal)?),+ $(,)?) => {
        /// G2A's error codes. Sources disagree about the HTTP status of each, so none is implied.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = concat!("`", $code, "`: ")] $(#[$doc])* $name,)+
            /// An undocumented code: upper case, at most 32 characters of `A-Z 0-9 _ -`.
            Other(String),
        }

        impl Code {
            /// Every documented code.
            pub const DOCUMENTED: &[Self] = &[$(Self::$name),+];

            /// The code in G2A's spelling.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $code,)+
                    Self::Other(text) => text,
                }
            }

            /// Parses a code; `None` if the text cannot be one. Keeps undocumented codes.
            pub fn from_text(text: &str) -> Option<Self> {
                let text = text.trim().to_ascii_uppercase();
                let plausible = (1..=32).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
                if !plausible {
                    return None;
                }
                Some(match text.as_str() {
                    $($code $(| $alias)? => Self::$name,)+
                    _ => Self::Other(text),
                })
            }
        }
    };
}

codes! {
    /// no `Authorization` header.
    NoAuthorization = "AUTH01",
    /// credentials wrong or merchant unknown.
    WrongCredentials = "AUTH02",
    /// our address is not on the merchant's list.
    AddressNotAllowed = "AUTH03",
    /// no privilege for this method.
    NoPrivilege = "AUTH04",
    /// wrong content type.
    ContentType = "CTTYPE",
    /// invalid JSON.
    InvalidJson = "BR01",
    /// invalid data in the JSON.
    InvalidData = "BR02",
    /// too many requests.
    TooManyRequests = "BR03",
    /// product id not valid.
    InvalidProduct = "BR04",
    /// bad query parameters.
    InvalidQuery = "BR08",
    /// bad product id in a list query.
    QueryProductId = "PR01",
    /// bad page.
    QueryPage = "PR02",
    /// bad `minQty`.
    QueryMinQty = "PR03",
    /// bad `minPriceFrom`.
    QueryMinPriceFrom = "PR04",
    /// bad `minPriceTo`.
    QueryMinPriceTo = "PR05",
    /// invalid order id.
    InvalidOrderId = "ORD01",
    /// order not found.
    OrderNotFound = "ORD02",
    /// payment not ready yet.
    PaymentNotReady = "ORD03",
    /// the key was already downloaded. Sources spell it both ways.
    KeyAlreadyDownloaded = "ORD04" | "ORD004",
    /// payment required or in progress.
    PaymentRequired = "ORD05",
    /// order not processed yet.
    OrderNotProcessed = "ORD06",
    /// unable to process the payment.
    PaymentFailed = "ORD110",
    /// details of the last transaction not found.
    TransactionNotFound = "ORD111",
    /// not enough funds.
    NotEnoughFunds = "ORD112",
    /// user unknown at G2A.
    UserUnknown = "ORD113",
    /// the reservation has lapsed (30 minutes): make another order.
    PaymentTooLate = "ORD114",
    /// bad answer from the payment provider.
    PaymentProvider = "ORD120",
    /// G2A PAY limit reached.
    PayLimitReached = "ORD121",
    /// bad gateway inside G2A.
    BadGateway = "ORD122",
    /// wrong address.
    WrongUrl = "WRONGURL",
    /// severe error inside G2A.
    Severe = "API00",
    /// internal error of G2A.
    Internal = "ERR99",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_code_round_trips() {
        let documented = "AUTH01 AUTH02 AUTH03 AUTH04 CTTYPE BR01 BR02 BR03 BR04 BR08 PR01 PR02 PR03 PR04 PR05 ORD01 ORD02 \
            ORD03 ORD04 ORD05 ORD06 ORD110 ORD111 ORD112 ORD113 ORD114 ORD120 ORD121 ORD122 WRONGURL API00 ERR99";
        let read: Vec<_> = documented.split_whitespace().filter_map(Code::from_text).collect();
        assert_eq!(read, Code::DOCUMENTED);
        let spelled: Vec<_> = read.iter().map(Code::as_str).collect();
        assert_eq!(spelled.join(" "), documented);
    }

    #[test]
    fn already_downloaded_has_two_spellings() {
        assert_eq!(Code::from_text("ORD04"), Some(Code::KeyAlreadyDownloaded));
        assert_eq!(Code::from_text("ORD004"), Some(Code::KeyAlreadyDownloaded));
        assert_eq!(Code::from_text(" ord04 "), Some(Code::KeyAlreadyDownloaded));
    }

    #[test]
    fn unknown_codes_are_kept_and_invalid_ones_are_dropped() {
        assert_eq!(Code::from_text("ORD999"), Some(Code::Other("ORD999".into())));
        for text in ["", "  ", "a b", "<html>", &"X".repeat(33)] {
            assert_eq!(Code::from_text(text), None, "{text}");
        }
    }
}
