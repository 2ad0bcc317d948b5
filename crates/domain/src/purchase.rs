//! Views of orders and money: `Order`, `Key` and `Transaction` of the HTTP contract (`docs/http-api.md`).
//!
//! An [`OrderView`] is cached in this form, without the text of keys; [`KeyView::key`] is filled in only for the
//! owner's response and never stored.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cache_key::game_tag;
use crate::catalogue::iso_millis;
use crate::ids::{GameId, OrderId, TopUpId, UserId};
use crate::money::Money;
use crate::order::{OrderStatus, RefundReason, TransactionType, UnitState};
use crate::secret::Secret;

/// Status of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PaymentStatus {
    /// Not started.
    Pending,
    /// In progress.
    Processing,
    /// Completed.
    Completed,
    /// Failed.
    Failed,
    /// Cancelled.
    Cancelled,
}

impl PaymentStatus {
    /// All statuses.
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

/// State of one order unit as shown to customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OrderUnitStatus {
    /// Paid for, not processed yet.
    Waiting,
    /// Its key is being bought.
    Buying,
    /// Its key is available.
    Delivered,
    /// Its key did not work and was taken back; another one is being bought.
    Replacing,
    /// Its amount was refunded to the balance.
    Refunded,
}

impl From<UnitState> for OrderUnitStatus {
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

/// The game of an order item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderedGame {
    /// Game id.
    pub id: GameId,
    /// Title.
    pub title: String,
    /// Cover URL.
    pub image: String,
    /// URL slug.
    pub slug: String,
}

/// One order item (`OrderItem` of the HTTP contract).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderItem {
    /// Identifier.
    pub id: Uuid,
    /// Game id.
    pub game_id: GameId,
    /// Quantity.
    pub quantity: u32,
    /// Unit price before the discount, EUR.
    pub price: Money,
    /// Discount on the whole item, EUR.
    pub discount: Money,
    /// The game.
    pub game: OrderedGame,
}

/// One order unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderUnit {
    /// Identifier.
    pub id: Uuid,
    /// Game id.
    pub game_id: GameId,
    /// Position within the order item, from 1.
    pub position: u32,
    /// State.
    pub state: OrderUnitStatus,
    /// Amount paid for it, EUR.
    pub price: Money,
    /// Amount refunded to the balance, EUR.
    pub refunded: Money,
    /// Reason of the refund, if it was refunded completely.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refund_reason: Option<RefundReason>,
    /// Its key's id, once delivered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_id: Option<Uuid>,
}

/// A key (`Key` of the HTTP contract).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyView {
    /// Identifier.
    pub id: Uuid,
    /// Game id.
    pub game_id: GameId,
    /// Text of the key, only in the response to its owner's request for this order; omitted for a file, which is
    /// downloaded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub key: Option<Secret>,
    /// Whether the key is a file.
    pub is_file: bool,
    /// Whether its owner has activated it.
    pub activated: bool,
    /// When it was activated.
    #[serde(with = "iso_millis_or_none", skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub activation_date: Option<DateTime<Utc>>,
}

/// An order (`Order` of the HTTP contract).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderView {
    /// Identifier.
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub id: OrderId,
    /// Order number: ten characters, unique.
    #[serde(default)]
    pub number: String,
    /// The customer's id.
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub user_id: UserId,
    /// Status.
    pub status: OrderStatus,
    /// Sum before the discount, EUR.
    pub subtotal: Money,
    /// Discount, EUR.
    pub discount: Money,
    /// Amount paid, EUR: the subtotal less the discount.
    pub total: Money,
    /// Amount refunded to the balance, EUR.
    pub refunded: Money,
    /// Always `BALANCE`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payment_method: Option<String>,
    /// `COMPLETED` until everything is refunded, then `CANCELLED`; `refunded` has the amount.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payment_status: Option<PaymentStatus>,
    /// The promo code, if one was used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub promo_code: Option<String>,
    /// When it was placed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// When the last unit was delivered or refunded.
    #[serde(with = "iso_millis_or_none", skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub completed_at: Option<DateTime<Utc>>,
    /// The order items.
    pub items: Vec<OrderItem>,
    /// The order units.
    pub copies: Vec<OrderUnit>,
    /// The keys delivered so far.
    pub keys: Vec<KeyView>,
    /// True while its keys are not shown because the customer has not consented; absent otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_consent: bool,
}

impl OrderView {
    /// Cache tags of the games in it, in addition to those of the key.
    pub fn tags(&self) -> impl Iterator<Item = String> {
        self.items.iter().map(|line| game_tag(line.game_id))
    }

    /// Whether the order is final: no further status follows by itself, and no key is being replaced.
    pub fn is_final(&self) -> bool {
        let has_ended = matches!(
            self.status,
            OrderStatus::Completed | OrderStatus::Failed | OrderStatus::Cancelled
        );
        has_ended && self.copies.iter().all(|copy| copy.state != OrderUnitStatus::Replacing)
    }
}

/// A transaction (`Transaction` of the HTTP contract).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransactionView {
    /// Identifier.
    pub id: Uuid,
    /// Type.
    #[serde(rename = "type")]
    pub kind: TransactionType,
    /// Amount, EUR; negative when money left the balance.
    pub amount: Money,
    /// Always `EUR`.
    pub currency: String,
    /// Payment method.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// Status.
    pub status: PaymentStatus,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// What was bought or refunded, by its title at that time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// Reason of a refund.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<RefundReason>,
    /// The payment provider's reference.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transaction_hash: Option<String>,
    /// When it was created.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// The order's id, if it belongs to one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Uuid>))]
    pub order_id: Option<OrderId>,
}

/// A user's balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Balance {
    /// The sum of all completed transactions, EUR.
    pub balance: Money,
    /// Always `EUR`.
    pub currency: String,
}

/// A balance top-up as its owner sees it (the response to `balance-top-up`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopUpView {
    /// Identifier.
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub id: TopUpId,
    /// Amount to pay, EUR.
    pub amount: Money,
    /// Always `EUR`.
    pub currency: String,
    /// Payment method as requested: `card`, `trustly`, `klarna`, `apple`.
    pub payment_method: String,
    /// URL of the payment page, while it can be paid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub redirect_url: Option<String>,
    /// Status.
    pub status: TopUpStatus,
    /// What was paid instead of `amount`; staff decide about the credit: `processing` until then, `failed` without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub other_payment: Option<OtherPayment>,
    /// `true` while staff check the payment: what is bought meanwhile is delivered after that. Absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub held: bool,
    /// When it was created.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A payment whose amount or currency differs from the top-up's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OtherPayment {
    /// Amount, in units of the currency.
    pub amount: Money,
    /// Currency, ISO 4217, as reported by the payment provider.
    pub currency: String,
}

/// Status of a top-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TopUpStatus {
    /// Not paid yet.
    Pending,
    /// The payment was started and is not confirmed yet.
    Processing,
    /// Credited to the balance.
    Completed,
    /// Declined, expired or abandoned.
    Failed,
}

/// An optional date in the front-end's form.
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
    fn cached_order_round_trips_in_the_contract_form() {
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
            copies: vec![OrderUnit {
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
            needs_consent: false,
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
    fn order_is_final_when_no_status_follows() {
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
