//! What people see of their orders and their money: the contract's `Order`, `Key` and `Transaction`.
//!
//! An [`OrderView`] is cached as it is here, without what the keys say; [`KeyView::key`] is filled in for the owner's
//! answer only and never kept.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cache_key::game_tag;
use crate::catalogue::iso_millis;
use crate::ids::{GameId, OrderId, TopUpId, UserId};
use crate::money::Money;
use crate::order::{OrderStatus, RefundReason, TransactionType, UnitState};
use crate::secret::Secret;

/// How a payment stands (the contract's `PaymentStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PaymentStatus {
    /// Nothing has happened yet.
    Pending,
    /// Under way.
    Processing,
    /// Booked.
    Completed,
    /// It did not come about.
    Failed,
    /// Given up.
    Cancelled,
}

impl PaymentStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Processing,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The value of the database enum.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Processing => "PROCESSING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

/// How far one copy is, in a shopper's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CopyState {
    /// Paid for, nothing done yet.
    Waiting,
    /// Its key is being bought.
    Buying,
    /// Its key is there.
    Delivered,
    /// Its money went back to the balance.
    Refunded,
}

impl From<UnitState> for CopyState {
    fn from(state: UnitState) -> Self {
        match state {
            UnitState::New => Self::Waiting,
            UnitState::Ordering
            | UnitState::Ordered
            | UnitState::Paying
            | UnitState::Paid
            | UnitState::Fetching
            | UnitState::Lost => Self::Buying,
            UnitState::Done => Self::Delivered,
            UnitState::Refunded => Self::Refunded,
        }
    }
}

/// The game of an order's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderedGame {
    /// Which.
    pub id: GameId,
    /// Title.
    pub title: String,
    /// Address of the cover.
    pub image: String,
    /// The readable part of its address.
    pub slug: String,
}

/// One line of an order (the contract's `OrderItem`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderLine {
    /// Identifier.
    pub id: Uuid,
    /// Which game.
    pub game_id: GameId,
    /// Copies.
    pub quantity: u32,
    /// Of one copy, before the discount.
    pub price: Money,
    /// Taken off the whole line.
    pub discount: Money,
    /// The game.
    pub game: OrderedGame,
}

/// One copy of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderCopy {
    /// Identifier.
    pub id: Uuid,
    /// Of which game.
    pub game_id: GameId,
    /// From 1 within its line.
    pub position: u32,
    /// How far it is.
    pub state: CopyState,
    /// What was paid for it.
    pub price: Money,
    /// What of that went back to the balance.
    pub refunded: Money,
    /// Why it went back, when all of it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refund_reason: Option<RefundReason>,
    /// Its key, once it is there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_id: Option<Uuid>,
}

/// A key (the contract's `Key`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyView {
    /// Identifier.
    pub id: Uuid,
    /// Of which game.
    pub game_id: GameId,
    /// What it says. Only in the answer to its owner's question for this very order; left out for a file, which is
    /// downloaded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub key: Option<Secret>,
    /// It is a file.
    pub is_file: bool,
    /// Its owner has used it.
    pub activated: bool,
    /// When.
    #[serde(with = "iso_millis_or_none", skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub activation_date: Option<DateTime<Utc>>,
}

/// An order (the contract's `Order`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderView {
    /// Identifier.
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub id: OrderId,
    /// Ten characters by which people name it; unique.
    #[serde(default)]
    pub number: String,
    /// Whose.
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub user_id: UserId,
    /// How far.
    pub status: OrderStatus,
    /// Before the discount.
    pub subtotal: Money,
    /// Taken off.
    pub discount: Money,
    /// What was paid: the subtotal less the discount.
    pub total: Money,
    /// What of that went back to the balance.
    pub refunded: Money,
    /// `BALANCE`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payment_method: Option<String>,
    /// `COMPLETED` while the shop has the money or a part of it, `CANCELLED` once all of it went back; `refunded` has the
    /// amount.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payment_status: Option<PaymentStatus>,
    /// The promo code that was used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub promo_code: Option<String>,
    /// When it was placed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// When the last copy was delivered or refunded.
    #[serde(with = "iso_millis_or_none", skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub completed_at: Option<DateTime<Utc>>,
    /// What was ordered.
    pub items: Vec<OrderLine>,
    /// How each copy is.
    pub copies: Vec<OrderCopy>,
    /// The keys that are there.
    pub keys: Vec<KeyView>,
}

impl OrderView {
    /// Cache tags of the games in it, beside those of the key.
    pub fn tags(&self) -> impl Iterator<Item = String> {
        self.items.iter().map(|line| game_tag(line.game_id))
    }

    /// Nothing about it changes any more by itself: it is over, one way or the other.
    pub fn is_final(&self) -> bool {
        matches!(
            self.status,
            OrderStatus::Completed | OrderStatus::Failed | OrderStatus::Cancelled
        )
    }
}

/// A booking (the contract's `Transaction`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransactionView {
    /// Identifier.
    pub id: Uuid,
    /// What for.
    #[serde(rename = "type")]
    pub kind: TransactionType,
    /// Negative when money left the balance.
    pub amount: Money,
    /// `EUR`.
    pub currency: String,
    /// How it was paid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// How it stands.
    pub status: PaymentStatus,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// What was bought or went back, as it was called then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// Why it went back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<RefundReason>,
    /// The payment provider's reference.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transaction_hash: Option<String>,
    /// When it was written.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// The order that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Uuid>))]
    pub order_id: Option<OrderId>,
}

/// What somebody has to spend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Balance {
    /// The sum of all completed bookings.
    pub balance: Money,
    /// `EUR`.
    pub currency: String,
}

/// An intent to top up a balance, as its owner sees it (the contract's answer to `balance-top-up`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopUpView {
    /// Identifier.
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub id: TopUpId,
    /// What is to be paid.
    pub amount: Money,
    /// `EUR`.
    pub currency: String,
    /// As it was asked for: `card`, `trustly`, `klarna`, `apple`.
    pub payment_method: String,
    /// Where to pay, while that can be done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub redirect_url: Option<String>,
    /// How it stands.
    pub status: TopUpStatus,
    /// What was paid instead of `amount`. Nothing is credited then before staff has looked at it: the status is
    /// `processing` until they have, and `failed` when they credited nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub other_payment: Option<OtherPayment>,
    /// When it was made.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A payment of another amount or currency than intended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OtherPayment {
    /// In units of the currency.
    pub amount: Money,
    /// ISO 4217, as the provider says it.
    pub currency: String,
}

/// How an intent to top up stands, in the contract's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TopUpStatus {
    /// Nobody has paid yet.
    Pending,
    /// The payment was begun and is not certain yet.
    Processing,
    /// Credited.
    Completed,
    /// Declined, lapsed or given up.
    Failed,
}

/// A date in the front-end's form, or none.
pub(crate) mod iso_millis_or_none {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes the field by reference")]
    pub(crate) fn serialize<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::iso_millis::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
        Option::<DateTime<Utc>>::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_order_reads_back_as_it_was_and_has_the_contracts_form() {
        let order = OrderView {
            id: OrderId(Uuid::nil()),
            number: "0123456789".into(),
            user_id: UserId(Uuid::nil()),
            status: OrderStatus::Pending,
            subtotal: "10".parse().unwrap(),
            discount: "1".parse().unwrap(),
            total: "9".parse().unwrap(),
            refunded: Money::ZERO,
            payment_method: None,
            payment_status: Some(PaymentStatus::Completed),
            promo_code: None,
            created_at: DateTime::from_timestamp(0, 0).unwrap(),
            completed_at: None,
            items: vec![],
            copies: vec![OrderCopy {
                id: Uuid::nil(),
                game_id: GameId(Uuid::nil()),
                position: 1,
                state: UnitState::Lost.into(),
                price: "9".parse().unwrap(),
                refunded: Money::ZERO,
                refund_reason: None,
                key_id: None,
            }],
            keys: vec![],
        };
        let json = serde_json::to_value(&order).unwrap();
        assert_eq!(json["keys"], serde_json::json!([]));
        assert_eq!(json["createdAt"], "1970-01-01T00:00:00.000Z");
        assert_eq!(json["copies"][0]["state"], "BUYING");
        assert!(json["total"].is_number() && json.get("completedAt").is_none());
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<OrderView>(&text).unwrap(), order);
    }

    #[test]
    fn an_order_is_final_when_no_status_follows() {
        for status in OrderStatus::ALL {
            let ends = !OrderStatus::ALL.iter().any(|next| status.may_become(*next));
            let over = matches!(
                status,
                OrderStatus::Completed | OrderStatus::Failed | OrderStatus::Cancelled
            );
            assert_eq!(ends, over, "{status:?}");
        }
    }
}
