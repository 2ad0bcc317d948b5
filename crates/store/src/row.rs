//! Decodes columns into domain types.

use std::time::Duration;

use lockstep_domain::Money;
use lockstep_domain::account::{DEFAULT_NICKNAME, Role};
use lockstep_domain::order::{OrderStatus, RefundReason, TransactionType, UnitState};
use lockstep_domain::purchase::PaymentStatus;
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{ColumnIndex, Row as _};

use crate::{Result, StoreError};

/// A `numeric(12,2)`.
pub(crate) fn money(row: &PgRow, column: &str) -> Result<Money> {
    money_of(row.try_get::<Decimal, _>(column)?)
}

/// A `numeric(12,2)` that may be null.
pub(crate) fn money_or_null(row: &PgRow, column: &str) -> Result<Option<Money>> {
    row.try_get::<Option<Decimal>, _>(column)?.map(money_of).transpose()
}

/// A `numeric(12,2)`.
pub(crate) fn money_of(amount: Decimal) -> Result<Money> {
    Money::new(amount).map_err(|error| StoreError::Schema(format!("unexpected amount of money: {error}")))
}

/// A `role::text`.
pub(crate) fn role(row: &PgRow, column: &str) -> Result<Role> {
    role_of(row.try_get(column)?)
}

/// A `role::text`.
pub(crate) fn role_of(name: &str) -> Result<Role> {
    Role::from_name(name).ok_or_else(|| StoreError::Schema(format!("unexpected role {name:?}")))
}

/// An `integer` that the schema constrains to positive values.
pub(crate) fn count(row: &PgRow, column: &str) -> Result<u32> {
    let number: i32 = row.try_get(column)?;
    u32::try_from(number).map_err(|_| StoreError::Schema(format!("unexpected {column} {number}")))
}

/// An `integer` that the schema constrains to positive values.
pub(crate) fn count_of(number: i32) -> Result<u32> {
    u32::try_from(number).map_err(|_| StoreError::Schema(format!("unexpected number {number}")))
}

/// A `count(*)`.
pub(crate) fn how_many_of(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A `count(*)`.
pub(crate) fn how_many(row: &PgRow, column: impl ColumnIndex<PgRow>) -> Result<u64> {
    row.try_get::<i64, _>(column).map(how_many_of).map_err(StoreError::from)
}

/// An `extract(epoch from …)` with millisecond resolution; negative values become zero.
pub(crate) fn span(seconds: Decimal) -> Duration {
    Duration::from_millis(u64::try_from(seconds * Decimal::ONE_THOUSAND).unwrap_or(0))
}

/// The name under which a user wants to be addressed.
pub(crate) fn nickname(row: &PgRow) -> Result<String> {
    row.try_get("nickname").map(nickname_of).map_err(StoreError::from)
}

/// The name under which a user wants to be addressed.
pub(crate) fn nickname_of(nickname: Option<String>) -> String {
    nickname.unwrap_or_else(|| DEFAULT_NICKNAME.to_owned())
}

/// The element of `all` whose name is in `column`.
fn named<T: Copy>(row: &PgRow, column: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T> {
    named_of(column, row.try_get(column)?, all, name)
}

/// The element of `all` whose name is `text`, for a column that holds `what`.
fn named_of<T: Copy>(what: &str, text: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T> {
    all.iter()
        .copied()
        .find(|one| name(*one) == text)
        .ok_or_else(|| StoreError::Schema(format!("unexpected {what} {text:?}")))
}

/// An `order_status::text`.
pub(crate) fn order_status(row: &PgRow, column: &str) -> Result<OrderStatus> {
    named(row, column, &OrderStatus::ALL, OrderStatus::as_str)
}

/// A unit's `state`.
pub(crate) fn unit_state(row: &PgRow, column: &str) -> Result<UnitState> {
    named(row, column, &UnitState::ALL, UnitState::as_str)
}

/// Why an order unit was refunded, if it was.
pub(crate) fn refund_reason_or_null(row: &PgRow, column: &str) -> Result<Option<RefundReason>> {
    match row.try_get::<Option<&str>, _>(column)? {
        Some(_) => named(row, column, &RefundReason::ALL, RefundReason::as_str).map(Some),
        None => Ok(None),
    }
}

/// A `payment_status::text`.
pub(crate) fn payment_status(row: &PgRow, column: &str) -> Result<PaymentStatus> {
    named(row, column, &PaymentStatus::ALL, PaymentStatus::as_str)
}

/// A `payment_status::text` that may be null.
pub(crate) fn payment_status_or_null(row: &PgRow, column: &str) -> Result<Option<PaymentStatus>> {
    match row.try_get::<Option<&str>, _>(column)? {
        Some(_) => payment_status(row, column).map(Some),
        None => Ok(None),
    }
}

/// A `transaction_type::text`.
pub(crate) fn transaction_type(row: &PgRow, column: &str) -> Result<TransactionType> {
    transaction_type_of(row.try_get(column)?)
}

/// A `transaction_type::text`.
pub(crate) fn transaction_type_of(text: &str) -> Result<TransactionType> {
    named_of(
        "type of transaction",
        text,
        &[
            TransactionType::TopUp,
            TransactionType::Purchase,
            TransactionType::Refund,
        ],
        |kind| match kind {
            TransactionType::TopUp => "TOP_UP",
            TransactionType::Purchase => "PURCHASE",
            TransactionType::Refund => "REFUND",
        },
    )
}
