//! Converts columns into domain types.

use std::time::Duration;

use lockstep_domain::Money;
use lockstep_domain::account::{DEFAULT_NICKNAME, Role};
use lockstep_domain::order::{OrderStatus, RefundReason, TransactionType, UnitState};
use lockstep_domain::pending_checkout::{CheckoutReason, CheckoutState};
use lockstep_domain::purchase::PaymentStatus;
use rust_decimal::Decimal;

use crate::{Result, StoreError};

/// A `numeric(12,2)`.
pub(crate) fn money_of(amount: Decimal) -> Result<Money> {
    Money::new(amount).map_err(|error| StoreError::Schema(format!("unexpected amount of money: {error}")))
}

/// A `role::text`.
pub(crate) fn role_of(name: &str) -> Result<Role> {
    Role::from_name(name).ok_or_else(|| StoreError::Schema(format!("unexpected role {name:?}")))
}

/// An `integer` that the schema constrains to positive values.
pub(crate) fn count_of(number: i32) -> Result<u32> {
    u32::try_from(number).map_err(|_| StoreError::Schema(format!("unexpected number {number}")))
}

/// A port that the schema constrains to its range.
pub(crate) fn port_of(number: i32) -> Result<u16> {
    u16::try_from(number).map_err(|_| StoreError::Schema(format!("unexpected port {number}")))
}

/// A `count(*)`.
pub(crate) fn how_many_of(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// An `extract(epoch from …)` with millisecond resolution; negative values become zero.
pub(crate) fn span(seconds: Decimal) -> Duration {
    Duration::from_millis(u64::try_from(seconds * Decimal::ONE_THOUSAND).unwrap_or(0))
}

/// The name under which a user wants to be addressed.
pub(crate) fn nickname_of(nickname: Option<String>) -> String {
    nickname.unwrap_or_else(|| DEFAULT_NICKNAME.to_owned())
}

/// The element of `all` whose name is `text`, for a column that holds `what`.
fn named<T: Copy>(what: &str, text: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T> {
    all.iter()
        .copied()
        .find(|one| name(*one) == text)
        .ok_or_else(|| StoreError::Schema(format!("unexpected {what} {text:?}")))
}

/// An `order_status::text`.
pub(crate) fn order_status_of(text: &str) -> Result<OrderStatus> {
    named("order status", text, &OrderStatus::ALL, OrderStatus::as_str)
}

/// A unit's `state`.
pub(crate) fn unit_state_of(text: &str) -> Result<UnitState> {
    named("state of a unit", text, &UnitState::ALL, UnitState::as_str)
}

/// Why an order unit was refunded.
pub(crate) fn refund_reason_of(text: &str) -> Result<RefundReason> {
    named("reason of a refund", text, &RefundReason::ALL, RefundReason::as_str)
}

/// A `payment_status::text`.
pub(crate) fn payment_status_of(text: &str) -> Result<PaymentStatus> {
    named("payment status", text, &PaymentStatus::ALL, PaymentStatus::as_str)
}

/// A checkout's `state`.
pub(crate) fn checkout_state_of(text: &str) -> Result<CheckoutState> {
    named("state of a checkout", text, &CheckoutState::ALL, CheckoutState::as_str)
}

/// Why a checkout ended without an order.
pub(crate) fn checkout_reason_of(text: &str) -> Result<CheckoutReason> {
    named(
        "reason of a checkout",
        text,
        &CheckoutReason::ALL,
        CheckoutReason::as_str,
    )
}

/// A `transaction_type::text`.
pub(crate) fn transaction_type_of(text: &str) -> Result<TransactionType> {
    match text {
        "TOP_UP" => Ok(TransactionType::TopUp),
        "PURCHASE" => Ok(TransactionType::Purchase),
        "REFUND" => Ok(TransactionType::Refund),
        _ => Err(StoreError::Schema(format!("unexpected type of transaction {text:?}"))),
    }
}
