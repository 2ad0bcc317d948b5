//! The requests to G2A, validated before they are sent.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use reqwest::Method;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;

use super::accounts::Account;
use crate::error::{Call, Error, NotSent};
use crate::wire::is_id;

/// Products per page, fixed by G2A.
pub const PAGE_SIZE: u32 = 20;
/// The last page that G2A returns, however many products match; a longer list must be requested in slices.
pub const MAX_PAGE: u32 = 500;

/// A product list request. The default lists everything in stock, from page 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductQuery {
    /// The page, from 1 to [`MAX_PAGE`]; 0 counts as 1.
    pub page: u32,
    /// Only this product.
    pub id: Option<String>,
    /// Minimum number in stock.
    pub min_qty: Option<u32>,
    /// Minimum `minPrice`, in euros.
    pub min_price_from: Option<Decimal>,
    /// Maximum `minPrice`, in euros.
    pub min_price_to: Option<Decimal>,
    /// Includes products that are out of stock.
    pub include_out_of_stock: bool,
    /// Changed at or after this time, in whole seconds.
    pub updated_at_from: Option<DateTime<Utc>>,
    /// Changed at or before this time, in whole seconds.
    pub updated_at_to: Option<DateTime<Utc>>,
}

/// An order for one key, the only quantity that G2A sells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// G2A's product id.
    pub product_id: String,
    /// The currency to be charged: three capital letters.
    pub currency: String,
    /// Maximum price, always in euros. `None` for no limit; zero is refused, because G2A would treat it as no limit.
    /// G2A compares it with `minPrice`, so it does not limit the charge: check
    /// [`CreatedOrder::price`](crate::CreatedOrder::price).
    pub max_price: Option<Money>,
}

/// One HTTP request to send.
pub(super) struct Request {
    /// The account that makes it.
    pub(super) account: Account,
    pub(super) call: Call,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Vec<u8>>,
}

impl Request {
    pub(super) fn about_order(
        account: &Account,
        call: Call,
        method: Method,
        path: &str,
        order_id: &str,
    ) -> Result<Self, Error> {
        if !is_id(order_id) {
            return Err(argument(call, "order_id"));
        }
        Ok(Self {
            account: account.clone(),
            call,
            method,
            path: format!("{path}{order_id}"),
            query: Vec::new(),
            body: None,
        })
    }
}

impl ProductQuery {
    pub(super) fn pairs(&self, page: u32) -> Result<Vec<(&'static str, String)>, Error> {
        if self.id.as_deref().is_some_and(|id| !is_id(id)) {
            return Err(argument(Call::Products, "id"));
        }
        let moment = |moment: &DateTime<Utc>| moment.format("%Y-%m-%d %H:%M:%S").to_string();
        let pairs = [
            ("page", Some(page.to_string())),
            ("id", self.id.clone()),
            ("minQty", self.min_qty.map(|qty| qty.to_string())),
            ("minPriceFrom", self.min_price_from.map(|price| price.to_string())),
            ("minPriceTo", self.min_price_to.map(|price| price.to_string())),
            (
                "includeOutOfStock",
                self.include_out_of_stock.then(|| "true".to_owned()),
            ),
            ("updatedAtFrom", self.updated_at_from.as_ref().map(moment)),
            ("updatedAtTo", self.updated_at_to.as_ref().map(moment)),
        ];
        Ok(pairs
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect())
    }
}

impl NewOrder {
    pub(super) fn body(&self) -> Result<Vec<u8>, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            product_id: &'a str,
            currency: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            max_price: Option<Box<RawValue>>,
        }
        let invalid = |name| argument(Call::CreateOrder, name);
        if !is_id(&self.product_id) {
            return Err(invalid("product_id"));
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(invalid("currency"));
        }
        let max_price = match self.max_price {
            None => None,
            Some(price) if !price.is_positive() => return Err(invalid("max_price")),
            // Built from the decimal digits, never through a float.
            Some(price) => Some(RawValue::from_string(price.to_string()).map_err(|_| invalid("max_price"))?),
        };
        let body = Body {
            product_id: &self.product_id,
            currency: &self.currency,
            max_price,
        };
        serde_json::to_vec(&body).map_err(|_| invalid("product_id"))
    }
}

pub(super) fn argument(call: Call, name: &'static str) -> Error {
    Error::NotSent {
        call,
        reason: NotSent::Argument(name),
    }
}
