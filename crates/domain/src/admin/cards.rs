//! Money that goes back to cards, as staff see it: refunds, disputes, and what needs a person.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{Paging, UserBrief};
use crate::catalogue::iso_millis;
use crate::money::Money;
use crate::pending_checkout::{CheckoutReason, CheckoutState};
use crate::purchase::iso_millis_or_none;

/// A refund to the card of a top-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CardRefundRow {
    /// Identifier.
    pub id: Uuid,
    /// ID of the top-up.
    pub top_up_id: Uuid,
    /// ID of its owner.
    pub user_id: Uuid,
    /// Amount, EUR; taken from the balance already.
    pub amount: Money,
    /// `REQUESTED` (the provider has not answered), `PENDING`, `SUCCEEDED`, or `FAILED` (the money is back on the balance).
    pub state: &'static str,
    /// The provider's ID; absent until it has answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Why it failed, or why it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When it was requested.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A dispute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DisputeRow {
    /// Identifier.
    pub id: Uuid,
    /// The provider's ID.
    pub reference: String,
    /// ID of the top-up.
    pub top_up_id: Uuid,
    /// ID of its owner.
    pub user_id: Uuid,
    /// Disputed amount, EUR.
    pub amount: Money,
    /// Taken from the balance for it, EUR.
    pub held: Money,
    /// Still owed by the user, EUR.
    pub debt: Money,
    /// Kept by the provider for it, EUR.
    pub fee: Money,
    /// `OPEN`, `WON` or `LOST`.
    pub state: &'static str,
    /// The provider's word for it.
    pub status: String,
    /// The cardholder's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When evidence has to be there; `null` if it is not asked for.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub due_by: Option<DateTime<Utc>>,
    /// When it was opened.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub opened_at: DateTime<Utc>,
    /// When it was decided; `null` while it is open.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub closed_at: Option<DateTime<Utc>>,
}

/// A page of disputes, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DisputeList {
    /// The disputes.
    pub disputes: Vec<DisputeRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// A word of the provider about a dispute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DisputeStatusRow {
    /// The word.
    pub status: String,
    /// When it was first read.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: DateTime<Utc>,
}

/// A copy that was bought after a disputed top-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DisputedUnit {
    /// ID of the order unit.
    pub unit_id: Uuid,
    /// ID of its order.
    pub order_id: Uuid,
    /// The game.
    pub title: String,
    /// What was paid for it, EUR.
    pub price_paid: Money,
    /// Whether its key was delivered.
    pub delivered: bool,
    /// The delivered key, masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When the key was first shown; `null` if it never was.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub first_shown_at: Option<DateTime<Utc>>,
}

/// The case of a dispute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DisputeCase {
    /// The dispute.
    #[serde(flatten)]
    pub dispute: DisputeRow,
    /// What the provider has said of it, the oldest first.
    pub statuses: Vec<DisputeStatusRow>,
    /// What was bought with the balance after the top-up, the oldest first, at most 200.
    pub units: Vec<DisputedUnit>,
    /// Refunds of the top-up.
    pub refunds: Vec<CardRefundRow>,
}

/// What needs a person: a dispute, a warning of fraud, a failed refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentIncidentRow {
    /// Identifier.
    pub id: Uuid,
    /// `DISPUTE`, `DISPUTE_STATUS`, `FRAUD_WARNING`, `REFUND_FAILED`, `REFUND_OUTSIDE`, `REFUND_WAITING`, `AMOUNT`,
    /// `IN_REVIEW`, `BEFORE_BOOKS`, `COPIES_WAIT`, `NO_OWNER` or `EVIDENCE`.
    pub kind: String,
    /// The provider's object, or the refund.
    pub reference: String,
    /// ID of the top-up.
    pub top_up_id: Uuid,
    /// ID of its owner.
    pub user_id: Uuid,
    /// What happened.
    pub detail: String,
    /// When it was written.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// By when it has to be decided; `null` for whenever.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub due_at: Option<DateTime<Utc>>,
}

/// The open incidents about payments, the oldest first, at most a hundred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentIncidentList {
    /// The incidents.
    pub incidents: Vec<PaymentIncidentRow>,
}

/// A top-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopUpRow {
    /// Identifier.
    pub id: Uuid,
    /// Its owner.
    pub user: UserBrief,
    /// The amount that was asked for, EUR.
    pub amount: Money,
    /// What staff credited instead, EUR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credited: Option<Money>,
    /// The payment method that the user chose.
    pub method: String,
    /// The payment provider.
    pub provider: String,
    /// `PENDING`, `PROCESSING`, `COMPLETED`, `FAILED` or `CANCELLED`.
    pub status: String,
    /// The provider's ID of the payment page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Why staff have to look at it; absent if they need not: `NO_END`, `OTHER_AMOUNT`, `NO_OWNER`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<String>,
    /// The country of the card, two letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_country: Option<String>,
    /// When it was begun.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
}

/// A page of top-ups, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopUpList {
    /// The top-ups.
    pub top_ups: Vec<TopUpRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// The charge of a paid top-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChargeRow {
    /// The provider's ID.
    pub charge: String,
    /// The provider's ID of the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_intent: Option<String>,
    /// What was paid, in units of `currency`.
    pub amount: Money,
    /// The currency of the payment.
    pub currency: String,
    /// What the provider kept, EUR; absent while it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee: Option<Money>,
    /// The country of the card, two letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_country: Option<String>,
    /// The provider's fingerprint of the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_fingerprint: Option<String>,
}

/// The order that a top-up was to pay for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopUpCheckoutRow {
    /// State.
    pub state: CheckoutState,
    /// Why nothing was ordered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<CheckoutReason>,
    /// ID of the order, once it is placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Uuid>,
    /// Total that the shopper was shown, EUR.
    pub total: Money,
}

/// A top-up with what became of its money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopUpDetail {
    /// The top-up.
    #[serde(flatten)]
    pub top_up: TopUpRow,
    /// The last problem with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Its charge, once it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charge: Option<ChargeRow>,
    /// The order that it was to pay for, if it was paid directly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkout: Option<TopUpCheckoutRow>,
    /// What can be refunded to the card now: what is left of it, at most the balance. EUR.
    pub refundable: Money,
    /// The owner's balance, EUR.
    pub balance: Money,
    /// Its refunds to the card, the oldest first.
    pub refunds: Vec<CardRefundRow>,
    /// Its disputes, the newest first.
    pub disputes: Vec<DisputeRow>,
    /// Its open incidents, the oldest first.
    pub incidents: Vec<PaymentIncidentRow>,
}

/// A difference between the books and the payment provider's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentDifferenceRow {
    /// Which kind: `charge_missing`, `refund_state`, …
    pub kind: String,
    /// The provider's object, or the shop's ID of what the provider does not know.
    pub reference: String,
    /// What differs.
    pub detail: String,
}

/// The last comparison of the books with the payment provider's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentComparisonView {
    /// When it began; `null` if there was none yet.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub began_at: Option<DateTime<Utc>>,
    /// When it ended; `null` if it did not.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub ended_at: Option<DateTime<Utc>>,
    /// What differed, at most a hundred.
    pub differences: Vec<PaymentDifferenceRow>,
}

/// A rule against fraud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FraudRuleRow {
    /// `ACCOUNT_AMOUNT`, `ACCOUNT_COUNT` (refuse a top-up), `NEW_ACCOUNT`, `CARD_ACCOUNTS`, `CARD_AMOUNT`, `CARD_COUNT`,
    /// `CARD_COUNTRY`, `DISPOSABLE_EMAIL` (hold a payment), or `AUTHENTICATION` (asks for 3-D Secure).
    pub name: String,
    /// Whether it counts.
    pub on: bool,
    /// EUR; absent in a rule that does not measure it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// A number of accounts, payments or top-ups; absent in a rule that does not measure it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// The time in which it measures; absent in a rule without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<u32>,
    /// Counts its changes.
    pub version: u32,
}

/// The rules against fraud, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FraudRuleList {
    /// The rules.
    pub rules: Vec<FraudRuleRow>,
}

/// A payment that a rule holds until staff decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentHoldRow {
    /// Identifier.
    pub id: Uuid,
    /// ID of the top-up.
    pub top_up_id: Uuid,
    /// ID of its owner.
    pub user_id: Uuid,
    /// The owner's address.
    pub email: String,
    /// What was paid, EUR.
    pub amount: Money,
    /// The rule.
    pub rule: String,
    /// Why it is held.
    pub detail: String,
    /// `OPEN`, `RELEASED`, `REFUNDING` (copies go back first) or `REFUNDED`.
    pub state: String,
    /// When it was held.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// When somebody decided; `null` while it is open.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub decided_at: Option<DateTime<Utc>>,
    /// What they found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A page of held payments, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentHoldList {
    /// The payments.
    pub holds: Vec<PaymentHoldRow>,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// How the holds of a rule ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HoldReportRow {
    /// The rule.
    pub rule: String,
    /// Payments that it held.
    pub held: u64,
    /// Those that wait.
    pub open: u64,
    /// Those that staff found to be good: false holds.
    pub released: u64,
    /// Those that went back.
    pub refunded: u64,
    /// Those that were released, and disputed or reported as fraud all the same.
    pub regretted: u64,
}

/// How holds of a period ended, by rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HoldReport {
    /// The rows.
    pub rows: Vec<HoldReportRow>,
}

/// The buyer and the payment of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidencePayment {
    /// The buyer's address.
    pub email: String,
    /// Whether the buyer has proved that it is theirs.
    pub email_verified: bool,
    /// The buyer's name in the shop.
    pub nickname: String,
    /// First and last name, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When the account was made.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub registered_at: DateTime<Utc>,
    /// When it was paid.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub paid_at: DateTime<Utc>,
    /// What was credited, EUR.
    pub amount: Money,
    /// The provider's charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charge: Option<String>,
    /// The IP address from which it was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The browser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Country of the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_country: Option<String>,
}

/// A copy that was bought with the money of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceCopy {
    /// ID of the order unit.
    pub unit_id: Uuid,
    /// ID of its order.
    pub order_id: Uuid,
    /// The game.
    pub title: String,
    /// What was paid for it, EUR.
    pub price: Money,
    /// When its order was placed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub ordered_at: DateTime<Utc>,
    /// When its key was stored for the buyer; `null` if it was not delivered.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub delivered_at: Option<DateTime<Utc>>,
}

/// A view of a key by its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceView {
    /// ID of the order unit.
    pub unit_id: Uuid,
    /// The game.
    pub title: String,
    /// `API`, `PAGE`, `FILE`, `MAIL` or `CONSOLE`.
    pub how: String,
    /// The first time within a minute.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: DateTime<Utc>,
    /// How often within that minute.
    pub count: u32,
    /// The IP address of the owner's last log-in before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A log-in of the buyer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceLogin {
    /// When.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: DateTime<Utc>,
    /// From which IP address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// With which browser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// An earlier payment of the buyer that nobody disputed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EarlierPaymentRow {
    /// The provider's charge.
    pub charge: String,
    /// When it was paid.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub paid_at: DateTime<Utc>,
    /// EUR.
    pub amount: Money,
    /// The IP address from which it was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The buyer's e-mail address then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// It counts for Compelling Evidence 3.0: 120 to 365 days before the disputed one, from the same IP address and account.
    pub compelling: bool,
}

/// Evidence as it was sent to the payment provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceSent {
    /// `REQUESTED` (the provider has not answered), `SUBMITTED` or `REFUSED`.
    pub state: String,
    /// When staff asked for it.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// When the provider answered; `null` while it has not.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub answered_at: Option<DateTime<Utc>>,
    /// Why it waits or was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Everything that the shop knows about a disputed payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceCase {
    /// The dispute.
    pub dispute: DisputeRow,
    /// The buyer and the payment.
    pub payment: EvidencePayment,
    /// What was bought after it, the oldest first, at most 200.
    pub copies: Vec<EvidenceCopy>,
    /// Views of its keys, the oldest first, at most 200.
    pub views: Vec<EvidenceView>,
    /// Log-ins from a month before the payment on, the newest first, at most 200.
    pub logins: Vec<EvidenceLogin>,
    /// Earlier payments that nobody disputed, the newest first, at most 200.
    pub earlier: Vec<EarlierPaymentRow>,
    /// The consents that were given with its orders.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub consents: Vec<serde_json::Value>,
    /// The payment provider's fields, as they would be submitted: name and text.
    pub fields: std::collections::BTreeMap<String, String>,
    /// What was submitted last; absent if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<EvidenceSent>,
}
