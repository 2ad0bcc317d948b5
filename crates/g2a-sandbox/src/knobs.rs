//! Switches for every uncertain, contradictory or configurable property of G2A.
//!
//! Public sources about G2A's buyer API disagree in places. For each of these the sandbox can behave either way, so a
//! client that works with every setting works with the real API. The defaults are the best-supported variants.

use lockstep_domain::Money;
use serde::{Deserialize, Serialize};

/// The switches of a sandbox. All can be changed while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// Products per page. G2A: 20.
    pub page_size: u32,
    /// The last page that is answered; beyond it the call fails with `PR02`. G2A: 500.
    pub max_page: u32,
    /// Calls accepted in any 60 seconds, for `/v1` as a whole; more get 429 `BR03`. 0 means no limit. G2A: 600.
    pub rate_per_minute: u32,
    /// Whether a 429 of the rate limit has a `Retry-After` header. G2A: not documented.
    pub retry_after: bool,
    /// Whether `total` follows the catalogue while a client pages. If not, it keeps its value from the first page.
    pub live_total: bool,
    /// Step of the `updatedAt` filters in seconds, at least 1.
    pub updated_at_granularity_seconds: u32,
    /// The price that is charged. Reportedly it is not the listed one.
    pub charge_basis: PriceBasis,
    /// The price that `max_price` is compared with.
    pub cap_basis: PriceBasis,
    /// Difference between the charged price and the listed one in euros; may be negative.
    pub create_drift: Money,
    /// The form of order ids.
    pub order_ids: OrderIds,
    /// How long an unpaid order reserves its key, in seconds. G2A: 30 minutes.
    pub reservation_seconds: u64,
    /// The answer to a second payment of a paid order. Unknown for G2A.
    pub pay_twice: PayTwice,
    /// The names of order statuses.
    pub statuses: Statuses,
    /// Delay between the payment and the availability of the key, in seconds.
    pub key_delay_seconds: u64,
    /// The error while the key is not ready.
    pub key_not_ready: KeyNotReady,
    /// Whether a key can be read only once.
    pub destructive_key_read: bool,
    /// The HTTP status of `AUTH01`: 403, 400 or 401, depending on the source.
    pub auth01_status: Auth01Status,
    /// The refusal of a key that was already read.
    pub already_downloaded: AlreadyDownloaded,
    /// The code, with status 400, for a product that is out of stock. No source documents one.
    pub out_of_stock_code: String,
    /// The code, with status 400, for a price above `max_price`. No source documents one.
    pub over_cap_code: String,
    /// The maximum sum of payments over the sandbox's lifetime; beyond it `ORD121`.
    pub pay_limit: Option<Money>,
    /// If set, a paid order whose key was not fetched within this many seconds is refunded without notice.
    pub silent_refund_after_seconds: Option<u64>,
}

/// One of a product's two prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PriceBasis {
    /// The lowest listed price.
    #[serde(rename = "minPrice")]
    MinPrice,
    /// The retail price.
    #[serde(rename = "retail_min_price")]
    RetailMinPrice,
}

/// The form of order ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderIds {
    /// 14 digits, as on the live service; always unique, also across restarts.
    FourteenDigits,
    /// The second of creation, as on G2A's sandbox: two orders in one second share an id, which then refers to the
    /// later one.
    EpochSeconds,
}

/// The answer to a repeated payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayTwice {
    /// 400 `ORD110`.
    Error,
    /// The same 200 with the same transaction, and no second charge.
    Same,
}

/// The error while a key is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum KeyNotReady {
    /// 403, "payment is not ready yet".
    Ord03,
    /// 402, "payment required or in progress".
    Ord05,
    /// 400, "order not processed yet".
    Ord06,
}

/// The HTTP status of `AUTH01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u16", try_from = "u16")]
pub enum Auth01Status {
    /// 403.
    Forbidden,
    /// 400.
    BadRequest,
    /// 401.
    Unauthorized,
}

/// The refusal of a key that was already read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlreadyDownloaded {
    /// 404 `ORD04`.
    Ord04With404,
    /// 400 `ORD004`.
    Ord004With400,
}

/// The names of order statuses. The set is open: sources name `new`, `pending` and `complete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Statuses {
    /// Created, unpaid.
    pub created: String,
    /// Paid, key not ready.
    pub paid: String,
    /// Paid, key ready.
    pub ready: String,
    /// Refunded by the supplier; no source documents its name.
    pub refunded: String,
}

impl Default for Statuses {
    fn default() -> Self {
        Self {
            created: "new".into(),
            paid: "pending".into(),
            ready: "complete".into(),
            refunded: "refunded".into(),
        }
    }
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            page_size: 20,
            max_page: 500,
            rate_per_minute: 600,
            retry_after: false,
            live_total: true,
            updated_at_granularity_seconds: 1,
            charge_basis: PriceBasis::RetailMinPrice,
            cap_basis: PriceBasis::MinPrice,
            create_drift: Money::ZERO,
            order_ids: OrderIds::FourteenDigits,
            reservation_seconds: 30 * 60,
            pay_twice: PayTwice::Error,
            statuses: Statuses::default(),
            key_delay_seconds: 0,
            key_not_ready: KeyNotReady::Ord03,
            destructive_key_read: true,
            auth01_status: Auth01Status::Forbidden,
            already_downloaded: AlreadyDownloaded::Ord04With404,
            out_of_stock_code: "ORD130".into(),
            over_cap_code: "ORD131".into(),
            pay_limit: None,
            silent_refund_after_seconds: None,
        }
    }
}

impl From<Auth01Status> for u16 {
    fn from(status: Auth01Status) -> Self {
        match status {
            Auth01Status::Forbidden => 403,
            Auth01Status::BadRequest => 400,
            Auth01Status::Unauthorized => 401,
        }
    }
}

impl TryFrom<u16> for Auth01Status {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, String> {
        match status {
            403 => Ok(Self::Forbidden),
            400 => Ok(Self::BadRequest),
            401 => Ok(Self::Unauthorized),
            other => Err(format!("AUTH01 comes with 403, 400 or 401, not with {other}")),
        }
    }
}
