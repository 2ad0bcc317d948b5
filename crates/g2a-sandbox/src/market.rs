//! Orders: reservations, payments, keys, the wallet, and the ledger that records what really happened.
//!
//! The ledger is the reference of the invariants: whatever a client believes after many faults, it has the money that
//! was taken and the keys that were handed out. The caller passes the time; lapsed reservations are settled before
//! every operation.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::catalogue::{Goods, later};
use crate::dice::Dice;
use crate::knobs::{AlreadyDownloaded, KeyNotReady, Knobs, OrderIds, PayTwice, PriceBasis};

/// The characters of a key, without those that are easily confused.
const KEY_LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// The record of all orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The balance of the wallet.
    pub wallet: Money,
    /// The sum of all payments. Refunds are not subtracted.
    pub money_taken: Money,
    /// The sum of all refunds.
    pub money_refunded: Money,
    /// Number of orders that were paid and have a key.
    pub keys_issued: u64,
    /// Number of keys that were read at least once.
    pub keys_delivered: u64,
    /// All orders, oldest first.
    pub orders: Vec<OrderRecord>,
}

/// The record of one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRecord {
    /// Its id.
    pub order_id: String,
    /// The ordered product.
    pub product_id: String,
    /// The price in the answer to its creation, which a payment takes.
    pub price: Money,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// The end of the reservation of its key.
    pub reserved_until: DateTime<Utc>,
    /// It was not paid in time, and the key is for sale again.
    pub lapsed: bool,
    /// Pay calls for it, including refused ones.
    pub pay_calls: u32,
    /// How often money was taken for it.
    pub paid_times: u32,
    /// How much money was taken for it.
    pub paid_amount: Money,
    /// When it was paid.
    pub paid_at: Option<DateTime<Utc>>,
    /// How much was refunded.
    pub refunded_amount: Money,
    /// It has a key.
    pub key_issued: bool,
    /// Number of answers with the key, whether or not they arrived.
    pub key_reads: u32,
    /// Whether at least one answer had the key.
    pub key_delivered: bool,
    /// Key calls for it, including refused ones.
    pub key_calls: u32,
    /// SHA-256 of the key's text as lower-case hex, so that a delivered key can be compared without showing it.
    pub key_sha256: Option<String>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }
}

/// A new order.
pub(crate) struct Created {
    pub(crate) order_id: u64,
    pub(crate) price: Money,
}

/// A key as it is handed out.
pub(crate) struct HandedOut {
    pub(crate) text: String,
    pub(crate) is_file: bool,
}

struct Order {
    id: u64,
    product: u64,
    price: Money,
    created_at: DateTime<Utc>,
    reserved_until: DateTime<Utc>,
    lapsed: bool,
    pay_calls: u32,
    payment: Option<Payment>,
    refunded: bool,
    is_file: bool,
    key_reads: u32,
    key_calls: u32,
}

struct Payment {
    at: DateTime<Utc>,
    transaction: Uuid,
    key: String,
}

/// All orders and the wallet of a sandbox.
pub(crate) struct Market {
    wallet: Money,
    orders: Vec<Order>,
    by_id: HashMap<u64, usize>,
    /// Unpaid orders by the end of their reservation.
    waiting: BTreeSet<(DateTime<Utc>, usize)>,
    /// Paid orders whose key was never read.
    unread: BTreeSet<usize>,
    next_order: u64,
    key_seed: u64,
    keys_made: u64,
}

impl Market {
    pub(crate) fn new(wallet: Money) -> Self {
        let chance = Uuid::new_v4().as_u128();
        // Real time, not the sandbox's: a shop's database outlives a sandbox, so order ids must never repeat.
        let started = u64::try_from(Utc::now().timestamp_millis()).unwrap_or(0);
        Self {
            wallet,
            orders: Vec::new(),
            by_id: HashMap::new(),
            waiting: BTreeSet::new(),
            unread: BTreeSet::new(),
            next_order: 80_000_000_000_000 + started % 10_000_000_000_000,
            key_seed: u64::try_from(chance & u128::from(u64::MAX)).unwrap_or(0),
            keys_made: 0,
        }
    }

    pub(crate) fn wallet(&self) -> Money {
        self.wallet
    }

    pub(crate) fn set_wallet(&mut self, balance: Money) {
        self.wallet = balance;
    }

    /// Lapses due reservations and makes due silent refunds.
    pub(crate) fn settle(&mut self, goods: &mut Goods, knobs: &Knobs, now: DateTime<Utc>) {
        while let Some((until, at)) = self.waiting.first().copied() {
            if until > now {
                break;
            }
            self.waiting.remove(&(until, at));
            self.orders[at].lapsed = true;
            goods.change(self.orders[at].product, |product| {
                product.quantity = product.quantity.saturating_add(1);
                product.updated_at = Some(now);
            });
        }
        let Some(patience) = knobs.silent_refund_after_seconds else {
            return;
        };
        let due = |at: &usize| {
            let payment = self.orders[*at].payment.as_ref();
            payment.is_some_and(|payment| later(payment.at, patience) <= now)
        };
        for at in self.unread.iter().copied().filter(due).collect::<Vec<_>>() {
            self.refund_at(at);
        }
    }

    /// `POST /v1/order`: reserves one key of the product.
    pub(crate) fn create(
        &mut self,
        goods: &mut Goods,
        knobs: &Knobs,
        now: DateTime<Utc>,
        product_id: u64,
        max_price: Option<rust_decimal::Decimal>,
    ) -> Result<Created, Refusal> {
        let Some(product) = goods.get(product_id) else {
            return Err(Refusal::new(400, "BR04", "Product id is not valid"));
        };
        if product.quantity < 1 {
            return Err(Refusal::new(400, &knobs.out_of_stock_code, "Product is out of stock"));
        }
        let basis = |basis| match basis {
            PriceBasis::MinPrice => product.min_price,
            PriceBasis::RetailMinPrice => product.retail_min_price,
        };
        let cap = max_price.filter(|cap| !cap.is_zero());
        if cap.is_some_and(|cap| basis(knobs.cap_basis).decimal() > cap) {
            return Err(Refusal::new(
                400,
                &knobs.over_cap_code,
                "No offer within the maximum price",
            ));
        }
        let price = basis(knobs.charge_basis)
            .checked_add(knobs.create_drift)
            .unwrap_or(Money::ZERO)
            .max(Money::ZERO);
        goods.change(product_id, |product| {
            product.quantity -= 1;
            product.updated_at = Some(now);
        });
        let id = match knobs.order_ids {
            OrderIds::FourteenDigits => {
                self.next_order += 1;
                self.next_order
            }
            OrderIds::EpochSeconds => u64::try_from(now.timestamp()).unwrap_or(0),
        };
        let reserved_until = later(now, knobs.reservation_seconds);
        let at = self.orders.len();
        self.orders.push(Order {
            id,
            product: product_id,
            price,
            created_at: now,
            reserved_until,
            lapsed: false,
            pay_calls: 0,
            payment: None,
            refunded: false,
            is_file: goods.is_file_key(product_id),
            key_reads: 0,
            key_calls: 0,
        });
        self.by_id.insert(id, at);
        self.waiting.insert((reserved_until, at));
        Ok(Created { order_id: id, price })
    }

    /// `GET /v1/order/details/{id}`: the status and the price.
    pub(crate) fn details(&self, knobs: &Knobs, now: DateTime<Utc>, id: u64) -> Result<(String, Money), Refusal> {
        let order = &self.orders[self.find(id)?];
        let status = match &order.payment {
            _ if order.refunded => &knobs.statuses.refunded,
            None => &knobs.statuses.created,
            Some(payment) if later(payment.at, knobs.key_delay_seconds) > now => &knobs.statuses.paid,
            Some(_) => &knobs.statuses.ready,
        };
        Ok((status.clone(), order.price))
    }

    /// `PUT /v1/order/pay/{id}`: takes the money and issues the key.
    pub(crate) fn pay(&mut self, knobs: &Knobs, now: DateTime<Utc>, id: u64) -> Result<Uuid, Refusal> {
        let at = self.find(id)?;
        self.orders[at].pay_calls += 1;
        let order = &self.orders[at];
        if let Some(payment) = &order.payment {
            return match knobs.pay_twice {
                PayTwice::Same if !order.refunded => Ok(payment.transaction),
                _ => Err(Refusal::new(400, "ORD110", "Unable to process payment")),
            };
        }
        if order.lapsed {
            return Err(Refusal::new(
                403,
                "ORD114",
                "Payment is too late. Please try with another order",
            ));
        }
        let over_limit = |limit: Money| {
            self.money_taken()
                .checked_add(order.price)
                .is_none_or(|sum| sum > limit)
        };
        if knobs.pay_limit.is_some_and(over_limit) {
            return Err(Refusal::new(403, "ORD121", "G2A PAY limit reached"));
        }
        let left = self.wallet.checked_sub(order.price).filter(|left| *left >= Money::ZERO);
        let Some(left) = left else {
            return Err(Refusal::new(403, "ORD112", "Not enough funds"));
        };
        self.wallet = left;
        self.waiting.remove(&(order.reserved_until, at));
        self.unread.insert(at);
        let (transaction, key) = (Uuid::new_v4(), self.new_key(self.orders[at].is_file));
        self.orders[at].payment = Some(Payment {
            at: now,
            transaction,
            key,
        });
        Ok(transaction)
    }

    /// `GET /v1/order/key/{id}`: hands out the key, by default once.
    pub(crate) fn key(&mut self, knobs: &Knobs, now: DateTime<Utc>, id: u64) -> Result<HandedOut, Refusal> {
        let at = self.find(id)?;
        let order = &mut self.orders[at];
        order.key_calls += 1;
        let Some(payment) = &order.payment else {
            return Err(Refusal::new(402, "ORD05", "Payment is required or in progress"));
        };
        if order.refunded {
            return Err(Refusal::new(400, "ORD06", "Order has not been processed yet"));
        }
        if later(payment.at, knobs.key_delay_seconds) > now {
            return Err(match knobs.key_not_ready {
                KeyNotReady::Ord03 => Refusal::new(403, "ORD03", "Payment is not ready yet. Try again later"),
                KeyNotReady::Ord05 => Refusal::new(402, "ORD05", "Payment is required or in progress"),
                KeyNotReady::Ord06 => Refusal::new(400, "ORD06", "Order has not been processed yet"),
            });
        }
        if order.key_reads > 0 && knobs.destructive_key_read {
            return Err(match knobs.already_downloaded {
                AlreadyDownloaded::Ord04With404 => Refusal::new(404, "ORD04", "Key has been already downloaded"),
                AlreadyDownloaded::Ord004With400 => Refusal::new(400, "ORD004", "Key has been already downloaded"),
            });
        }
        order.key_reads += 1;
        self.unread.remove(&at);
        Ok(HandedOut {
            text: payment.key.clone(),
            is_file: order.is_file,
        })
    }

    /// Refunds a paid order; `false` if there is nothing to refund.
    pub(crate) fn refund(&mut self, id: u64) -> bool {
        self.find(id).is_ok_and(|at| self.refund_at(at))
    }

    fn refund_at(&mut self, at: usize) -> bool {
        let order = &mut self.orders[at];
        if order.refunded || order.payment.is_none() {
            return false;
        }
        order.refunded = true;
        self.unread.remove(&at);
        self.wallet = self.wallet.checked_add(order.price).unwrap_or(self.wallet);
        true
    }

    /// The record so far.
    pub(crate) fn ledger(&self) -> Ledger {
        let orders: Vec<OrderRecord> = self.orders.iter().map(Order::record).collect();
        let count = |holds: fn(&OrderRecord) -> bool| orders.iter().filter(|order| holds(order)).count() as u64;
        let refunded = orders.iter().map(|order| order.refunded_amount);
        Ledger {
            wallet: self.wallet,
            money_taken: self.money_taken(),
            money_refunded: sum(refunded),
            keys_issued: count(|order| order.key_issued),
            keys_delivered: count(|order| order.key_delivered),
            orders,
        }
    }

    fn money_taken(&self) -> Money {
        sum(self
            .orders
            .iter()
            .filter(|order| order.payment.is_some())
            .map(|order| order.price))
    }

    fn find(&self, id: u64) -> Result<usize, Refusal> {
        self.by_id
            .get(&id)
            .copied()
            .ok_or_else(|| Refusal::new(404, "ORD02", "Order not found"))
    }

    fn new_key(&mut self, is_file: bool) -> String {
        self.keys_made += 1;
        let mut dice = Dice::new(self.key_seed, self.keys_made);
        let mut group = || (0..5).map(|_| char::from(*dice.pick(KEY_LETTERS))).collect::<String>();
        let key = format!("{}-{}-{}", group(), group(), group());
        if is_file {
            base64(format!("Your key: {key}\r\n").as_bytes())
        } else {
            key
        }
    }
}

impl Order {
    fn record(&self) -> OrderRecord {
        let paid = self.payment.is_some();
        OrderRecord {
            order_id: self.id.to_string(),
            product_id: self.product.to_string(),
            price: self.price,
            created_at: self.created_at,
            reserved_until: self.reserved_until,
            lapsed: self.lapsed,
            pay_calls: self.pay_calls,
            paid_times: u32::from(paid),
            paid_amount: if paid { self.price } else { Money::ZERO },
            paid_at: self.payment.as_ref().map(|payment| payment.at),
            refunded_amount: if self.refunded { self.price } else { Money::ZERO },
            key_issued: paid,
            key_reads: self.key_reads,
            key_delivered: self.key_reads > 0,
            key_calls: self.key_calls,
            key_sha256: self
                .payment
                .as_ref()
                .map(|payment| hex::encode(Sha256::digest(payment.key.as_bytes()))),
        }
    }
}

/// Adds amounts, and skips those that would exceed the range of [`Money`].
fn sum(amounts: impl Iterator<Item = Money>) -> Money {
    amounts.fold(Money::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(sum))
}

/// Standard base64 with padding. G2A's encoding of file keys is unknown; this is the most likely one.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| usize::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let letter = if position <= chunk.len() {
                LETTERS[bits >> (18 - 6 * position) & 63]
            } else {
                b'='
            };
            text.push(char::from(letter));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_matches_the_published_test_vectors() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
