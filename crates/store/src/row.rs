//! Reading columns whose types are ours.

use lockstep_domain::Money;
use lockstep_domain::account::Role;
use rust_decimal::Decimal;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::{Result, StoreError};

/// A `numeric(12,2)`.
pub(crate) fn money(row: &PgRow, column: &str) -> Result<Money> {
    to_money(row.try_get::<Decimal, _>(column)?)
}

/// A `numeric(12,2)` that may be null.
pub(crate) fn money_or_null(row: &PgRow, column: &str) -> Result<Option<Money>> {
    row.try_get::<Option<Decimal>, _>(column)?.map(to_money).transpose()
}

fn to_money(amount: Decimal) -> Result<Money> {
    Money::new(amount).map_err(|error| StoreError::Schema(format!("unexpected amount of money: {error}")))
}

/// A `role::text`.
pub(crate) fn role(row: &PgRow, column: &str) -> Result<Role> {
    let name: &str = row.try_get(column)?;
    Role::from_name(name).ok_or_else(|| StoreError::Schema(format!("unexpected role {name:?}")))
}

/// An `integer` that the schema keeps positive.
pub(crate) fn count(row: &PgRow, column: &str) -> Result<u32> {
    let number: i32 = row.try_get(column)?;
    u32::try_from(number).map_err(|_| StoreError::Schema(format!("unexpected {column} {number}")))
}
